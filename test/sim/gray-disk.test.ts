/**
 * Gray disks on a simulated cluster with the policy that ships: a member whose disk takes two
 * seconds per operation, or never answers, leaves soon, and only what lives on that disk waits.
 * The times are simulated: the same on every machine.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_NEXUS_POLICY, type Nexus, type NexusPolicy } from '#data/nexus/mod.ts';
import { BLOCK_BYTES, type BlockRequest, createRequest } from '#data/block/mod.ts';
import { SimWorld, type DiskFaultEffect } from '#host/sim/mod.ts';
import { SimCluster } from './sim-cluster.ts';

const BEFORE_MS = 4_000;
/** Long enough for the member to come back, as slow as it left. */
const AFTER_MS = 20_000;
const CLIENTS = 4;
const STALL_MS_MAX = 6_000;
const REMOVED_MS_MAX = 10_000;

/** Reads and writes, one at a time; every 50th is a flush. */
class Load {
  readonly writeMs: { readonly atMs: number; readonly tookMs: number }[] = [];
  readonly errors: string[] = [];
  stopped = false;
  readonly #world: SimWorld;
  readonly #nexus: Nexus;

  constructor(world: SimWorld, nexus: Nexus, name: string) {
    this.#world = world;
    this.#nexus = nexus;
    const rng = world.rng(`load ${name}`);
    for (let client = 0; client < CLIENTS; client += 1) {
      const request = createRequest();
      request.data = new Uint8Array(BLOCK_BYTES).fill(client + 1);
      const next = (): void => {
        if (this.stopped) return;
        const dice = rng.below(50);
        const verb = dice === 0 ? 'flush' : dice < 30 ? 'write' : 'read';
        this.#submit(request, verb, rng.below(nexus.sizeBytes / BLOCK_BYTES), () => {
          world.at(world.nowMs + 1 + rng.below(10), next);
        });
      };
      next();
    }
  }

  #submit(
    request: BlockRequest,
    verb: 'read' | 'write' | 'flush',
    block: number,
    then: () => void,
  ): void {
    const fromMs = this.#world.nowMs;
    request.verb = verb;
    request.offsetBytes = verb === 'flush' ? 0 : block * BLOCK_BYTES;
    request.lengthBytes = verb === 'flush' ? 0 : BLOCK_BYTES;
    request.done = (_request, error) => {
      if (error !== null) this.errors.push(error.code);
      const tookMs = this.#world.nowMs - fromMs;
      if (verb === 'write') this.writeMs.push({ atMs: fromMs, tookMs });
      then();
    };
    this.#nexus.submit(request);
  }

  /** Of the writes begun in this time. */
  p99Ms(fromMs: number, toMs: number): number {
    const took = this.writeMs
      .filter(({ atMs }) => atMs >= fromMs && atMs < toMs)
      .map(({ tookMs }) => tookMs)
      .sort((a, b) => a - b);
    return took[Math.floor(took.length * 0.99)] ?? Infinity;
  }

  get longestMs(): number {
    return Math.max(...this.writeMs.map(({ tookMs }) => tookMs));
  }
}

interface Outcome {
  readonly removedAfterMs: number;
  readonly load: Load;
  readonly beside: Load;
  readonly struckMs: number;
  readonly endMs: number;
}

/** The disk under the first volume of one machine, which is not that of the nexus, turns gray. */
async function play(effect: DiskFaultEffect, changes: Partial<NexusPolicy> = {}): Promise<Outcome> {
  const world = new SimWorld(7);
  const policy = { ...DEFAULT_NEXUS_POLICY, ...changes };
  const cluster = new SimCluster(world, { policy });
  const other = new SimCluster(world, {
    policy,
    beside: cluster,
    volume: 'vol-beside',
    directory: '/other-disk',
    port: 7_001,
  });
  await world.finish(cluster.create());
  await world.finish(other.create());
  const [nexus, second] = [cluster, other].map((each) =>
    each.createNexus(each.site('a'), 'a/1/1'),
  ) as [Nexus, Nexus];
  await world.finish(Promise.all([nexus.start(), second.start()]));
  const load = new Load(world, nexus, 'gray');
  const beside = new Load(world, second, 'beside');
  await world.run({ forMs: BEFORE_MS });
  const struckMs = world.nowMs;
  world.disk('b').addFault({ path: cluster.directory, effect });
  const isRemoved = (): boolean => nexus.status().record?.members.length === 2;
  const removed = await world.run({ forMs: AFTER_MS, until: isRemoved });
  const removedAfterMs = removed ? world.nowMs - struckMs : Infinity;
  const endMs = struckMs + AFTER_MS;
  await world.run({ untilMs: endMs });
  for (const each of [load, beside]) each.stopped = true;
  return { removedAfterMs, load, beside, struckMs, endMs };
}

for (const [name, effect] of [
  ['takes 2 s per operation', { kind: 'delay', ms: 2_000 }],
  ['never answers', { kind: 'hang' }],
] as const) {
  test(`A disk that ${name} costs one stall, and nothing on other disks`, async (context) => {
    const { removedAfterMs, load, beside, struckMs, endMs } = await play(effect);
    const [before, after] = [load.p99Ms(0, struckMs), load.p99Ms(struckMs, endMs)];
    const [calm, troubled] = [beside.p99Ms(0, struckMs), beside.p99Ms(struckMs, endMs)];
    context.diagnostic(
      `removed after ${removedAfterMs.toFixed(0)} ms, longest stall ${load.longestMs.toFixed(0)} ms; ` +
        `p99 ${before.toFixed(2)} ms before, ${after.toFixed(2)} ms after; ` +
        `beside ${calm.toFixed(2)} and ${troubled.toFixed(2)} ms`,
    );
    ok(removedAfterMs <= REMOVED_MS_MAX, `removed after ${removedAfterMs} ms`);
    ok(load.longestMs <= STALL_MS_MAX, `a write took ${load.longestMs} ms`);
    ok(after < 3 * before, `p99 ${before} ms before, ${after} ms after`);
    ok(troubled < 2 * calm, `beside: p99 ${calm} ms before, ${troubled} ms after`);
    deepEqual([...load.errors, ...beside.errors], []);
  });
}

test('A patience of minutes for a member fails this check: it is what bounds the stall', async () => {
  const { removedAfterMs, load, struckMs, endMs } = await play(
    { kind: 'delay', ms: 2_000 },
    { memberDeadlineMs: 600_000 },
  );
  equal(removedAfterMs, Infinity);
  ok(load.p99Ms(struckMs, endMs) >= 3 * load.p99Ms(0, struckMs));
});
