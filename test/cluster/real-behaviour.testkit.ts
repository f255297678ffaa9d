/** The behaviour table on a real API server, and on one without caches where that matters. */
import { BehaviourOverHttps } from './behaviour-over-https.testkit.ts';
import { BEHAVIOUR, FORGETTING, observeBehaviour } from './client-behaviour.testkit.ts';
import { RealApiServer } from './real-apiserver.testkit.ts';
import type { Json } from './recorded-exchanges.testkit.ts';

export async function observeReal(server: RealApiServer): Promise<Record<string, Json>> {
  const names = Object.keys(BEHAVIOUR).filter((name) => !FORGETTING.includes(name));
  const seen = await observeBehaviour(overHttps(server), 'behaviour', names);
  const uncached = await RealApiServer.start('no-caches');
  try {
    Object.assign(seen, await observeBehaviour(overHttps(uncached), 'behaviour', FORGETTING));
  } finally {
    await uncached.stop();
  }
  return seen;
}

function overHttps(server: RealApiServer): BehaviourOverHttps {
  return new BehaviourOverHttps(server.address, () => server.compact());
}
