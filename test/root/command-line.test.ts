/**
 * The command line as a person has it: in a real bash that completes names of objects, with changes
 * that are watched, and with a deletion that asks at a terminal and nowhere else.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { RealCluster, run, waitFor, whyNotHere } from './real-cluster.testkit.ts';

const BIN = new URL('../../bin', import.meta.url).pathname;
const skip = whyNotHere(['bash', 'script']);

let cluster: RealCluster;

/** What a program says that is ended after a while, or by itself. */
function listen(argv: readonly string[]): {
  readonly said: () => string;
  readonly end: () => void;
} {
  const [program = '', ...args] = argv;
  const env = { ...process.env, PATH: `${BIN}:${process.env['PATH'] ?? ''}` };
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return { said: () => text, end: () => void child.kill('SIGINT') };
}

function claims(...names: readonly string[]): string {
  return names
    .map(
      (name) => `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: ${name} }
spec:
  storageClassName: one
  accessModes: [ReadWriteOnce]
  resources: { requests: { storage: 16Mi } }
---`,
    )
    .join('');
}

describe('The command line', { skip }, () => {
  before(async () => {
    cluster = await RealCluster.start('line', 1);
    const file = join(cluster.directory, 'objects.yaml');
    const text = `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: { name: one }
provisioner: csi.holdfast.dev
parameters: { replicas: "1" }
---${claims('apple', 'apricot', 'pear')}`;
    await writeFile(file, text);
    const { directory } = cluster;
    const applied = await cluster.holdfast('apply', '-f', file, '--wait', '--timeout', '60s');
    assert.match(applied, /pear ready/, directory);
  });

  after(() => cluster?.stop());

  test('A real bash completes the names of objects', async () => {
    const script = `
      export PATH=${BIN}:$PATH HOLDFAST_CLUSTER=${cluster.directory}
      source <(holdfast completion bash)
      for line in "$@"; do
        COMP_LINE=$line COMP_POINT=\${#line} COMPREPLY=()
        _holdfast 2>/dev/null
        echo "\${COMPREPLY[*]}"
      done`;
    const lines = ['holdfast get claim ap', 'holdfast mount pear --node ', 'holdfast get pvc/p'];
    const argv = ['--norc', '-c', script, 'bash', ...lines];
    const out = await run('bash', argv, 60_000);
    assert.deepEqual(out.split('\n').slice(0, 3), ['apple apricot', 'node-1', 'pvc/pear']);
  });

  test('A watch prints changes as they come, and ends with Ctrl-C', async () => {
    const program = join(BIN, 'holdfast');
    const watching = listen([program, '--cluster', cluster.directory, 'get', 'nodes', '-w']);
    await waitFor('the table', 20_000, () => /node-1 +Ready +yes/.test(watching.said()));
    await cluster.holdfast('cordon', 'node', 'node-1');
    await waitFor('the change', 20_000, () => /node-1 +Ready +no/.test(watching.said()));
    watching.end();
    await cluster.holdfast('uncordon', 'node', 'node-1');
  });

  test('A deletion says what goes, asks at a terminal, and wants --yes elsewhere', async () => {
    await assert.rejects(cluster.holdfast('delete', 'claim', 'apple'), /field: --yes/);
    const command = `${BIN}/holdfast --cluster ${cluster.directory} delete claim apple`;
    const ask = (answer: string): Promise<string> =>
      // `script` gives it a terminal; the answer is typed when it is asked for.
      run(
        'bash',
        ['-c', `(sleep 3; echo ${answer}; sleep 1) | script -qec '${command}' /dev/null`],
        60_000,
      );
    await assert.rejects(ask('no'), /Go on\? \[yes\/no\][^]*Nothing was deleted/);
    assert.match(await cluster.holdfast('get', 'claims'), /apple/);
    const said = await ask('yes');
    assert.match(said, /all 1 replicas are deleted[^]*Go on\?[^]*apple deleted/);
    const gone = await cluster.holdfast('delete', 'claim', 'apricot', '--yes');
    assert.match(gone, /apricot deleted/);
    const left = await cluster.holdfast('get', 'claims', '-o', 'name');
    assert.equal(left.trim(), 'persistentvolumeclaims/pear');
  });

  test('describe of a claim has the cause, the place and the events', async () => {
    const said = await cluster.holdfast('describe', 'claim', 'pear');
    assert.match(
      said,
      /^claim default\/pear is well\n[^]*\nWhere:\n[^]*node node-1[^]*\nEvents:\n/,
    );
  });
});
