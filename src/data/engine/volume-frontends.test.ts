/** What a volume leaves on its machine: nothing, however its start and its end meet. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode, type VolumeId } from '#api/mod.ts';
import { MemoryDevice } from '#data/block/mod.ts';
import type { FuseChannel, FuseMountState, FuseMounts } from '#host/mod.ts';
import { SimWorld } from '#host/sim/mod.ts';
import { Deferred } from '#lib/mod.ts';
import { VolumeFrontends } from './volume-frontends.ts';

const IMAGE = '/state/vol-1.img';
const STATE_FILE = '/state/vol-1.fuse.json';
const CHANNEL: FuseChannel = {
  start: () => undefined,
  reply: () => undefined,
  close: () => undefined,
};

/** One machine's mounts; `losetup` of a new session takes as long as a test wants. */
class FakeMounts implements FuseMounts {
  readonly mounted = new Set<string>();
  readonly loops = new Map<string, string>();
  mountPoints: string[] = [];
  loopDelay: Promise<void> = Promise.resolve();
  unknownCleared = 0;

  missing(): Promise<string[]> {
    return Promise.resolve([]);
  }

  mount(imageFile: string): Promise<{ channel: FuseChannel; state: FuseMountState }> {
    this.mounted.add(imageFile);
    const state = { imageFile, holderPid: 7, holderStart: '1', holderFd: 3, connection: 4 };
    return Promise.resolve({ channel: CHANNEL, state });
  }

  takeOver(): Promise<FuseChannel> {
    return Promise.resolve(CHANNEL);
  }

  async attachLoop(imageFile: string): Promise<string> {
    await this.loopDelay;
    this.loops.set('/dev/loop7', imageFile);
    return '/dev/loop7';
  }

  findLoops(imageFile: string): Promise<string[]> {
    return Promise.resolve(
      [...this.loops].filter(([, file]) => file === imageFile).map(([device]) => device),
    );
  }

  resizeLoop(): Promise<void> {
    return Promise.resolve();
  }

  detachLoop(device: string): Promise<void> {
    this.loops.delete(device);
    return Promise.resolve();
  }

  findMountPoints(): Promise<string[]> {
    return Promise.resolve(this.mountPoints);
  }

  unmount({ imageFile }: FuseMountState): Promise<void> {
    this.mounted.delete(imageFile);
    return Promise.resolve();
  }

  clearUnknown(imageFile: string): Promise<void> {
    if (this.mounted.delete(imageFile)) this.unknownCleared += 1;
    for (const [device, file] of this.loops) if (file === imageFile) this.loops.delete(device);
    return Promise.resolve();
  }
}

function makePlace() {
  const world = new SimWorld(1);
  const host = world.addNode('machine');
  const mounts = new FakeMounts();
  const create = (): VolumeFrontends =>
    new VolumeFrontends({
      host,
      fuseMounts: mounts,
      spec: { volume: 'vol-1' as VolumeId, claim: 'data', frontends: ['fuse'] },
      nbdPath: '/run/vol-1.nbd',
      stateDirectory: '/state',
      nbdDevice: () => new MemoryDevice({ sizeBytes: 4096 }),
      openSession: () => new MemoryDevice({ sizeBytes: 4096 }),
      epoch: () => 1,
    });
  const run = (action: () => Promise<void>): Promise<void> =>
    world.finish(host.disk.makeDirectory('/state').then(action));
  const assertNothingLeft = async (): Promise<void> => {
    assert.deepEqual([...mounts.mounted], []);
    assert.deepEqual([...mounts.loops.keys()], []);
    assert.equal(await host.disk.stat(STATE_FILE), undefined);
  };
  return { host, mounts, create, run, assertNothingLeft };
}

test('An end that meets a start under way leaves no mount, loop device or state', async () => {
  const { mounts, create, run, assertNothingLeft } = makePlace();
  await run(async () => {
    const loop = new Deferred<void>();
    mounts.loopDelay = loop.promise;
    const frontends = create();
    const start = frontends.start();
    const stop = frontends.stop(false);
    loop.resolve();
    await Promise.all([start, stop]);
    await assertNothingLeft();
    await frontends.start();
    await assertNothingLeft();
  });
});

test('The session of an engine before is ended, though this one never served it', async () => {
  const { mounts, create, run, assertNothingLeft } = makePlace();
  await run(async () => {
    const first = create();
    await first.start();
    await first.handOver();
    assert.deepEqual([...mounts.mounted], [IMAGE]);
    await create().stop(false);
    await assertNothingLeft();
  });
});

test('A mount that an engine was killed before it could note is ended', async () => {
  const { mounts, create, run, assertNothingLeft } = makePlace();
  await run(async () => {
    await mounts.mount(IMAGE);
    await create().stop(false);
    assert.equal(mounts.unknownCleared, 1);
    await assertNothingLeft();
    await mounts.mount(IMAGE);
    const next = create();
    await next.start();
    assert.equal(mounts.unknownCleared, 2, 'before the next session is mounted on it');
    await next.stop(false);
    await assertNothingLeft();
  });
});

test('What is mounted is not taken from under its filesystem, unless it is forced', async () => {
  const { mounts, create, run, assertNothingLeft } = makePlace();
  await run(async () => {
    const first = create();
    await first.start();
    mounts.mountPoints = ['/mnt/data'];
    await assert.rejects(first.stop(false), (error) => hasCode(error, 'in-use'));
    assert.equal(first.reports()[0]?.url, '/dev/loop7', 'it serves on');
    await first.handOver();
    await assert.rejects(create().stop(false), (error) => hasCode(error, 'in-use'));
    await create().stop(true);
    await assertNothingLeft();
  });
});
