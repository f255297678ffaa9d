/** The client that a cluster's own processes use: through the socket of its API server. */
import { hasCode } from '#api/mod.ts';
import { createHttpTransport, RestClient } from '#control/kube/mod.ts';
import type { Host } from '#host/mod.ts';
import { NodeHttp } from '#host/node/mod.ts';

const LOOK_MS = 50;

/** `manager` owns the fields that are written; a call is given up after `timeoutMs`. */
export function createApiClient(
  host: Host,
  socketPath: string,
  manager: string,
  timeoutMs?: number,
): RestClient {
  const { clock, rng, log } = host;
  const endpoint = { url: 'http://localhost', socketPath };
  const transport = createHttpTransport(new NodeHttp(), endpoint, timeoutMs);
  return new RestClient({ transport, clock, rng, log, manager });
}

/** Resolves when the API server answers: it is started beside us, and may be slower. */
export async function untilApiServes(client: RestClient, host: Host): Promise<void> {
  for (let isTold = false; ; isTold = true) {
    try {
      await client.list('StorageNode');
      return;
    } catch (error) {
      if (!hasCode(error, 'refused') && !hasCode(error, 'disconnected')) throw error;
      if (!isTold) host.log.info('waiting for the API server', {});
      await host.clock.sleep(LOOK_MS);
    }
  }
}
