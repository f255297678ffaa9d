/**
 * Random schedules of nodes that fall silent, come back, lose their disk or are drained, over the
 * real reconcilers: no last copy is ever deleted, and with the faults over everything is whole.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { API_VERSION, findCondition } from '#api/kinds/mod.ts';
import { Fleet } from '#control/operator/fleet.testkit.ts';

const MIB = 2 ** 20;
const SEEDS = 4;
const NAMES = ['one', 'two', 'three'] as const;

type Draw = (below: number) => number;

async function makeVolumes(fleet: Fleet, draw: Draw): Promise<void> {
  for (const [at, name] of NAMES.entries()) {
    await fleet.client.create('Volume', {
      apiVersion: API_VERSION,
      kind: 'Volume',
      metadata: { name },
      spec: { size: '1Gi', replicas: at === 0 ? 2 : 3, replaceAfterSeconds: 30 + draw(120) },
    });
  }
  await fleet.until('made', async () => {
    const { items } = await fleet.client.list('Volume');
    return items.every(({ status }) => isTrue(status?.conditions, 'Ready'));
  });
  for (const { metadata, spec } of (await fleet.client.list('Volume')).items) {
    fleet.copies.fill(metadata.name, draw(400) * MIB);
    if (draw(3) === 0) continue;
    const attachment = { nodeName: spec.placement?.[0]?.nodeName, frontends: ['nbd'] };
    await fleet.client.patch('Volume', { name: metadata.name }, { spec: { attachment } });
  }
}

function isTrue(conditions: Parameters<typeof findCondition>[0], type: string): boolean {
  return findCondition(conditions, type)?.status === 'True';
}

/** A disk that dies takes a copy for good: only where another current one is left. */
function mayDie(fleet: Fleet, node: string): boolean {
  return [...fleet.node(node).pools.values()].every((pool) =>
    [...pool.replicas.values()].every(
      ({ identity }) => fleet.copies.countCurrent(identity.volume, identity.replica) > 0,
    ),
  );
}

async function trouble(fleet: Fleet, draw: Draw): Promise<void> {
  const name = `node-${1 + draw(fleet.nodes.size)}`;
  const node = fleet.node(name);
  const silent = [...fleet.nodes.values()].filter((each) => each.isSilent);
  switch (draw(6)) {
    case 0:
    case 1:
      if (silent.length < 2) node.isSilent = true;
      return;
    case 2:
    case 3:
      for (const each of silent) each.isSilent = draw(2) === 0;
      return;
    case 4:
      if (mayDie(fleet, name)) for (const pool of node.pools.values()) pool.replicas.clear();
      return;
    default:
      await fleet.client.patch('StorageNode', { name }, { spec: { drain: draw(2) === 0 } });
  }
}

async function heal(fleet: Fleet): Promise<void> {
  for (const node of fleet.nodes.values()) {
    node.isSilent = false;
    await fleet.client.patch('StorageNode', { name: node.name }, { spec: { drain: false } });
  }
  await fleet.until(
    'everything is whole',
    async () => {
      for (const { metadata, spec, status } of (await fleet.client.list('Volume')).items) {
        const redundant = findCondition(status?.conditions, 'Redundant');
        assert.equal(redundant?.reason, 'AsWanted', `${metadata.name}: ${redundant?.message}`);
        assert.equal(spec.placement?.length, spec.replicas);
        assert.equal(fleet.copies.countCurrent(metadata.name), spec.replicas, metadata.name);
      }
      const { items } = await fleet.client.list('Replica');
      assert.ok(items.every((each) => each.metadata.deletionTimestamp === undefined));
    },
    3_600_000,
  );
}

async function run(seed: number, disturb: (fleet: Fleet) => Promise<void>): Promise<Fleet> {
  const fleet = new Fleet(seed, 5 + (seed % 3));
  const { rng } = fleet.world.addNode('draws');
  const draw: Draw = (below) => rng.below(below);
  await fleet.run(async () => {
    await makeVolumes(fleet, draw);
    for (let step = 0; step < 20; step += 1) {
      await trouble(fleet, draw);
      await fleet.host.clock.sleep(1_000 + draw(90_000));
    }
    await disturb(fleet);
    await heal(fleet);
  }, 20_000_000);
  return fleet;
}

test(`${SEEDS} random schedules end whole, and no last copy is deleted`, async (t) => {
  let replaced = 0;
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const fleet = await run(seed, async () => {});
    assert.deepEqual(fleet.copies.violations, [], `seed ${seed}`);
    replaced += fleet.calls('replica.delete');
  }
  t.diagnostic(`${replaced} replicas were removed`);
  assert.ok(replaced > SEEDS, 'the schedules do make replicas go');
});

test('A deletion of the only current copy is noticed', async () => {
  const fleet = new Fleet(1, 3);
  await fleet.run(async () => {
    await makeVolumes(fleet, () => 0);
    const [volume] = (await fleet.client.list('Volume')).items;
    const [first, ...others] = volume?.spec.placement ?? [];
    for (const { nodeName } of others) fleet.node(nodeName).isSilent = true;
    const replica = first?.replicaName ?? '';
    await fleet.node(first?.nodeName ?? '').call('replica.delete', { replica });
  });
  assert.equal(fleet.copies.violations.length, 1);
});
