/**
 * Roles end in order when `up` dies, however it died: their standard input is a pipe that `up`
 * holds. The controller detaches everything first; a node waits for that, then stops its engine.
 */
import { existsSync } from 'node:fs';
import { createConnection } from 'node:net';

const LOOK_MS = 200;
const WAIT_MS_MAX = 40_000;

/** Calls `onOrphaned` once, when the holder of our standard input is gone. */
export function watchParent(onOrphaned: () => void): void {
  if (process.env['HOLDFAST_PARENT_WATCH'] !== '1') return;
  let isTold = false;
  const tell = (): void => {
    if (isTold) return;
    isTold = true;
    onOrphaned();
  };
  process.stdin.on('end', tell);
  process.stdin.on('close', tell);
  process.stdin.on('error', tell);
  process.stdin.resume();
}

/** Resolves when nobody listens at a unix socket any more, or after a while. */
export async function waitUntilSilent(path: string): Promise<void> {
  for (let waitedMs = 0; waitedMs < WAIT_MS_MAX; waitedMs += LOOK_MS) {
    if (!existsSync(path) || !(await answers(path))) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
