import type { Clock } from '#host/mod.ts';

const LOOK_MS = 100;
const LOOKS_MAX = 600;

/** Looks ten times a second until `check` passes; fails with its last complaint after a minute. */
export async function until(clock: Clock, what: string, check: () => Promise<void>): Promise<void> {
  for (let looks = 0; ; looks += 1) {
    try {
      return await check();
    } catch (error) {
      if (looks > LOOKS_MAX) throw new Error(`never: ${what}`, { cause: error });
      await clock.sleep(LOOK_MS);
    }
  }
}
