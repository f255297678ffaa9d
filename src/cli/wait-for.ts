import { HoldfastError } from '#api/mod.ts';
import type { CliContext } from './context.ts';

export interface WaitStep<T> {
  /** Set when it is done. */
  readonly done?: T;
  /** What to show meanwhile; with an estimate where there is one. */
  readonly progress?: string;
}

const LOOK_MS = 150;

/**
 * Looks until it is done, showing progress; `timed-out` names what was waited for and the last
 * state.
 */
export async function waitFor<T>(
  context: CliContext,
  what: string,
  timeoutMs: number,
  look: () => Promise<WaitStep<T>>,
): Promise<T> {
  const { clock } = context.host;
  const startMs = clock.monotonicMs();
  let last = '';
  try {
    for (;;) {
      const step = await look();
      if (step.done !== undefined) return step.done;
      if (step.progress !== undefined && step.progress !== last) {
        last = step.progress;
        if (context.isTerminal) context.drawProgress(`${what}: ${last}`);
      }
      if (clock.monotonicMs() - startMs > timeoutMs) {
        throw new HoldfastError('timed-out', 'It takes longer than expected', {
          details: {
            waitedFor: what,
            state: last,
            remedy: 'It goes on by itself: holdfast explain says what it waits for',
          },
        });
      }
      await clock.sleep(LOOK_MS);
    }
  } finally {
    if (context.isTerminal) context.drawProgress('');
  }
}

/** `37%, about 12 s left`, from what was done since the start. */
export function formatEta(doneShare: number, elapsedMs: number): string {
  const percent = Math.floor(100 * doneShare);
  if (doneShare <= 0.01 || elapsedMs < 500) return `${percent}%`;
  const leftSeconds = Math.round((elapsedMs / doneShare) * (1 - doneShare)) / 1000;
  return `${percent}%, about ${Math.max(1, Math.round(leftSeconds))} s left`;
}
