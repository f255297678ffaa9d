/** `holdfast down`: ends the `up` of a directory in order, told apart by pid and start time. */
import { HoldfastError } from '#api/mod.ts';
import { layOut } from '#cli/mod.ts';
import { processStart } from '#host/node/mod.ts';
import { readFileSync } from 'node:fs';

const STOP_MS = 120_000;
const LOOK_MS = 100;

export interface DownOptions {
  readonly path: string;
  readonly onLine: (text: string) => void;
}

export async function runDown(options: DownOptions): Promise<number> {
  const { upPidFile } = layOut(options.path);
  const found = readPid(upPidFile);
  if (found === undefined || (await processStart(found.pid)) !== found.start) {
    options.onLine(`no cluster runs in ${options.path}`);
    return 0;
  }
  process.kill(found.pid, 'SIGTERM');
  for (let waitedMs = 0; waitedMs < STOP_MS; waitedMs += LOOK_MS) {
    if ((await processStart(found.pid)) !== found.start) {
      options.onLine(`stopped; the data stays in ${options.path}`);
      return 0;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  throw new HoldfastError('timed-out', 'The cluster did not stop in time', {
    details: { pid: found.pid, remedy: 'Its log says what it waits for: DIR/logs/up.out' },
  });
}

function readPid(path: string): { readonly pid: number; readonly start: string } | undefined {
  try {
    const value = JSON.parse(readFileSync(path, 'utf8')) as { pid?: unknown; start?: unknown };
    if (typeof value.pid !== 'number' || typeof value.start !== 'string' || value.pid <= 1) {
      return undefined;
    }
    return { pid: value.pid, start: value.start };
  } catch {
    return undefined;
  }
}
