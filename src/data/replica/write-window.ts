import { Deferred } from '#lib/mod.ts';

class Window {
  pending = 0;
  /** A flush waits for this window and all before it; null while it is the open one. */
  drained: Deferred<void> | null = null;
}

/**
 * Which changes were begun before a moment, without a list of them: a flush must wait for exactly
 * those (rule 8 and its finding "complete with writes in flight"), and not for later ones, or it
 * would starve under constant load. Begin and end cost an addition; only a wait allocates.
 */
export class WriteWindow {
  #open = new Window();
  /** Closed and not empty, oldest first. */
  readonly #closed: Window[] = [];
  #pending = 0;

  get pending(): number {
    return this.#pending;
  }

  /** The token is given back to `end`. */
  begin(): unknown {
    this.#pending += 1;
    this.#open.pending += 1;
    return this.#open;
  }

  end(token: unknown): void {
    const window = token as Window;
    this.#pending -= 1;
    window.pending -= 1;
    if (window.pending === 0 && window.drained !== null) this.#settle();
  }

  /** Resolves when everything that began before this call has ended; null when nothing has to. */
  wait(): Promise<void> | null {
    if (this.#pending === 0) return null;
    if (this.#open.pending > 0) {
      this.#open.drained = new Deferred();
      this.#closed.push(this.#open);
      this.#open = new Window();
    }
    return this.#closed[this.#closed.length - 1]?.drained?.promise ?? null;
  }

  #settle(): void {
    while (this.#closed[0]?.pending === 0) this.#closed.shift()?.drained?.resolve();
  }
}
