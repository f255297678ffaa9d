/**
 * Bad input that needs root: filesystems that are read-only, full, or fill while a volume writes,
 * and a volume that is mounted. docs/design/bad-input.md has the list. The filesystems are tmpfs
 * of this test's own.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { HoldfastError } from '#api/mod.ts';
import { flushDevice, readDevice, writeDevice } from '#data/block/mod.ts';
import { NbdClientDevice } from '#data/frontend/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { createApiClient } from '#cmd/cli-context.testkit.ts';

const MIB = 1024 * 1024;
const ENTRY = new URL('../../src/cmd/holdfast.ts', import.meta.url).pathname;
const FLAGS = ['--disable-warning=ExperimentalWarning'];
const skip = process.getuid?.() === 0 ? false : 'mounting needs root';
const host = createNodeHost({ logLevel: 'silent' });
const mounted: string[] = [];
let root = '';
let cluster = '';
let running: ChildProcess | undefined;

function holdfast(...args: string[]): { code: number; out: string; err: string } {
  const argv = [...FLAGS, ENTRY, '--cluster', cluster, ...args];
  const done = spawnSync(process.execPath, argv, { encoding: 'utf8', timeout: 90_000, cwd: root });
  return { code: done.status ?? -1, out: done.stdout, err: done.stderr };
}

function apply(text: string): void {
  writeFileSync(`${root}/object.yaml`, text);
  const answer = holdfast('apply', '-f', 'object.yaml');
  assert.equal(answer.code, 0, answer.err);
}

async function until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  for (let waitedMs = 0; !(await check()); waitedMs += 50) {
    assert.ok(waitedMs < 60_000, `never: ${what}`);
    await host.clock.sleep(50);
  }
}

function mountMemory(name: string, options: string): string {
  const path = `${root}/${name}`;
  mkdirSync(path);
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path]);
  mounted.push(path);
  return path;
}

function remount(path: string, options: string): void {
  execFileSync('mount', ['-o', `remount,${options}`, path]);
}

async function pool(name: string): Promise<string> {
  const client = createApiClient(host, `${cluster}/run/apiserver.sock`, 'test');
  return JSON.stringify(await client.get('DiskPool', { name }));
}

function poolText(name: string): string {
  return `
apiVersion: holdfast.dev/v1alpha1
kind: DiskPool
metadata: { name: ${name} }
spec: { nodeName: node-1, directory: ${root}/${name} }
---`;
}

function claimText(name: string, size: string): string {
  return `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: ${name} }
spec:
  storageClassName: one
  accessModes: [ReadWriteOnce]
  resources: { requests: { storage: ${size} } }
---`;
}

async function connect(claim: string): Promise<NbdClientDevice> {
  const attached = holdfast('volume', 'attach', claim);
  assert.equal(attached.code, 0, attached.err);
  const url = new URL(attached.out.trim());
  const address = { kind: 'unix' as const, path: url.searchParams.get('socket') ?? '' };
  return NbdClientDevice.connect(host, address, url.pathname.replace(/^\/+/, ''));
}

function filled(value: number): Uint8Array {
  return new Uint8Array(MIB).fill(value);
}

async function holds(device: NbdClientDevice, offsetBytes: number, value: number): Promise<void> {
  const found = await readDevice(device, offsetBytes, MIB);
  assert.ok(Buffer.from(found).equals(filled(value)), `${offsetBytes} holds ${value}`);
}

describe('Bad input that needs root', { skip }, () => {
  before(async () => {
    root = mkdtempSync(`${tmpdir()}/hf-root-bad-`);
    cluster = `${root}/c`;
    const args = [...FLAGS, ENTRY, 'up', cluster, '--nodes', '1'];
    running = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    running.stdout?.on('data', (chunk) => (text += String(chunk)));
    running.stderr?.on('data', (chunk) => (text += String(chunk)));
    await until('cluster runs', () => {
      assert.equal(running?.exitCode, null, text);
      return text.includes('cluster runs');
    });
    mountMemory('locked', 'size=64m');
    remount(`${root}/locked`, 'ro');
    const crowded = mountMemory('crowded', 'size=8m');
    writeFileSync(`${crowded}/film`, Buffer.alloc(8 * MIB - 65_536, 1));
    mountMemory('small', 'size=64m');
    apply(`
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: { name: one }
provisioner: csi.holdfast.dev
parameters: { replicas: "1" }
---${claimText('beside', '16Mi')}${claimText('files', '16Mi')}`);
    for (const claim of ['beside', 'files']) await (await connect(claim)).close();
    apply(`
apiVersion: holdfast.dev/v1alpha1
kind: DiskPool
metadata: { name: node-1-pool }
spec: { nodeName: node-1, directory: ${cluster}/nodes/node-1/pool, unschedulable: true }
---${poolText('locked')}${poolText('crowded')}${poolText('small')}`);
  });

  after(async () => {
    holdfast('down', cluster);
    if (running !== undefined && running.exitCode === null) running.kill('SIGKILL');
    for (const path of mounted) spawnSync('umount', ['-l', path]);
    if (root !== '') rmSync(root, { recursive: true, force: true });
  });

  test('A pool directory that is read-only is said, and taken once it is writable', async () => {
    await until('said', async () => /"status":"False"/.test(await pool('locked')));
    const said = await pool('locked');
    assert.match(said, /"reason":"ReadOnly"/);
    assert.match(said, new RegExp(`${root}/locked`));
    assert.match(said, /read-write/);
    assert.deepEqual(readdirSync(`${root}/locked`), []);
    remount(`${root}/locked`, 'rw');
    await until('taken', async () => /"type":"Ready","status":"True"/.test(await pool('locked')));
  });

  test('A pool directory that is full is said, and taken once there is room', async () => {
    await until('said', async () => /"status":"False"/.test(await pool('crowded')));
    const said = await pool('crowded');
    assert.match(said, /"reason":"NoSpace"/);
    assert.match(said, new RegExp(`${root}/crowded`));
    assert.match(said, /Free some space/);
    assert.deepEqual(readdirSync(`${root}/crowded`), ['film']);
    assert.equal(readFileSync(`${root}/crowded/film`).byteLength, 8 * MIB - 65_536);
    rmSync(`${root}/crowded/film`);
    await until('taken', async () => /"type":"Ready","status":"True"/.test(await pool('crowded')));
  });

  test('A disk that fills during a write loses nothing flushed, and goes on later', async () => {
    apply(`
apiVersion: holdfast.dev/v1alpha1
kind: DiskPool
metadata: { name: locked }
spec: { nodeName: node-1, directory: ${root}/locked, unschedulable: true }
---${claimText('thin', '20Mi')}`);
    const beside = await connect('beside');
    const device = await connect('thin');
    try {
      await writeDevice(beside, 0, filled(1));
      for (let n = 0; n < 4; n += 1) await writeDevice(device, n * MIB, filled(n + 1));
      await flushDevice(device);
      // Somebody else takes the rest of the filesystem.
      const film = `${(await poolOf('thin')) ?? ''}/film`;
      spawnSync('dd', ['if=/dev/zero', `of=${film}`, 'bs=64k', 'status=none']);
      assert.ok(existsSync(film));
      await assert.rejects(writeUntilFull(device), (error) => {
        assert.ok(HoldfastError.is(error));
        assert.equal(error.code, 'no-space');
        return true;
      });
      for (let n = 0; n < 4; n += 1) await holds(device, n * MIB, n + 1);
      await writeDevice(beside, MIB, filled(2));
      await holds(beside, 0, 1);
      rmSync(film);
      await until('writes again', async () => {
        try {
          await writeDevice(device, 6 * MIB, filled(7));
          await flushDevice(device);
          return true;
        } catch (error) {
          if (!HoldfastError.is(error)) throw error;
          return false;
        }
      });
      await holds(device, 6 * MIB, 7);
      for (let n = 0; n < 4; n += 1) await holds(device, n * MIB, n + 1);
    } finally {
      await device.close();
      await beside.close();
    }
  });

  test('Deleting a mounted volume is refused, and its files are still there', () => {
    const path = `${root}/mnt`;
    const answer = holdfast('mount', 'files', path);
    assert.equal(answer.code, 0, answer.err);
    writeFileSync(`${path}/letter`, 'dear all');
    const refused = holdfast('delete', 'claim', 'files');
    assert.equal(refused.code, 4, refused.err);
    assert.match(refused.err, /\(in-use\)/);
    assert.ok(refused.err.includes(`path: ${path}`), refused.err);
    assert.match(refused.err, /remedy: Unmount it first: holdfast umount default\/files/);
    assert.equal(readFileSync(`${path}/letter`, 'utf8'), 'dear all');
    const done = holdfast('umount', 'files');
    assert.equal(done.code, 0, done.err);
  });
});

/** The directory of the pool that holds the only replica of a claim. */
async function poolOf(claim: string): Promise<string | undefined> {
  const { out } = holdfast('where', 'claim', claim);
  for (const name of ['small', 'crowded'])
    if (out.includes(`${root}/${name}`)) return `${root}/${name}`;
  return Promise.resolve(undefined);
}

async function writeUntilFull(device: NbdClientDevice): Promise<void> {
  for (let n = 4; n < 20; n += 1) await writeDevice(device, n * MIB, filled(99));
}
