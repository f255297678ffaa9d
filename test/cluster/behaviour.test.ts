/** What clients rely on: a real kube-apiserver still behaves as the table of it says. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { whyNoKubernetes } from '../../scripts/build-kubernetes.ts';
import { REAL_PROGRAMS, RealApiServer } from './real-apiserver.testkit.ts';
import { observeReal } from './real-behaviour.testkit.ts';
import { compareBehaviour } from './recorded-behaviour.testkit.ts';

test('A real kube-apiserver behaves to clients as was recorded', async (t) => {
  const why = await whyNoKubernetes(REAL_PROGRAMS);
  if (why !== undefined) {
    t.skip(why);
    return;
  }
  const server = await RealApiServer.start();
  t.after(() => server.stop());
  const seen = await observeReal(server);
  t.diagnostic(`${Object.keys(seen).length} cases of client behaviour on kube-apiserver`);
  assert.deepEqual(compareBehaviour(seen), []);
});
