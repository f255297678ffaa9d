/** Replicas move and are replaced on real engines, under a filesystem that is being written to. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { RealCluster, whyNotHere } from './real-cluster.testkit.ts';

const skip = whyNotHere(['mkfs.ext4', 'dumpe2fs', 'losetup']);
const MIB = 2 ** 20;
const CLAIM = `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: { name: quick }
provisioner: csi.holdfast.dev
parameters: { replicas: "3", replaceAfterSeconds: "5", mkfsOptions: "-m 0 -i 65536" }
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: data }
spec:
  storageClassName: quick
  accessModes: [ReadWriteOnce]
  resources: { requests: { storage: 256Mi } }
`;

interface Seen {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly placement: readonly { readonly replicaName: string; readonly nodeName: string }[];
  };
  readonly status: {
    readonly attachment: { readonly nodeName: string; readonly devicePath: string };
    readonly conditions: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason: string;
    }[];
    readonly members: readonly { readonly replicaName: string; readonly phase: string }[];
  };
}

function shaOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('Replicas on real engines', { skip }, () => {
  let cluster: RealCluster;
  let mount = '';
  const kept = randomBytes(64 * MIB);

  before(async () => {
    cluster = await RealCluster.start('replace', 4);
    const manifest = path.join(cluster.directory, 'claim.yaml');
    writeFileSync(manifest, CLAIM);
    await cluster.holdfast('apply', '-f', manifest);
    mount = await cluster.mount('data');
    writeFileSync(path.join(mount, 'kept'), kept, { flush: true });
  });
  after(() => cluster?.stop());

  async function see(): Promise<Seen> {
    return JSON.parse(await cluster.holdfast('get', 'volumes', '-o', 'json')).items[0] as Seen;
  }

  /** Three replicas in sync, none of them `gone`. */
  async function whole(gone: string): Promise<Seen> {
    for (let tries = 0; tries < 120; tries += 1) {
      const volume = await see();
      const members = volume.status.members;
      const redundant = volume.status.conditions.find(({ type }) => type === 'Redundant');
      const isWhole =
        redundant?.reason === 'AsWanted' &&
        members.length === 3 &&
        members.every(({ phase, replicaName }) => phase === 'in-sync' && replicaName !== gone);
      if (isWhole) return volume;
      await pause(500);
    }
    throw new Error(`never whole: ${await cluster.holdfast('status').catch(String)}`);
  }

  async function verify(): Promise<void> {
    assert.equal(shaOf(readFileSync(path.join(mount, 'kept'))), shaOf(kept));
    assert.match(await cluster.holdfast('volume', 'scrub', 'data'), /\b0\b/);
  }

  function other(volume: Seen): { readonly replicaName: string; readonly nodeName: string } {
    const serving = volume.status.attachment.nodeName;
    const found = volume.spec.placement.find(({ nodeName }) => nodeName !== serving);
    assert.ok(found !== undefined);
    return found;
  }

  test('mkfs was told what the class says', async () => {
    const device = (await see()).status.attachment.devicePath;
    const said = execFileSync('dumpe2fs', ['-h', device], { encoding: 'utf8', stdio: 'pipe' });
    assert.match(said, /Reserved block count: +0\n/);
    assert.match(said, /Inode count: +4096\n/);
  });

  test('drain empties a node while a program writes, and nothing is lost', async () => {
    const moved = other(await see());
    const written: Buffer[] = [];
    let isOver = false;
    const writer = (async () => {
      for (let index = 0; !isOver; index += 1) {
        const bytes = randomBytes(MIB);
        writeFileSync(path.join(mount, `part-${index % 32}`), bytes, { flush: true });
        written[index % 32] = bytes;
        await pause(20);
      }
    })();
    const plan = await cluster.holdfast('plan', 'drain', 'node', moved.nodeName);
    assert.match(plan, /1 volume changed/);
    const said = await cluster.holdfast('drain', 'node', moved.nodeName);
    isOver = true;
    await writer;
    assert.match(said, /holds no replica any more/);
    const volume = await whole(moved.replicaName);
    assert.ok(volume.spec.placement.every(({ nodeName }) => nodeName !== moved.nodeName));
    await verify();
    for (const [index, bytes] of written.entries()) {
      assert.equal(shaOf(readFileSync(path.join(mount, `part-${index}`))), shaOf(bytes));
    }
    await cluster.holdfast('uncordon', 'node', moved.nodeName);
  });

  test('a replica whose files are gone is replaced by itself', async () => {
    const lost = other(await see());
    const directory = path.join(cluster.poolOf(lost.nodeName), 'replicas', lost.replicaName);
    cluster.kill(lost.nodeName, 'engine');
    rmSync(directory, { recursive: true });
    await whole(lost.replicaName);
    await verify();
  });
});
