/**
 * The promise forms of member verbs with a deadline: a replica that hangs must not hang its nexus.
 */
import { HoldfastError } from '#api/mod.ts';
import type { Clock } from '#host/mod.ts';

/**
 * Fails with `timed-out` (effect unknown) when the outcome takes longer; a later outcome is
 * dropped.
 */
export function withDeadline<T>(clock: Clock, ms: number, outcome: Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = clock.after(ms, () => {
      reject(
        new HoldfastError('timed-out', 'Member did not answer in time', { effect: 'unknown' }),
      );
    });
    outcome.then(
      (value) => {
        timer.cancel();
        resolve(value);
      },
      (error: unknown) => {
        timer.cancel();
        reject(error);
      },
    );
  });
}

/** Every operating error passes as it is; anything else is a mistake of ours and stays one. */
export function asHoldfastError(error: unknown): HoldfastError {
  if (HoldfastError.is(error)) return error;
  throw error;
}
