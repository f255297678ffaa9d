/**
 * What clients rely on, as one table on three servers: the twin in memory, ours over HTTPS with its
 * objects in SQLite, and a real kube-apiserver with etcd. All see the same, and what was recorded.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { createTwin } from '#control/apiserver/twin.testkit.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { whyNoKubernetes } from '../../scripts/build-kubernetes.ts';
import { BehaviourInMemory } from './behaviour-in-memory.testkit.ts';
import { BehaviourOverHttps } from './behaviour-over-https.testkit.ts';
import { observeBehaviour } from './client-behaviour.testkit.ts';
import { OurHttpsServer } from './our-https.testkit.ts';
import { REAL_PROGRAMS, RealApiServer } from './real-apiserver.testkit.ts';
import { observeReal } from './real-behaviour.testkit.ts';
import { compareBehaviour } from './recorded-behaviour.testkit.ts';

test('The twin, our API server and a real one behave alike to clients', async (t) => {
  const why = await whyNoKubernetes(REAL_PROGRAMS);
  if (why !== undefined) {
    t.skip(why);
    return;
  }
  const server = await RealApiServer.start();
  t.after(() => server.stop());
  const real = await observeReal(server);
  const twin = createTwin(createNodeHost({ logLevel: 'error' }));
  t.after(() => twin.server.close());
  const memory = new BehaviourInMemory(
    (request) => twin.server.handle(request),
    () => twin.forget(),
  );
  const ours = await OurHttpsServer.start();
  t.after(() => ours.stop());
  const https = new BehaviourOverHttps(ours.address, () => ours.forget());
  assert.deepEqual(await observeBehaviour(memory, 'behaviour'), real);
  assert.deepEqual(await observeBehaviour(https, 'behaviour'), real);
  assert.deepEqual(compareBehaviour(real), []);
  t.diagnostic(`${Object.keys(real).length} cases of client behaviour, alike on three servers`);
});
