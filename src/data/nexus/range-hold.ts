/** Holds a range of the volume for a cold path: rebuild, repair, snapshot. */
import { type RangeLock, RangeTicket } from '#lib/mod.ts';

/**
 * Resolves when no overlapping write (for `exclusive`: and no read) is in flight; the function that
 * it resolves with lets go. A shared hold keeps writes out and lets reads pass.
 */
export function holdRange(
  lock: RangeLock,
  offsetBytes: number,
  lengthBytes: number,
  mode: 'exclusive' | 'shared',
): Promise<() => void> {
  return new Promise((resolve) => {
    const release = (): void => lock.release(ticket);
    const ticket = new RangeTicket(() => resolve(release));
    ticket.offset = offsetBytes;
    ticket.length = lengthBytes;
    ticket.exclusive = mode === 'exclusive';
    if (lock.acquire(ticket)) resolve(release);
  });
}
