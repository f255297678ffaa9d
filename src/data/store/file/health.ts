import { HoldfastError } from '#api/mod.ts';
import type { Log } from '#host/mod.ts';

/**
 * Whether the store still knows what it holds. After a failed sync it does not (W3): the kernel may
 * have dropped what it could not write, and the next sync would succeed. From then on everything is
 * refused until the replica is opened again and levelled by its peers.
 */
export class Health {
  readonly #log: Log;
  readonly #onFailed: () => void;
  #failed: HoldfastError | null = null;

  constructor(log: Log, onFailed: () => void) {
    this.#log = log;
    this.#onFailed = onFailed;
  }

  get failed(): HoldfastError | null {
    return this.#failed;
  }

  fail(cause: unknown): HoldfastError {
    if (this.#failed === null) {
      this.#failed = new HoldfastError('replica-failed', 'Store failed and must be opened again', {
        effect: 'unknown',
        details: { cause: HoldfastError.is(cause) ? cause.code : 'unknown' },
        cause,
      });
      this.#log.error('Store failed', { cause });
      this.#onFailed();
    }
    return this.#failed;
  }

  check(): void {
    if (this.#failed !== null) throw this.#failed;
  }
}
