/** Entry of a volume's worker thread: a host of its own, one VolumeService, calls as messages. */
import { flushCompileCache } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import { HoldfastError } from '#api/mod.ts';
import { VolumeService } from '#data/engine/mod.ts';
import { createNodeHost, NodeFuseMounts } from '#host/node/mod.ts';
import { assert } from '#lib/mod.ts';
import { giveBackAtRest } from './memory-at-rest.ts';
import type { ThreadAnswer, ThreadCall, VolumeThreadData } from './thread-runner.ts';

assert(parentPort !== null, 'a volume thread has a parent');
const port = parentPort;
const { settings, canMount, logFile, openFiles } = workerData as VolumeThreadData;
const host = createNodeHost({ logFile, openFiles });
const service = new VolumeService(settings, host, canMount ? new NodeFuseMounts(host.exec) : null);

/** A programmer error is not answered: it ends this thread, and the engine starts another. */
async function answer({ id, method, params }: ThreadCall): Promise<ThreadAnswer> {
  const handler = service.handlers[method] as (params: unknown) => Promise<unknown>;
  try {
    return { id, result: await handler(params) };
  } catch (error) {
    if (!HoldfastError.is(error)) throw error;
    const { code, message, effect, details } = error;
    return { id, error: { code, message, effect, details } };
  }
}

// This file's own part; the engine has written the rest.
flushCompileCache();
giveBackAtRest(host);
port.on('message', (call: ThreadCall) => {
  void answer(call).then((reply) => {
    port.postMessage(reply);
    if (call.method === 'volume.stop' || call.method === 'volume.handOver') port.close();
  });
});
