import { lstat, unlink } from 'node:fs/promises';
import { connect } from 'node:net';

/** How long a socket file may take to show that somebody listens on it. */
const PROBE_MS = 1000;

/**
 * After a listen that failed: removes the socket file of a process that is gone. False when the
 * address is really taken: somebody listens, or the file is no socket.
 */
export async function removeStaleSocket(error: unknown, path: string): Promise<boolean> {
  if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) return false;
  const found = await lstat(path).catch(() => undefined);
  if (found?.isSocket() !== true || (await isSocketLive(path))) return false;
  await unlink(path).catch(() => {});
  return true;
}

/** True when somebody listens there, or might: then it is not ours to remove. */
export async function isSocketLive(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const probe = connect(path);
  // Somebody who does not answer in time is alive: better an error than two listeners.
  // A turn later: when we were late ourselves, a refusal that has come meanwhile goes first.
  probe.setTimeout(PROBE_MS, () => setImmediate(() => resolve(true)));
  probe.once('connect', () => resolve(true));
  probe.once('error', (error) => resolve(!('code' in error && error.code === 'ECONNREFUSED')));
  const live = await promise;
  probe.destroy();
  return live;
}
