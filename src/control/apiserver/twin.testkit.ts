/** The in-memory twin of a cluster's API for tests: our server over memory, and a client of it. */
import { RESOURCES } from '#api/resources/mod.ts';
import { RestClient } from '#control/kube/mod.ts';
import type { Clock, Log, Rng } from '#host/mod.ts';
import { ApiServer } from './api-server.ts';
import { MemoryStore } from './memory-store.ts';

export interface TwinOptions {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
}

export interface Twin {
  readonly client: RestClient;
  readonly server: ApiServer;
  /** What was asked of the server: method and path. */
  readonly requests: string[];
  /** Forgets the history up to now: late watchers, and those that are open, have a gap. */
  forget(): Promise<void>;
}

const HOUR_MS = 3_600_000;

export function createTwin({ clock, rng, log }: TwinOptions): Twin {
  let skippedMs = 0;
  const store = new MemoryStore({ wallMs: () => clock.wallMs() + skippedMs });
  const server = new ApiServer({ store, clock, rng, log, resources: RESOURCES, version: '0.0.0' });
  const requests: string[] = [];
  const transport: ApiServer['handle'] = (request) => {
    requests.push(`${request.method} ${request.path}`);
    return server.handle(request);
  };
  const client = new RestClient({ transport, clock, rng, log, manager: 'test' });
  return {
    client,
    server,
    requests,
    forget: async () => {
      skippedMs += HOUR_MS;
      store.transact((transaction) => {
        const key = { resource: 'configmaps', namespace: 'default', name: 'later' };
        transaction.put(key, { metadata: { name: 'later', namespace: 'default' } });
      });
    },
  };
}
