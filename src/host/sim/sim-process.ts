import type { EventLoop, EventOwner } from './event-loop.ts';

/**
 * One life of the process on a node. After a crash the object stays dead: its timers, connections
 * and requests belong to it and never call back.
 */
export class SimProcess implements EventOwner {
  readonly node: string;
  readonly name: string;
  readonly loop: EventLoop;
  #alive = true;
  #pausedUntilMs = 0;
  readonly #atDeath: (() => void)[] = [];

  constructor(loop: EventLoop, node: string, life: number) {
    this.loop = loop;
    this.node = node;
    this.name = `${node}#${life}`;
  }

  get alive(): boolean {
    return this.#alive;
  }

  get pausedUntilMs(): number {
    return this.#pausedUntilMs;
  }

  pauseUntil(timeMs: number): void {
    this.#pausedUntilMs = timeMs;
  }

  /** What the kernel does when the process ends: sockets, locks, requests under way. */
  onDeath(action: () => void): void {
    this.#atDeath.push(action);
  }

  die(): void {
    if (!this.#alive) return;
    this.#alive = false;
    for (const action of this.#atDeath) action();
  }
}
