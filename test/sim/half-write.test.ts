/**
 * A write that every member fails, each perhaps half-way: what is left of it is old or new in each
 * sector, and stays what was read once, for the next engine too (reliability: W13, W14).
 */
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { comparePositions, HoldfastError } from '#api/mod.ts';
import { BLOCK_BYTES, readDevice, SECTOR_BYTES, writeDevice } from '#data/block/mod.ts';
import type { Member } from '#data/member/mod.ts';
import type { Nexus } from '#data/nexus/mod.ts';
import { SimWorld } from '#host/sim/mod.ts';
import { replicaDifferences } from './compare-replicas.ts';
import { SIM_NODES, SimCluster, type PlantedParts } from './sim-cluster.ts';

const LENGTH = 4 * BLOCK_BYTES;
const SEEDS = 12;

/** One byte for each sector; throws where a sector is not all of one. */
async function sectors(nexus: Nexus): Promise<number[]> {
  const data = await readDevice(nexus, 0, LENGTH);
  return Array.from({ length: LENGTH / SECTOR_BYTES }, (_, index) => {
    const sector = data.subarray(index * SECTOR_BYTES, (index + 1) * SECTOR_BYTES);
    const value = sector[0] as number;
    ok(
      sector.every((byte) => byte === value),
      `sector ${index} is torn`,
    );
    return value;
  });
}

function withMethod<K extends keyof Member>(member: Member, name: K, method: Member[K]): Member {
  return new Proxy(member, {
    get: (target, key) => {
      if (key === name) return method;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

function isBlockMixed(values: readonly number[]): boolean {
  const inBlock = BLOCK_BYTES / SECTOR_BYTES;
  return values.some((value, index) => value !== values[index - (index % inBlock)]);
}

/** A nexus whose only write of 2 over 1 just failed on every member. */
async function failWrite(
  world: SimWorld,
  nodes: readonly string[],
  parts: PlantedParts = {},
): Promise<{ cluster: SimCluster; nexus: Nexus }> {
  const cluster = new SimCluster(world, { replicaNodes: nodes, parts });
  await world.finish(cluster.create());
  const nexus = cluster.createNexus(cluster.site('a'), 'a/1/1');
  await world.finish(nexus.start());
  await world.finish(writeDevice(nexus, 0, new Uint8Array(LENGTH).fill(1)));
  for (const node of nodes) {
    const effect = { kind: 'fail', code: 'io-error' } as const;
    world.disk(node).addFault({ path: /\.data$/, verbs: ['write'], times: 1, effect });
  }
  const failure = await world.finish(
    writeDevice(nexus, 0, new Uint8Array(LENGTH).fill(2)).then(
      () => null,
      (error: unknown) => error,
    ),
  );
  ok(HoldfastError.is(failure));
  equal(`${failure.code}, effect ${failure.effect}`, 'io-error, effect unknown');
  return { cluster, nexus };
}

/** What was read, before and after everything crashed. */
async function play(
  seed: number,
  nodes: readonly string[],
  parts: PlantedParts = {},
): Promise<number[]> {
  const world = new SimWorld(seed);
  const { cluster, nexus } = await failWrite(world, nodes, parts);
  const left = await world.finish(sectors(nexus));
  ok(left.every((value) => value === 1 || value === 2));
  deepEqual(await world.finish(sectors(nexus)), left);

  for (const node of nodes) cluster.crash(cluster.site(node));
  for (const node of nodes) cluster.restart(cluster.site(node));
  await world.run({ forMs: 500 });
  const second = cluster.createNexus(cluster.site(nodes.at(-1) as string), 'b/1/1');
  await world.finish(second.start());
  deepEqual(await world.finish(sectors(second)), left, 'the next engine says something else');
  await world.finish(writeDevice(second, 0, new Uint8Array(LENGTH).fill(3)));
  ok((await world.finish(sectors(second))).every((value) => value === 3));
  return left;
}

for (const nodes of [['a'], ['a', 'b', 'c']]) {
  test(`A write that fails half-way on ${nodes.length} of ${nodes.length} members leaves sectors old or new, for good`, async () => {
    let mixed = 0;
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      if (isBlockMixed(await play(seed, nodes))) mixed += 1;
    }
    ok(mixed > 0, 'no seed tore a block: nothing was tried');
  });
}

/** Each member takes so long to say what it holds. */
function slowInspection(world: SimWorld, ms: number): PlantedParts {
  const wrapMember = (member: Member): Member =>
    withMethod(member, 'inspect', async (layer, segment) => {
      await new Promise<void>((resolve) => world.at(world.nowMs + ms, resolve));
      return member.inspect(layer, segment);
    });
  return { wrapMember };
}

/** What the members of the last record hold, when it was closed; how many they are. */
async function compareMembers(world: SimWorld, cluster: SimCluster): Promise<number> {
  const records = cluster.wanted.flatMap((id) => cluster.storeOf(id)?.state().record ?? []);
  const newest = records.toSorted(comparePositions).at(-1);
  ok(newest?.closed === true, 'the volume was not closed');
  cluster.wanted = newest.members.map(({ replica }) => replica);
  deepEqual(await world.finish(replicaDifferences(cluster, [])), []);
  return cluster.wanted.length;
}

test('Members that may differ after such a write are not closed as equal', async () => {
  let fewest = Infinity;
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const world = new SimWorld(seed);
    const { cluster, nexus } = await failWrite(world, SIM_NODES, slowInspection(world, 100));
    await world.finish(nexus.close());
    fewest = Math.min(fewest, await compareMembers(world, cluster));
  }
  ok(fewest < SIM_NODES.length, 'no seed left members that differ: nothing was tried');
});

test('Members keep their marks while they are compared', async () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const world = new SimWorld(seed);
    const { cluster } = await failWrite(world, SIM_NODES, slowInspection(world, 900));
    // Flushes and rounds of housekeeping go by; the comparison has not come to an end.
    await world.run({ forMs: 1_700 });
    for (const site of cluster.sites) cluster.crash(site);
    for (const site of cluster.sites) cluster.restart(site);
    await world.run({ forMs: 500 });
    const second = cluster.createNexus(cluster.site('b'), 'b/1/1');
    await world.finish(second.start());
    await world.finish(sectors(second));
    await world.finish(second.close());
    await compareMembers(world, cluster);
  }
});

/** It says yes to a settlement and leaves its blocks in doubt. */
function settlesNothing(member: Member): Member {
  return withMethod(member, 'settle', () => Promise.resolve());
}

test('A planted member that settles nothing after such a write is caught', async () => {
  let caught = '';
  for (let seed = 1; seed <= SEEDS && caught === ''; seed += 1) {
    await play(seed, ['a'], { wrapMember: settlesNothing }).catch((error: unknown) => {
      caught = String(error);
    });
  }
  match(caught, /No member has a good copy/);
});
