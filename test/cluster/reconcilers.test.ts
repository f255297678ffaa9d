/**
 * The tests of the reconcilers, as they are, over three servers: the twin in memory, `holdfast
 * apiserver` over HTTPS with its objects in SQLite, and a real kube-apiserver with etcd that holds
 * our CRDs. The same tests pass on all. Time is simulated, and stands still while a server works.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { whyNoKubernetes } from '../../scripts/build-kubernetes.ts';
import type { ApiAddress } from './api-call.testkit.ts';
import { OurApiServer } from './our-apiserver.testkit.ts';
import { REAL_PROGRAMS, RealApiServer } from './real-apiserver.testkit.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const FILES = [
  'src/control/embedded/embedded-controllers.test.ts',
  'src/control/embedded/node-loop/node-loop.test.ts',
  'src/control/operator/adoption.test.ts',
  'src/control/operator/forged-status.test.ts',
  'src/control/operator/operator.test.ts',
  'src/control/operator/pool/orphans.test.ts',
  'src/control/operator/replacement.test.ts',
  'src/control/operator/vote.test.ts',
];
/** Each of them reads thousands of times while it waits for minutes of simulated time. */
const TOO_LONG = [
  'that comes back',
  'waits where there is no other pool',
  'whose pool is open without it',
  'and another one leave a single copy',
  'is replaced though its successor is lost too',
  'of a volume that nobody uses is replaced',
];
const TEST_MS = 60_000;
const RUN_MS = 420_000;
const TESTS_MIN = 60;

/** Titles of the tests that passed. */
async function runOver(
  t: TestContext,
  name: string,
  address: ApiAddress | undefined,
  files: readonly string[] = FILES,
): Promise<readonly string[]> {
  const startedMs = performance.now();
  const args = [
    '--disable-warning=ExperimentalWarning',
    '--test',
    // One server for all, which each test empties; a test that fails leaves its watches open.
    '--test-concurrency=1',
    '--test-force-exit',
    `--test-timeout=${TEST_MS}`,
    '--test-reporter=tap',
    `--test-skip-pattern=/^(?:${TOO_LONG.join('|')})/`,
    ...files,
  ];
  const api = address === undefined ? '' : JSON.stringify(address);
  // The runner tells its children by this that they are run by it.
  const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
  const env = { ...environment, HOLDFAST_TEST_API: api };
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => void (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => void (output += chunk.toString()));
  const timer = setTimeout(() => child.kill('SIGKILL'), RUN_MS);
  await new Promise((done) => child.on('close', done));
  clearTimeout(timer);
  const failed = output.split('\n').filter((line) => /^\s*not ok/.test(line));
  assert.deepEqual(failed, [], `${name}\n${output.slice(0, 20_000)}`);
  const passed = [...output.matchAll(/^\s*ok \d+ - (.+?)(?: # .*)?$/gm)];
  const titles = passed.filter(([line]) => !line.includes('# SKIP')).map(([, title = '']) => title);
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  t.diagnostic(`${titles.length} tests of reconcilers over ${name} in ${seconds} s`);
  return titles.toSorted();
}

test('Reconcilers pass the same tests over the twin, ours and a real server', async (t) => {
  const why = await whyNoKubernetes(REAL_PROGRAMS);
  if (why !== undefined) {
    t.skip(why);
    return;
  }
  const twin = await runOver(t, 'the twin', undefined);
  assert.ok(twin.length >= TESTS_MIN, `${twin.length} tests`);
  const ours = await OurApiServer.start('without-protection');
  t.after(() => ours.stop());
  assert.deepEqual(await runOver(t, 'holdfast apiserver', ours.address), twin);
  const real = await RealApiServer.start('caches', 'without-protection');
  t.after(() => real.stop());
  assert.deepEqual(await runOver(t, 'kube-apiserver', real.address), twin);
});

test('Over a server that does not know the token nothing passes', async (t) => {
  const ours = await OurApiServer.start('without-protection');
  t.after(() => ours.stop());
  const stranger = { ...ours.address, token: 'of-somebody-else' };
  await assert.rejects(runOver(t, 'no server', stranger, FILES.slice(2, 3)), /not ok/);
});
