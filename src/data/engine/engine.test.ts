/** Two engines on a simulated machine, with a volume of two replicas and no controller. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type AttachSpec,
  type ClusterId,
  type NodeId,
  parseId,
  type PoolId,
  type ReplicaId,
  type ReplicaPlace,
  type VolumeId,
} from '#api/mod.ts';
import { ENGINE_CHECKS } from '#api/checks/mod.ts';
import { writeDevice } from '#data/block/mod.ts';
import { NbdClientDevice } from '#data/frontend/mod.ts';
import { SimWorld } from '#host/sim/mod.ts';
import { serveRpc } from '#rpc/mod.ts';
import { Engine, VolumeService } from './mod.ts';

const MIB = 1024 * 1024;
const CLUSTER = parseId<ClusterId>('cluster', 'c-1');
const VOLUME = parseId<VolumeId>('volume', 'vol-1');
const RPC_PORT = 7_100;

class Machines {
  readonly world = new SimWorld(1);
  readonly host = this.world.addNode('machine');
  readonly engines: Engine[] = [];
  readonly places: ReplicaPlace[] = [];
  /** Ends the runner of the volume, as a thread that died. */
  die: (error: Error) => void = () => undefined;
  /** The calls that runners got, in order. */
  readonly calls: string[] = [];
  /** Between the end of a volume and the answer to who ended it. */
  afterStop: (service: VolumeService) => Promise<unknown> = () => Promise.resolve();

  async start(): Promise<void> {
    for (const name of ['n-1', 'n-2']) await this.#startNode(name);
    const founders = this.places.map(({ replica }) => replica);
    for (const [index, place] of this.places.entries()) await this.create(index, place, founders);
  }

  async #startNode(name: string): Promise<void> {
    const { host } = this;
    const engineAddress = `tcp:machine:${RPC_PORT + this.engines.length}`;
    const engine = this.#createEngine(name);
    await engine.start();
    await serveRpc(host.net, engineAddress, engine.handlers, { ...host, checks: ENGINE_CHECKS });
    await host.disk.makeDirectory(`/pool-${name}`);
    const pool = parseId<PoolId>('pool', `pool-${name}`);
    await engine.handlers['pool.ensure']({ pool, directory: `/pool-${name}`, create: true });
    this.engines.push(engine);
    this.places.push({
      replica: parseId<ReplicaId>('replica', `r-${name}`),
      node: parseId<NodeId>('node', name),
      pool,
      engine: engineAddress,
    });
  }

  #createEngine(name: string): Engine {
    const { host } = this;
    return new Engine({
      host,
      node: parseId<NodeId>('node', name),
      cluster: CLUSTER,
      version: '0',
      processId: 1,
      socketPrefix: `/run-${name}`,
      stateDirectory: `/state-${name}`,
      controllerAddress: 'tcp:machine:1',
      createRunner: (settings, onExit) => {
        this.die = onExit;
        const service = new VolumeService(settings, host, null);
        return {
          call: async (method, params) => {
            this.calls.push(method);
            const result = await service.handlers[method](params);
            if (method === 'volume.stop') await this.afterStop(service);
            return result;
          },
        };
      },
      onStop: () => undefined,
    });
  }

  /** The next process of the first node, after `between`. */
  async restartFirst(between: () => Promise<void>): Promise<Engine> {
    await this.first.stop();
    await between();
    const engine = this.#createEngine('n-1');
    await engine.start();
    this.engines[0] = engine;
    return engine;
  }

  get first(): Engine {
    return this.engines[0] as Engine;
  }

  async create(
    index: number,
    { replica, pool }: ReplicaPlace,
    founders: readonly ReplicaId[] | null,
    volume = VOLUME,
  ): Promise<void> {
    const identity = {
      cluster: CLUSTER,
      volume,
      replica,
      pool,
      shard: 0,
      segmentBytes: 64 * 1024,
      claim: 'default/demo',
    };
    await (this.engines[index] as Engine).handlers['replica.create']({
      pool,
      identity,
      sizeBytes: 4 * MIB,
      founders,
      cloneOf: null,
    });
  }

  get spec(): AttachSpec {
    return {
      cluster: CLUSTER,
      volume: VOLUME,
      claim: 'default/demo',
      sizeBytes: 4 * MIB,
      segmentBytes: 64 * 1024,
      replicas: this.places,
      isolation: 'shared',
      onQuorumLoss: 'suspend',
      frontends: [],
      readOnly: false,
      snapshot: null,
    };
  }

  async untilServing(members: number): Promise<void> {
    for (;;) {
      const { status } = await this.first.handlers['volume.describe']({ volume: VOLUME });
      const inSync = status.members.filter(({ phase }) => phase === 'in-sync').length;
      if (status.phase === 'serving' && inSync === members) return;
      await this.host.clock.sleep(20);
    }
  }
}

async function withMachines(scenario: (machines: Machines) => Promise<void>): Promise<void> {
  const machines = new Machines();
  await machines.world.finish(
    (async () => {
      await machines.start();
      await machines.first.handlers['volume.attach'](machines.spec);
      await machines.untilServing(2);
      await scenario(machines);
    })(),
  );
}

test('Engine reports the replicas and the size that a volume has now', async () => {
  await withMachines(async ({ first, places }) => {
    const grown = await first.handlers['volume.grow']({ volume: VOLUME, sizeBytes: 8 * MIB });
    assert.equal(grown.spec.sizeBytes, 8 * MIB);
    const kept = places.slice(0, 1);
    const changed = await first.handlers['volume.setReplicas']({ volume: VOLUME, replicas: kept });
    assert.deepEqual(changed.spec.replicas, kept);
    const later = await first.handlers['volume.describe']({ volume: VOLUME });
    assert.deepEqual(later.spec.replicas, kept);
    assert.equal(later.spec.sizeBytes, 8 * MIB);
  });
});

test('Engine says that a volume is blank until something was written', async () => {
  await withMachines(async (machines) => {
    const { first, host } = machines;
    await first.handlers['volume.detach']({ volume: VOLUME });
    await first.handlers['volume.attach']({ ...machines.spec, frontends: ['nbd'] });
    await machines.untilServing(2);
    const ask = (): Promise<{ isBlank: boolean }> =>
      first.handlers['volume.isBlank']({ volume: VOLUME });
    assert.deepEqual(await ask(), { isBlank: true });

    const { frontends } = await first.handlers['volume.describe']({ volume: VOLUME });
    const url = new URL(frontends[0]?.url ?? '');
    const path = url.searchParams.get('socket') ?? '';
    const client = await NbdClientDevice.connect(host, { kind: 'unix', path }, VOLUME);
    await writeDevice(client, 3 * MIB, new Uint8Array(4_096).fill(1));
    await client.close();
    assert.deepEqual(await ask(), { isBlank: false });
  });
});

test('Engine lets the local replica be deleted once the volume goes on without it', async () => {
  await withMachines(async ({ first, places }) => {
    const [local, other] = places as [ReplicaPlace, ReplicaPlace];
    await assert.rejects(first.handlers['replica.delete']({ replica: local.replica }), {
      code: 'in-use',
    });
    await first.handlers['volume.setReplicas']({ volume: VOLUME, replicas: [other] });
    const { state } = await first.handlers['replica.describe']({ replica: local.replica });
    assert.notEqual(state, null, 'open again, in the engine');
    await first.handlers['replica.delete']({ replica: local.replica });
    await assert.rejects(first.handlers['replica.describe']({ replica: local.replica }), {
      code: 'not-found',
    });
    const { status } = await first.handlers['volume.describe']({ volume: VOLUME });
    assert.equal(status.phase, 'serving');
    await first.handlers['volume.detach']({ volume: VOLUME });
  });
});

test('A volume that ends is not asked to open its replica once more', async () => {
  await withMachines(async (machines) => {
    const { first, host, calls } = machines;
    machines.afterStop = async () => {
      calls.length = 0;
      const pool = parseId<PoolId>('pool', 'pool-new');
      await host.disk.makeDirectory('/pool-new');
      void first.handlers['pool.ensure']({ pool, directory: '/pool-new', create: true });
      await host.clock.sleep(500);
    };
    await first.handlers['volume.detach']({ volume: VOLUME });
    assert.deepEqual(calls, []);
    const { replica } = machines.places[0] as ReplicaPlace;
    await first.handlers['replica.delete']({ replica });
  });
});

test('A volume that has ended opens nothing, whoever asks it', async () => {
  await withMachines(async (machines) => {
    const directory = '/pool-n-1/replicas/r-n-1';
    machines.afterStop = (service) => service.handlers['volume.openReplica']({ directory });
    const { first } = machines;
    await first.handlers['volume.detach']({ volume: VOLUME });
    const { replica } = machines.places[0] as ReplicaPlace;
    assert.equal((await first.handlers['replica.describe']({ replica })).errorCode, '');
    await first.handlers['replica.delete']({ replica });
  });
});

test('A pool that comes back under an attached volume brings its replica back', async () => {
  const machines = new Machines();
  await machines.world.finish(
    (async () => {
      await machines.start();
      const { disk, clock } = machines.host;
      // As on a machine that starts before its disk is mounted.
      const engine = await machines.restartFirst(() => disk.rename('/pool-n-1', '/away'));
      await engine.handlers['volume.attach'](machines.spec);
      await clock.sleep(500);
      const before = await engine.handlers['volume.describe']({ volume: VOLUME });
      assert.notEqual(before.status.phase, 'serving');

      await disk.rename('/away', '/pool-n-1');
      const pool = parseId<PoolId>('pool', 'pool-n-1');
      await engine.handlers['pool.ensure']({ pool, directory: '/pool-n-1', create: false });
      await machines.untilServing(2);
    })(),
  );
});

test('Engine serves a volume whose thread died as it was changed last', async () => {
  await withMachines(async (machines) => {
    const { first, places } = machines;
    const replicas = places.slice(1);
    await first.handlers['volume.setReplicas']({ volume: VOLUME, replicas });
    machines.die(new Error('out of memory'));
    await machines.host.clock.sleep(100);
    await machines.untilServing(1);
    const { spec } = await first.handlers['volume.describe']({ volume: VOLUME });
    assert.deepEqual(spec.replicas, replicas);
  });
});

test('Engine says since when a member is as it is, as people count time', async () => {
  await withMachines(async ({ first, host }) => {
    const { status } = await first.handlers['volume.describe']({ volume: VOLUME });
    for (const { sinceMs } of status.members) {
      assert.ok(Math.abs(host.clock.wallMs() - sinceMs) < 60_000, `${sinceMs}`);
    }
  });
});

test('Engine tells of one volume alone, pools included, when it is asked for that', async () => {
  await withMachines(async (machines) => {
    const { first, places } = machines;
    const other = parseId<VolumeId>('volume', 'vol-2');
    const [place] = places as [ReplicaPlace];
    const replica = parseId<ReplicaId>('replica', 'r-other');
    await machines.create(0, { ...place, replica }, [replica], other);
    const told = async (volume: VolumeId) => {
      const { pools, attachments } = await first.handlers['engine.describeVolume']({ volume });
      return {
        pools: pools.map(({ pool }) => pool),
        replicas: pools.flatMap((pool) => pool.replicas.map(({ identity }) => identity.replica)),
        attachments: attachments.map((report) => report.volume),
      };
    };
    const pools = [place.pool];
    assert.deepEqual(await told(VOLUME), {
      pools,
      replicas: [place.replica],
      attachments: [VOLUME],
    });
    assert.deepEqual(await told(other), { pools, replicas: [replica], attachments: [] });
    const all = await first.handlers['engine.describe']({});
    assert.equal(all.pools[0]?.replicas.length, 2);
  });
});
