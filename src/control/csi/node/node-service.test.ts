/** What may be formatted, and which device is believed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoldfastError, type EngineMethods, type NodeId } from '#api/mod.ts';
import type { PublishedVolumes, VolumeMounts } from '#control/mounts/mod.ts';
import type { Disk } from '#host/mod.ts';
import type { RpcClient } from '#rpc/mod.ts';
import { viewIdOf } from '../view-id.ts';
import { createNodeService } from './mod.ts';

interface Told {
  readonly device: string;
  readonly mayFormat: boolean;
  readonly readOnly: boolean;
}

interface World {
  readonly isBlank: boolean | 'unknown';
  readonly readOnly?: boolean;
  readonly phase?: string;
  readonly device?: string;
}

/** What the mounts were told when a volume of this kind was staged. */
async function stage(world: World): Promise<Told> {
  const told: Told[] = [];
  const engine = {
    call: async (method: string) => {
      if (method === 'volume.isBlank') {
        if (world.isBlank === 'unknown') throw new HoldfastError('timed-out', 'No answer');
        return { isBlank: world.isBlank };
      }
      return {
        volume: 'v',
        spec: { readOnly: world.readOnly ?? false },
        status: { phase: world.phase ?? 'serving', reason: '' },
        frontends: [{ kind: 'fuse', url: world.device ?? '/dev/loop7', error: '' }],
      };
    },
  } as unknown as RpcClient<EngineMethods>;
  const mounts = {
    mount: async (params: Told) => void told.push(params),
  } as unknown as VolumeMounts;
  const service = createNodeService({
    node: 'n1' as NodeId,
    engine,
    mounts,
    published: { setAccess: async () => {} } as unknown as PublishedVolumes,
    disk: {} as Disk,
  });
  await service.NodeStageVolume({
    volumeId: 'v',
    publishContext: { devicePath: '/dev/loop3', fsType: 'ext4' },
    stagingTargetPath: '/staging/v',
    volumeCapability: {
      accessMode: { mode: 'SINGLE_NODE_MULTI_WRITER' },
      mount: { fsType: 'ext4', mountFlags: [], volumeMountGroup: '' },
    },
    volumeContext: {},
  });
  const [only] = told;
  assert.ok(only !== undefined);
  return only;
}

test('Only a volume that the engine calls blank, and may be written, is formatted', async () => {
  assert.equal((await stage({ isBlank: true })).mayFormat, true);
  assert.equal((await stage({ isBlank: false })).mayFormat, false);
  assert.equal((await stage({ isBlank: true, readOnly: true })).mayFormat, false);
  await assert.rejects(stage({ isBlank: 'unknown' }), { code: 'timed-out' });
  await assert.rejects(stage({ isBlank: true, phase: 'suspended' }), { code: 'not-current' });
});

test('A volume for many readers is served as the view of its node, never formatted', async () => {
  const asked: string[] = [];
  const access: string[] = [];
  const told: { volume: string; readOnly: boolean; mayFormat: boolean }[] = [];
  const engine = {
    call: async (_method: string, { volume }: { volume: string }) => {
      asked.push(volume);
      return {
        volume,
        spec: { readOnly: true },
        status: { phase: 'serving', reason: '' },
        frontends: [{ kind: 'fuse', url: '/dev/loop7', error: '' }],
      };
    },
  } as unknown as RpcClient<EngineMethods>;
  const service = createNodeService({
    node: 'n1' as NodeId,
    engine,
    mounts: { mount: async (params: never) => void told.push(params) } as unknown as VolumeMounts,
    published: {
      setAccess: async (_device: string, one: string) => void access.push(one),
    } as unknown as PublishedVolumes,
    disk: {} as Disk,
  });
  const accessMode = { mode: 'MULTI_NODE_READER_ONLY' } as const;
  const request = {
    volumeId: 'v',
    publishContext: {},
    stagingTargetPath: '/staging/v',
    volumeContext: {},
  };
  const mount = { fsType: 'ext4', mountFlags: [], volumeMountGroup: '' };
  await service.NodeStageVolume({ ...request, volumeCapability: { accessMode, mount } });
  const view = viewIdOf('v', 'n1');
  assert.deepEqual(asked, [view]);
  assert.equal(told[0]?.volume, view);
  assert.deepEqual([told[0].readOnly, told[0].mayFormat], [true, false]);
  await service.NodeStageVolume({ ...request, volumeCapability: { accessMode, block: {} } });
  // A filesystem may recover in the head of the view; a block device is the kernel's to refuse.
  assert.deepEqual(access, ['rw', 'ro']);
});

test('The engine says which device it is, not a publish context of before a restart', async () => {
  assert.equal((await stage({ isBlank: false, device: '/dev/loop9' })).device, '/dev/loop9');
  await assert.rejects(stage({ isBlank: false, device: '' }), { code: 'not-current' });
});
