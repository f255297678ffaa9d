/**
 * The scripts of kubectl commands (kubectl/*.txt) against a real kube-apiserver that holds our
 * CRDs, and against ours: both print the same, but for what docs/reference/kubectl.md lists, and
 * what the real one says today is what was recorded.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { kubernetesCache, whyNoKubernetes } from '../../scripts/build-kubernetes.ts';
import type { ApiAddress } from './api-call.testkit.ts';
import { compareTranscripts } from './kubectl-comparison.testkit.ts';
import { KUBECTL_DIFFERENCES } from './kubectl-differences.ts';
import { KubectlRunner } from './kubectl-runner.testkit.ts';
import { readScripts } from './kubectl-script.testkit.ts';
import { readTranscript, transcriptOf } from './kubectl-transcript.testkit.ts';
import { OurApiServer } from './our-apiserver.testkit.ts';
import { REAL_PROGRAMS, RealApiServer } from './real-apiserver.testkit.ts';

interface Server {
  readonly directory: string;
  readonly address: ApiAddress;
  stop(): Promise<void>;
}

async function runOn(t: TestContext, name: string, server: Server): Promise<Map<string, string>> {
  t.after(() => server.stop());
  const startedMs = performance.now();
  const home = join(server.directory, 'home');
  const runner = new KubectlRunner(kubernetesCache().path('kubectl'), server.address, home);
  const results = await runner.runAll(readScripts());
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  t.diagnostic(`${results.size} commands of kubectl on ${name} in ${seconds} s`);
  return new Map([...results].map(([title, result]) => [title, transcriptOf(result)]));
}

test('kubectl prints the same of our API server as of a real one', async (t) => {
  const why = await whyNoKubernetes(REAL_PROGRAMS);
  if (why !== undefined) {
    t.skip(why);
    return;
  }
  const real = await runOn(t, 'kube-apiserver', await RealApiServer.start());
  const ours = await runOn(t, 'holdfast apiserver', await OurApiServer.start());
  const findings = compareTranscripts(real, ours, KUBECTL_DIFFERENCES);
  assert.equal(findings.length, 0, findings.slice(0, 5).join('\n'));
  const listed = KUBECTL_DIFFERENCES.flatMap(({ commands }) => commands).length;
  t.diagnostic(`${real.size - listed} commands equal, ${listed} different as listed`);
  const stale = compareTranscripts(readTranscript(), real, []);
  assert.equal(stale.length, 0, `npm run kubernetes:record\n${stale.slice(0, 5).join('\n')}`);
});
