/**
 * Bad input to a running cluster of real processes: what is wrong is said where a person looks, and
 * the volume beside goes on. docs/design/bad-input.md has the list.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { after, before, describe, test } from 'node:test';
import type { ClusterId, ControllerMethods, PoolId } from '#api/mod.ts';
import { readDevice, writeDevice } from '#data/block/mod.ts';
import { NbdClientDevice } from '#data/frontend/mod.ts';
import { openFilePool } from '#data/store/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { crc32c, viewOf } from '#lib/mod.ts';
import { RpcClient } from '#rpc/mod.ts';
import { createApiClient } from './api-client.ts';

const ENTRY = new URL('./holdfast.ts', import.meta.url).pathname;
const FLAGS = ['--disable-warning=ExperimentalWarning'];
const root = mkdtempSync(`${tmpdir()}/hf-bad-`);
const cluster = `${root}/c`;
const host = createNodeHost({ logLevel: 'silent' });
const BLOCK = new Uint8Array(4096).fill(7);
let running: ChildProcess | undefined;
let device: NbdClientDevice | undefined;

interface Answer {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function holdfast(...args: string[]): Answer {
  const done = spawnSync(process.execPath, [...FLAGS, ENTRY, '--cluster', cluster, ...args], {
    encoding: 'utf8',
    timeout: 90_000,
    cwd: root,
  });
  return { code: done.status ?? -1, out: done.stdout, err: done.stderr };
}

function applyText(text: string): Answer {
  writeFileSync(`${root}/object.yaml`, text);
  return holdfast('apply', '-f', 'object.yaml');
}

async function until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  for (let waitedMs = 0; !(await check()); waitedMs += 100) {
    assert.ok(waitedMs < 60_000, `never: ${what}`);
    await host.clock.sleep(100);
  }
}

/** The volume that was there before serves, with the same bytes. */
async function othersGoOn(): Promise<void> {
  assert.ok(device !== undefined);
  assert.ok(Buffer.from(await readDevice(device, 0, BLOCK.byteLength)).equals(BLOCK));
  await writeDevice(device, 8192, BLOCK);
}

before(async () => {
  const args = [...FLAGS, ENTRY, 'up', cluster, '--nodes', '1'];
  running = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  running.stdout?.on('data', (chunk) => (text += String(chunk)));
  running.stderr?.on('data', (chunk) => (text += String(chunk)));
  await until(`cluster runs`, () => {
    assert.equal(running?.exitCode, null, text);
    return text.includes('cluster runs');
  });
  const made = applyText(`
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
`);
  assert.equal(made.code, 0, made.err);
  const attached = holdfast('volume', 'attach', 'demo');
  assert.equal(attached.code, 0, attached.err);
  const url = new URL(attached.out.trim());
  const address = { kind: 'unix' as const, path: url.searchParams.get('socket') ?? '' };
  device = await NbdClientDevice.connect(host, address, url.pathname.replace(/^\/+/, ''));
  await writeDevice(device, 0, BLOCK);
  await makeBrokenPools();
});

after(async () => {
  await device?.close();
  holdfast('down', cluster);
  running?.kill('SIGKILL');
  rmSync(root, { recursive: true, force: true });
});

/** What the controller says of a pool once it looked: the condition, and the explanation. */
async function findingOf(pool: string): Promise<string> {
  const client = controller();
  const api = createApiClient(host, `${cluster}/run/apiserver.sock`, 'test');
  try {
    let text = '';
    await until(`${pool} has a condition`, async () => {
      text = JSON.stringify(await api.get('DiskPool', { name: pool }));
      return /"type":"Ready","status":"False"/.test(text);
    });
    const why = await client.call('cluster.explain', { kind: 'DiskPool', name: pool });
    return `${text}\n${JSON.stringify(why)}`;
  } finally {
    client.close();
  }
}

function controller(): RpcClient<ControllerMethods> {
  const address = `unix:${cluster}/run/controller.sock`;
  return new RpcClient<ControllerMethods>({ net: host.net, clock: host.clock, address });
}

function poolText(name: string): string {
  return `
apiVersion: holdfast.dev/v1alpha1
kind: DiskPool
metadata: { name: ${name} }
spec: { nodeName: node-1, directory: ${root}/${name} }
---`;
}

/** Names and contents of a directory. */
function contentsOf(directory: string): string {
  if (!existsSync(directory)) return 'absent';
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  return entries
    .map((entry) => {
      const path = `${entry.parentPath}/${entry.name}`;
      return `${path} ${entry.isFile() ? readFileSync(path).toString('hex') : ''}`;
    })
    .sort()
    .join('\n');
}

const POOLS = [
  ['A pool directory that is missing', 'missing', 'NotFound'],
  ['A pool directory of another cluster', 'foreign', 'StoreForeign'],
  ['A pool directory of a newer format', 'newer', 'StoreNewerFormat'],
  ['A pool with a truncated metadata file', 'cut', 'StoreCorrupt'],
  ['A pool with a bit-flipped metadata file', 'flipped', 'StoreCorrupt'],
] as const;
const lay = new Map<string, string>();

const DAMAGE: Readonly<Record<string, (bytes: Buffer) => Uint8Array>> = {
  newer: (bytes) => {
    bytes[12] = 2;
    const crc = crc32c(bytes.subarray(48), crc32c(bytes.subarray(0, 44)));
    viewOf(bytes).setUint32(44, crc, true);
    return bytes;
  },
  cut: (bytes) => bytes.subarray(0, 60),
  flipped: (bytes) => bytes.map((value, at) => (at === 50 ? value ^ 1 : value)),
};

/** Directories as somebody might give them, and a pool over each. */
async function makeBrokenPools(): Promise<void> {
  for (const [, pool] of POOLS) {
    const directory = `${root}/${pool}`;
    if (pool !== 'missing') await makePool(directory, 'other-cluster', pool);
    const file = `${directory}/holdfast-pool`;
    const damage = DAMAGE[pool];
    if (damage !== undefined) writeFileSync(file, damage(readFileSync(file)));
    lay.set(pool, contentsOf(directory));
  }
  const answer = applyText(POOLS.map(([, pool]) => poolText(pool)).join(''));
  assert.equal(answer.code, 0, answer.err);
}

async function makePool(directory: string, clusterId: string, pool: string): Promise<void> {
  mkdirSync(directory);
  const made = await openFilePool({
    ...host,
    cluster: clusterId as ClusterId,
    pool: pool as PoolId,
    directory,
    create: true,
  });
  await made.close();
}

describe('Bad input to a running cluster', () => {
  for (const [title, pool, code] of POOLS) {
    test(`${title} is said with code and remedy, and left as it is`, async () => {
      const finding = await findingOf(pool);
      assert.ok(finding.includes(code), finding);
      assert.ok(finding.includes(`${root}/${pool}`), finding);
      assert.match(finding, /"remedies":\["[^"]{10,}/);
      assert.equal(contentsOf(`${root}/${pool}`), lay.get(pool));
      await othersGoOn();
    });
  }

  test('explain pool prints why and what to do, with the exit code of what is not well', async () => {
    await findingOf('foreign');
    const answer = holdfast('explain', 'pool', 'foreign');
    assert.equal(answer.code, 8, answer.err);
    assert.match(answer.out, /other-cluster/);
    await othersGoOn();
  });

  test('A second up on the same directory is refused, in the foreground and detached', async () => {
    const clusterFile = readFileSync(`${cluster}/cluster.yaml`, 'utf8');
    for (const extra of [[], ['--detach']]) {
      const answer = holdfast('up', cluster, '--nodes', '2', ...extra);
      assert.equal(answer.code, 4, answer.err);
      assert.match(answer.err, /\(in-use\)/);
      assert.match(answer.err, new RegExp(`path: ${cluster}\n`));
      assert.match(answer.err, /remedy: .*holdfast down/);
    }
    assert.equal(readFileSync(`${cluster}/cluster.yaml`, 'utf8'), clusterFile);
    await othersGoOn();
  });

  test('A socket in use stops up with the address, and its owner keeps it', async () => {
    const path = `${root}/taken`;
    mkdirSync(`${path}/run`, { recursive: true });
    chmodSync(`${path}/run`, 0o700);
    const socket = `${path}/run/controller.sock`;
    const owner = createServer((connection) => void connection.on('error', () => {}).end('mine'));
    await new Promise<void>((resolve) => owner.listen(socket, resolve));
    try {
      // In a process of its own: the owner must be able to answer meanwhile.
      const child = spawn(process.execPath, [...FLAGS, ENTRY, 'up', path, '--nodes', '1'], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let text = '';
      child.stderr.on('data', (chunk) => (text += String(chunk)));
      await until('up has ended', () => child.exitCode !== null);
      assert.equal(child.exitCode, 4, text);
      assert.match(text, /address-in-use/);
      assert.match(text, new RegExp(socket));
      assert.match(text, /remedy: \S/);
      assert.ok(existsSync(socket), 'the socket of somebody else is still there');
    } finally {
      owner.close();
    }
    await othersGoOn();
  });

  test('Calls with wrong types to engine, node and controller end none of them', async () => {
    const pids = new Map<string, unknown>();
    for (const name of ['node-1.engine', 'node-1.node', 'controller']) {
      const address = `unix:${cluster}/run/${name}.sock`;
      const client = new RpcClient<Record<string, { params: unknown; result: unknown }>>({
        net: host.net,
        clock: host.clock,
        address,
      });
      const describe = name === 'controller' ? 'cluster.describe' : `${name.slice(7)}.describe`;
      pids.set(name, ((await client.call(describe, {})) as { pid: number }).pid);
      const methods = {
        'node-1.engine': ['pool.ensure', 'volume.attach', 'volume.grow', 'replica.delete'],
        // Its calls take nothing.
        'node-1.node': [],
        controller: ['cluster.explain', 'volume.scrub', 'vote.commit', 'cluster.where'],
      }[name as 'controller'];
      for (const method of methods) {
        for (const params of [null, 7, [], { volume: '../x' }, { kind: '__proto__', name: {} }]) {
          await assert.rejects(client.call(method, params), { code: 'invalid-argument' });
        }
      }
      await assert.rejects(client.call('engine.shell', {}), { code: 'unsupported' });
      assert.equal(((await client.call(describe, {})) as { pid: number }).pid, pids.get(name));
      client.close();
    }
    await othersGoOn();
  });

  test('Sockets and data of a cluster are for its owner alone', async () => {
    for (const directory of [`${cluster}/run`, `${cluster}/nodes/node-1/pool`]) {
      for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
        const path = `${entry.parentPath}/${entry.name}`;
        const mode = statSync(path).mode & 0o777;
        const isOurs = entry.isSocket() || path.includes('/pool/');
        if (isOurs && !entry.isDirectory()) assert.equal(mode & 0o077, 0, `${path} ${mode}`);
      }
    }
    assert.equal(statSync(`${cluster}/run`).mode & 0o077, 0);
    await othersGoOn();
  });
});
