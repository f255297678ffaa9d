/**
 * The API that tests of reconcilers run over: the twin in memory, or, where HOLDFAST_TEST_API says
 * so, a server that is running elsewhere (test/cluster/reconcilers.test.ts).
 */
import { RestClient } from '#control/kube/mod.ts';
import type { ApiTransport } from '#control/kube/mod.ts';
import type { Host } from '#host/mod.ts';
import type { SimWorld } from '#host/sim/mod.ts';
import { OutsideApi, type OutsideAddress } from './outside-api.testkit.ts';
import { createTwin } from './twin.testkit.ts';

export interface TestApi {
  readonly client: RestClient;
  /** What was asked of the server: method and path. */
  readonly requests: string[];
}

export function createTestApi(world: SimWorld, host: Host): TestApi {
  const said = process.env['HOLDFAST_TEST_API'] ?? '';
  if (said === '') return createTwin(host);
  const outside = new OutsideApi(JSON.parse(said) as OutsideAddress);
  world.awaitOutside(() => outside.settled());
  const requests: string[] = [];
  const transport: ApiTransport = (call) => {
    requests.push(`${call.method} ${call.path}`);
    return outside.transport(call);
  };
  const { clock, rng, log } = host;
  return { client: new RestClient({ transport, clock, rng, log, manager: 'test' }), requests };
}
