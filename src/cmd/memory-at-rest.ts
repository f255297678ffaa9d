/**
 * Gives back what starting and working left in the heap of this thread, once it rests: V8 collects
 * only for those who allocate, and glibc keeps what was freed, so an idle thread would hold a third
 * of its memory for nothing (docs/design/0009-performance.md). One collection after each time of
 * work, never one for rest.
 */
import type { Clock } from '#host/mod.ts';
import { trimFreedMemory } from '#host/node/mod.ts';
import { performance, type EventLoopUtilization } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const LOOK_MS = 20_000;
/** Shares of the thread's time. Between the two it goes on as it was. */
const RESTS_BELOW = 0.02;
const WORKS_ABOVE = 0.1;

export interface MemoryAtRestOptions {
  readonly clock: Clock;
  /** The share of time that this thread worked since the last call. */
  readonly utilization?: () => number;
  /** Takes tens of milliseconds, in which the thread does nothing else. */
  readonly collect?: () => void;
}

/** Starting is work. */
export function giveBackAtRest(options: MemoryAtRestOptions): void {
  const { clock, utilization = sinceLastCall(), collect = collectAll } = options;
  let hasWorked = true;
  const look = (): void => {
    const share = utilization();
    if (share > WORKS_ABOVE) hasWorked = true;
    else if (hasWorked && share < RESTS_BELOW) {
      hasWorked = false;
      collect();
    }
    clock.after(LOOK_MS, look);
  };
  clock.after(LOOK_MS, look);
}

function sinceLastCall(): () => number {
  let last: EventLoopUtilization = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const share = performance.eventLoopUtilization(now, last).utilization;
    last = now;
    return share;
  };
}

type Collector = (options: { readonly type: 'major'; readonly flavor: 'last-resort' }) => void;

/** The flavor that also gives pages back; a new context is where the flag shows. */
function collectAll(): void {
  setFlagsFromString('--expose-gc');
  const collector = runInNewContext('gc') as Collector;
  collector({ type: 'major', flavor: 'last-resort' });
  trimFreedMemory();
}
