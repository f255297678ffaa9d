import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, describe, test } from 'node:test';

const ENTRY = new URL('./holdfast.ts', import.meta.url).pathname;
const FLAGS = ['--disable-warning=ExperimentalWarning'];
const root = mkdtempSync(`${tmpdir()}/hf-up-`);
const started: ChildProcess[] = [];

after(() => {
  for (const child of started) child.kill('SIGKILL');
  rmSync(root, { recursive: true, force: true });
});

function holdfast(...args: string[]): { code: number; out: string; err: string } {
  const done = spawnSync(process.execPath, [...FLAGS, ENTRY, ...args], {
    encoding: 'utf8',
    timeout: 60_000,
    cwd: root,
  });
  return { code: done.status ?? -1, out: done.stdout, err: done.stderr };
}

async function until(what: string, check: () => boolean, ms = 60_000): Promise<void> {
  for (let waitedMs = 0; !check(); waitedMs += 50) {
    assert.ok(waitedMs < ms, `never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Starts a cluster in the foreground and resolves when it runs. */
async function up(path: string, nodes: number): Promise<ChildProcess> {
  const args = [...FLAGS, ENTRY, 'up', path, '--nodes', String(nodes)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  started.push(child);
  let text = '';
  child.stdout.on('data', (chunk) => (text += String(chunk)));
  child.stderr.on('data', (chunk) => (text += String(chunk)));
  await until('cluster runs', () => {
    assert.equal(child.exitCode, null, text);
    return text.includes('cluster runs');
  });
  return child;
}

/** Processes whose command line names the directory. */
function processesOf(path: string): string[] {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return false;
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(path);
    } catch {
      return false;
    }
  });
}

describe('holdfast up', () => {
  test('A cluster starts, refuses a second up, survives restarts, and leaves nothing', async () => {
    const path = `${root}/a`;
    const first = await up(path, 1);
    const second = holdfast('up', path);
    assert.equal(second.code, 4, second.err);
    assert.match(second.err, /A cluster runs in this directory already \(in-use\)/);

    writeFileSync(
      `${root}/claim.yaml`,
      `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: { name: one }
provisioner: csi.holdfast.dev
parameters: { replicas: "1" }
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: demo }
spec:
  storageClassName: one
  accessModes: [ReadWriteOnce]
  resources: { requests: { storage: 64Mi } }
`,
    );
    assert.equal(holdfast('--cluster', path, 'apply', '-f', 'claim.yaml').code, 0);
    const attached = holdfast('--cluster', path, 'volume', 'attach', 'demo');
    assert.equal(attached.code, 0, attached.err);
    assert.match(attached.out, /^nbd\+unix:\/\/\//);

    // The controller alone: it is started again and knows everything.
    const { pid } = JSON.parse(readFileSync(`${path}/run/controller.pid`, 'utf8')) as {
      pid: number;
    };
    process.kill(pid, 'SIGKILL');
    await until('controller is back', () => {
      return holdfast('--cluster', path, 'get', 'claim', 'demo').out.includes('Bound');
    });

    const down = holdfast('down', path);
    assert.equal(down.code, 0, down.err);
    await until('up has ended', () => first.exitCode !== null);
    assert.equal(first.exitCode, 0);
    assert.equal(existsSync(`${path}/run`), false);
    await until('no process is left', () => processesOf(path).length === 0);

    const again = await up(path, 1);
    await until('served again', () => {
      return holdfast('--cluster', path, 'get', 'volumes').out.includes('Serving');
    });
    // However it dies, the others notice and end in order.
    again.kill('SIGKILL');
    await until('no process is left', () => processesOf(path).length === 0);
    assert.match(holdfast('--cluster', path, 'get', 'claims').err, /No cluster answers/);
  });

  test('A directory with other things in it is refused and left alone', () => {
    const path = `${root}/b`;
    assert.equal(spawnSync('mkdir', [path]).status, 0);
    writeFileSync(`${path}/thesis.txt`, 'mine');
    const answer = holdfast('up', path);
    assert.equal(answer.code, 2, answer.err);
    assert.match(answer.err, /not empty and not a cluster/);
    assert.deepEqual(readdirSync(path), ['thesis.txt']);
  });

  test('A damaged cluster file is refused and left alone', () => {
    const path = `${root}/c`;
    assert.equal(spawnSync('mkdir', [path]).status, 0);
    writeFileSync(`${path}/cluster.yaml`, 'cluster: ../x\nnodes: [a]\n');
    const answer = holdfast('up', path);
    assert.equal(answer.code, 8, answer.err);
    assert.match(answer.err, /Cluster file cannot be read \(store-corrupt\)/);
  });

  test('down without a cluster says so', () => {
    assert.match(holdfast('down', `${root}/nothing`).err, /no cluster runs/);
  });
});
