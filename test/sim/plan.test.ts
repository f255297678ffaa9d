/**
 * A plan is right: what `plan` foretells is what the operator then does. Real reconcilers, scripted
 * engines whose rebuilds take their time and are counted.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KindName, Volume } from '#api/kinds/mod.ts';
import { API_VERSION, findCondition } from '#api/kinds/mod.ts';
import type { Forecast, ForecastVerb } from '#api/mod.ts';
import { Fleet } from '#control/operator/fleet.testkit.ts';
import { createControllerHandlers } from '#control/operator/mod.ts';

const MIB = 2 ** 20;
const FLEETS = 20;
const PLANS_EACH = 10;
const INFO = { cluster: 'c', version: '0', pid: 1, manifestErrors: [] };

interface Plan {
  readonly verb: ForecastVerb;
  readonly kind: KindName;
  readonly name: string;
  readonly size?: string;
}

type Draw = (below: number) => number;

async function list(fleet: Fleet): Promise<readonly Volume[]> {
  return (await fleet.client.list('Volume')).items;
}

/** What a change of a volume is: where it lies, how large it is, whether it is there. */
async function fingerprints(fleet: Fleet): Promise<Map<string, string>> {
  const volumes = await list(fleet);
  return new Map(
    volumes.map(({ metadata, spec }) => [
      metadata.name,
      JSON.stringify([
        spec.size,
        (spec.placement ?? []).map((entry) => entry.replicaName).sort(),
        metadata.deletionTimestamp,
      ]),
    ]),
  );
}

function copied(fleet: Fleet): number {
  return [...fleet.copies.copiedBytes.values()].reduce((sum, bytes) => sum + bytes, 0);
}

async function makeVolumes(fleet: Fleet, draw: Draw): Promise<void> {
  for (let index = 1; index <= 2 + draw(4); index += 1) {
    const name = `vol-${index}`;
    const replicas = 1 + draw(Math.min(3, fleet.nodes.size - 1));
    await fleet.client.create('Volume', {
      apiVersion: API_VERSION,
      kind: 'Volume',
      metadata: { name },
      spec: { size: '1Gi', replicas, replaceAfterSeconds: 20 },
    });
    await fleet.until('made', async () => {
      const { status } = await fleet.client.get('Volume', { name });
      return findCondition(status?.conditions, 'Ready')?.status === 'True';
    });
    fleet.copies.fill(name, (1 + draw(300)) * MIB + draw(4096));
    if (draw(2) === 0) continue;
    const placement = (await fleet.client.get('Volume', { name })).spec.placement;
    const attachment = { nodeName: placement?.[0]?.nodeName, frontends: ['nbd'] };
    await fleet.client.patch('Volume', { name }, { spec: { attachment } });
  }
}

/** Every volume is as wanted, or says why it cannot be; every replica that was to go is gone. */
async function settle(fleet: Fleet): Promise<void> {
  const ENDS = new Set(['AsWanted', 'CannotMove', 'NoPlacement']);
  let calm = 0;
  let before = '';
  await fleet.until(
    'settled',
    async () => {
      const volumes = await list(fleet);
      const { items: replicas } = await fleet.client.list('Replica');
      const reasons = volumes.map(
        ({ status }) => findCondition(status?.conditions, 'Redundant')?.reason ?? '',
      );
      const now = JSON.stringify([reasons, replicas.map((each) => each.metadata.name)]);
      const isQuiet =
        now === before &&
        reasons.every((reason) => ENDS.has(reason)) &&
        replicas.every((each) => each.metadata.deletionTimestamp === undefined);
      before = now;
      calm = isQuiet ? calm + 1 : 0;
      return calm >= 15;
    },
    600_000,
  );
  // Replicas tell how much they hold when they are looked at.
  for (let tries = 0; tries < 200; tries += 1) {
    const { items } = await fleet.client.list('Replica');
    const held = items.every(({ metadata, spec, status }) => {
      const node = fleet.node(spec.nodeName);
      const report = node.pools.get(spec.poolName)?.replicas.get(metadata.name);
      return (status?.dataBytes ?? -1) >= (report?.usage?.headBytes ?? 0);
    });
    if (held) return;
    await fleet.host.clock.sleep(1_000);
  }
  throw new Error('never: replicas tell how much they hold');
}

async function choose(fleet: Fleet, draw: Draw): Promise<Plan> {
  const pick = <T>(items: readonly T[]): T => items[draw(items.length)] as T;
  const node = `node-${1 + draw(fleet.nodes.size)}`;
  const volumes = await list(fleet);
  const { items } = await fleet.client.list('Replica');
  const volume = pick(volumes).metadata.name;
  const plans: readonly Plan[] = [
    { verb: 'drain', kind: 'StorageNode', name: node },
    { verb: 'drain', kind: 'DiskPool', name: `${node}-pool` },
    { verb: 'drain', kind: 'StorageNode', name: node },
    { verb: 'cordon', kind: 'StorageNode', name: node },
    { verb: 'replace', kind: 'DiskPool', name: `${node}-pool` },
    { verb: 'replace', kind: 'StorageNode', name: node },
    { verb: 'delete', kind: 'Replica', name: pick(items).metadata.name },
    { verb: 'expand', kind: 'Volume', name: volume, size: `${2 + draw(50)}Gi` },
    ...(volumes.length > 2 ? [{ verb: 'delete', kind: 'Volume', name: volume } as const] : []),
  ];
  return pick(plans);
}

/** Does it, and takes it back afterwards, so that the next plan finds a whole cluster. */
async function execute(fleet: Fleet, plan: Plan): Promise<() => Promise<void>> {
  const { verb, kind, name } = plan;
  const spec = (value: object) => fleet.client.patch(kind, { name }, { spec: value });
  switch (verb) {
    case 'drain':
      await spec({ drain: true, unschedulable: true });
      return async () => void (await spec({ drain: false, unschedulable: false }));
    case 'cordon':
      await spec({ unschedulable: true });
      return async () => void (await spec({ unschedulable: false }));
    case 'expand': {
      await spec({ size: plan.size });
      return async () => {};
    }
    case 'delete':
      await fleet.client.delete(kind, { name });
      return async () => {};
    case 'replace': {
      const node = fleet.node(name.replace(/-pool$/, ''));
      await spec({ unschedulable: true });
      const { name: pool } = { name: `${node.name}-pool` };
      // As if its disk came back empty.
      node.pools.get(pool)?.replicas.clear();
      return async () => void (await spec({ unschedulable: false }));
    }
  }
}

/** Volumes that can be lost by the plan are left out: a single copy on a disk that dies. */
function isSurvivable(forecast: Forecast): boolean {
  return forecast.steps.every((step) => !step.risk.startsWith('no copy'));
}

function problemsOf(forecast: Forecast, changed: readonly string[], bytes: number): string[] {
  const foretold = [...new Set(forecast.steps.map((step) => step.volume))].sort();
  const problems: string[] = [];
  if (JSON.stringify(foretold) !== JSON.stringify([...changed].sort())) {
    problems.push(`volumes ${foretold.join(' ')} foretold, ${changed.join(' ')} changed`);
  }
  if (Math.abs(forecast.bytesMoved - bytes) > Math.max(bytes, forecast.bytesMoved) * 0.2) {
    problems.push(`${forecast.bytesMoved} bytes foretold, ${bytes} copied`);
  }
  return problems;
}

/** Planted: each of these must be caught. */
function mistakesOf(forecast: Forecast): Forecast[] {
  const { steps, bytesMoved } = forecast;
  return [
    ...(steps.length === 0 ? [] : [{ ...forecast, steps: steps.slice(1) }]),
    ...(bytesMoved === 0 ? [] : [{ ...forecast, bytesMoved: bytesMoved / 2 }]),
  ];
}

test('200 random plans are executed as they were foretold', { timeout: 600_000 }, async (t) => {
  const problems: string[] = [];
  const verbs = new Map<string, number>();
  let passed = 0;
  for (let seed = 1; seed <= FLEETS; seed += 1) {
    const fleet = new Fleet(1_000 + seed, 3 + (seed % 4));
    const { rng } = fleet.world.addNode('draws');
    const draw: Draw = (below) => rng.below(below);
    await fleet.run(async () => {
      const deleted: string[] = [];
      const handlers = createControllerHandlers(fleet.operator, INFO);
      await makeVolumes(fleet, draw);
      await settle(fleet);
      for (let done = 0; done < PLANS_EACH; ) {
        const plan = await choose(fleet, draw);
        const forecast = await handlers['cluster.plan'](plan);
        if (!isSurvivable(forecast)) continue;
        const before = await fingerprints(fleet);
        const bytesBefore = copied(fleet);
        if (forecast.blockers.length > 0 && plan.verb === 'delete') continue;
        if (forecast.blockers.length > 0 && plan.verb === 'expand') {
          await assert.rejects(execute(fleet, plan), 'foretold as refused');
          continue;
        }
        if (plan.verb === 'delete' && plan.kind === 'Volume') deleted.push(plan.name);
        const undo = await execute(fleet, plan);
        await fleet.host.clock.sleep(30_000);
        await settle(fleet);
        const after = await fingerprints(fleet);
        const changed = [...before.keys()].filter((name) => before.get(name) !== after.get(name));
        const bytes = copied(fleet) - bytesBefore;
        const said = problemsOf(forecast, changed, bytes);
        const name = `seed ${seed}: ${plan.verb} ${plan.kind} ${plan.name}`;
        problems.push(...said.map((problem) => `${name}: ${problem}`));
        verbs.set(plan.verb, (verbs.get(plan.verb) ?? 0) + 1);
        passed += mistakesOf(forecast).filter(
          (mistake) => problemsOf(mistake, changed, bytes).length === 0,
        ).length;
        await undo();
        await settle(fleet);
        done += 1;
      }
      const wrong = fleet.copies.violations.filter(
        (each) => !deleted.some((name) => each.endsWith(` ${name}`)),
      );
      assert.deepEqual(wrong, [], 'the last copy of a volume that stays was deleted');
    }, 10_000_000);
  }
  t.diagnostic([...verbs].map(([verb, count]) => `${verb} ${count}`).join(', '));
  assert.deepEqual(problems, []);
  assert.equal(passed, 0, 'a wrong forecast passed');
});
