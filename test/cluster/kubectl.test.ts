/**
 * The scripts of kubectl commands (kubectl/*.txt) against a real kube-apiserver that holds our
 * CRDs: what it says today is what was recorded.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { kubernetesCache, whyNoKubernetes } from '../../scripts/build-kubernetes.ts';
import { compareTranscripts } from './kubectl-comparison.testkit.ts';
import { KubectlRunner } from './kubectl-runner.testkit.ts';
import { readScripts } from './kubectl-script.testkit.ts';
import { readTranscript, transcriptOf } from './kubectl-transcript.testkit.ts';
import { REAL_PROGRAMS, RealApiServer } from './real-apiserver.testkit.ts';

async function runOnReal(t: TestContext): Promise<Map<string, string>> {
  const server = await RealApiServer.start();
  t.after(() => server.stop());
  const home = join(server.directory, 'home');
  const runner = new KubectlRunner(kubernetesCache().path('kubectl'), server.address, home);
  const results = await runner.runAll(readScripts());
  return new Map([...results].map(([title, result]) => [title, transcriptOf(result)]));
}

test('A real kube-apiserver answers kubectl as was recorded', async (t) => {
  const why = await whyNoKubernetes(REAL_PROGRAMS);
  if (why !== undefined) {
    t.skip(why);
    return;
  }
  const startedMs = performance.now();
  const real = await runOnReal(t);
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  t.diagnostic(`${real.size} commands of kubectl on kube-apiserver in ${seconds} s`);
  const findings = compareTranscripts(readTranscript(), real, []);
  assert.equal(findings.length, 0, findings.slice(0, 5).join('\n'));
});
