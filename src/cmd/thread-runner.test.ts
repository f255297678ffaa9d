/** A real thread with a real replica, which dies or ends in order. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import {
  type ClusterId,
  type Incarnation,
  type NodeId,
  parseId,
  type PoolId,
  type ReplicaId,
  type VolumeId,
} from '#api/mod.ts';
import type { VolumeSettings } from '#data/engine/mod.ts';
import { openFilePool, type StorePool } from '#data/store/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { ThreadRunner } from './thread-runner.ts';

const MIB = 1024 * 1024;
const cluster = parseId<ClusterId>('cluster', 'c-1');
const volume = parseId<VolumeId>('volume', 'vol-1');
const replica = parseId<ReplicaId>('replica', 'r-1');
const pool = parseId<PoolId>('pool', 'p-1');
const node = parseId<NodeId>('node', 'n-1');
const host = createNodeHost({ logLevel: 'silent' });

interface Scene {
  readonly directory: string;
  readonly store: StorePool;
  readonly runner: ThreadRunner;
  readonly exited: Promise<void>;
}

async function withThread(scenario: (scene: Scene) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(`${tmpdir()}/hf-thread-`);
  const store = await createPool(`${directory}/pool`);
  try {
    const exit = Promise.withResolvers<void>();
    const runner = new ThreadRunner(
      { settings: settingsIn(directory), canMount: false, logFile: `${directory}/log` },
      () => exit.resolve(),
    );
    await runner.call('volume.start', { resume: false });
    assert.ok(await runner.call('volume.replica', {}), 'the replica is open in the thread');
    await scenario({ directory, store, runner, exited: exit.promise });
  } finally {
    await store.close();
    await rm(directory, { recursive: true });
  }
}

async function createPool(directory: string): Promise<StorePool> {
  await host.disk.makeDirectory(directory);
  const store = await openFilePool({ ...host, directory, cluster, pool });
  await store.createReplica({
    identity: { cluster, volume, replica, pool, shard: 0, segmentBytes: 65_536, claim: 'a/b' },
    sizeBytes: MIB,
    record: {
      epoch: 0,
      seq: 0,
      members: [{ replica, incarnation: '' as Incarnation }],
      voters: [replica],
      formerVoters: null,
      closed: true,
      loss: 0,
      floor: { epoch: 0, seq: 0 },
      held: [],
    },
  });
  return store;
}

function settingsIn(directory: string): VolumeSettings {
  return {
    spec: {
      cluster,
      volume,
      claim: 'a/b',
      sizeBytes: MIB,
      segmentBytes: 65_536,
      replicas: [{ replica, node, pool, engine: `unix:${directory}/none` }],
      isolation: 'thread',
      onQuorumLoss: 'suspend',
      frontends: [],
      readOnly: false,
      snapshot: null,
    },
    node,
    processId: process.pid,
    socketPrefix: `${directory}/n`,
    stateDirectory: directory,
    controllerAddress: `unix:${directory}/controller`,
    localDirectory: `${directory}/pool/replicas/r-1`,
  };
}

/** Descriptors of this process that are files below the directory. */
async function openBelow(directory: string): Promise<string[]> {
  const links = await Promise.all(
    (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  );
  return links.filter((link) => link.startsWith(`${directory}/pool/replicas`));
}

test('A volume thread that died gives up its replica', async () => {
  await withThread(async ({ directory, store, runner, exited }) => {
    await assert.rejects(store.openReplica(replica), { code: 'store-locked' });
    assert.notDeepEqual(await openBelow(directory), [], 'the check sees open files');
    await assert.rejects(runner.call('volume.none' as never, {} as never), { code: 'aborted' });
    await exited;
    assert.deepEqual(await openBelow(directory), []);
    await (await store.openReplica(replica)).close();
  });
});

test('A volume thread that ended in order leaves nothing open', async () => {
  await withThread(async ({ directory, store, runner, exited }) => {
    await runner.call('volume.stop', { force: false });
    assert.deepEqual(await openBelow(directory), []);
    await exited;
    await (await store.openReplica(replica)).close();
  });
});
