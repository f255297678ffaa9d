import { HoldfastError } from '#api/mod.ts';
import type { Clock, Timer } from '../mod.ts';

/** The longest wait that setTimeout knows; longer ones fire at once there. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

export class NodeClock implements Clock {
  monotonicMs(): number {
    return performance.now();
  }

  wallMs(): number {
    return Date.now();
  }

  after(ms: number, fn: () => void): Timer {
    return startTimer(ms, fn, false);
  }

  defer(fn: () => void): void {
    setImmediate(fn);
  }

  /** Unlike `after` it keeps the process alive: somebody waits for it. */
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = (): void => reject(new HoldfastError('aborted', 'Sleep was aborted'));
    if (signal?.aborted === true) abort();
    const timer = startTimer(ms, resolve, true);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      await promise;
    } finally {
      timer.cancel();
      signal?.removeEventListener('abort', abort);
    }
  }
}

function startTimer(ms: number, fn: () => void, keepsAlive: boolean): Timer {
  const dueMs = performance.now() + ms;
  let timeout: NodeJS.Timeout;
  const arm = (): void => {
    const leftMs = Math.max(0, dueMs - performance.now());
    timeout = setTimeout(fire, Math.min(Math.ceil(leftMs), TIMEOUT_MS_MAX));
    if (!keepsAlive) timeout.unref();
  };
  // Node's timers count whole milliseconds and may fire a fraction of one early.
  const fire = (): void => {
    if (performance.now() < dueMs) arm();
    else fn();
  };
  arm();
  return { cancel: () => clearTimeout(timeout) };
}
