/**
 * One seed: a volume under load while machines die, disks lie and networks part; then everything is
 * healed, progress is demanded, and the outcome is checked (test/sim/main.ts says how to replay
 * one).
 */
import type { Nexus } from '#data/nexus/mod.ts';
import { Chores } from './chores.ts';
import { replicaDifferences } from './compare-replicas.ts';
import { drawFault, type FaultKind, type Layout } from './fault-plan.ts';
import { Nemesis } from './nemesis.ts';
import { Scene } from './scene.ts';
import { SetPieces } from './set-pieces.ts';
import type { PlantedParts } from './sim-cluster.ts';

/** Between two faults at least; a few follow each other closely. */
const STEP_MS_MIN = 50;
const STEP_MS_MAX = 1_250;
const HEAL_MS_MAX = 120_000;

export interface SeedOptions {
  /** Simulated time with faults. */
  readonly faultyMs: number;
  readonly parts: PlantedParts;
  readonly log: (line: string) => void;
}

export interface SeedOutcome {
  readonly seed: number;
  readonly problem: string | null;
  readonly layout: Layout;
  readonly operations: number;
  readonly flushes: number;
  readonly faults: ReadonlyMap<FaultKind, number>;
  readonly deaths: number;
  readonly openings: number;
  readonly losses: number;
  readonly snapshotsRead: number;
  readonly traceHash: string;
  readonly simulatedMs: number;
}

export async function runSeed(seed: number, options: SeedOptions): Promise<SeedOutcome> {
  const run = new SeedRun(seed, options);
  let problem: string | null = null;
  try {
    problem = await run.play();
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    problem = `exception: ${text}`;
  }
  return run.outcome(problem);
}

class SeedRun {
  readonly #seed: number;
  readonly #options: SeedOptions;
  readonly #scene: Scene;
  readonly #chores: Chores;
  readonly #nemesis: Nemesis;
  readonly #pieces: SetPieces;
  #snapshotsRead = 0;

  constructor(seed: number, options: SeedOptions) {
    this.#seed = seed;
    this.#options = options;
    this.#scene = new Scene(seed, options.parts, options.log);
    this.#chores = new Chores(this.#scene);
    this.#nemesis = new Nemesis(this.#scene, this.#chores);
    this.#pieces = new SetPieces(this.#scene, this.#nemesis, options.faultyMs);
  }

  async play(): Promise<string | null> {
    const { world, cluster, plan, rng, ledger } = this.#scene;
    this.#scene.say(
      `layout ${plan.layout}${plan.onlyLiar ? `, all on ${this.#scene.liar.node}` : ''}`,
    );
    await world.finish(cluster.create());
    this.#scene.open(this.#scene.nexusSite);
    const endMs = world.nowMs + this.#options.faultyMs;
    while (world.nowMs < endMs && ledger.problem === null) {
      await world.run({ forMs: STEP_MS_MIN + rng.below(STEP_MS_MAX - STEP_MS_MIN) });
      this.#scene.look();
      this.#chores.align();
      if (this.#scene.nexus?.status().phase === 'failed') this.#scene.loseNexus();
      const quietMs = this.#pieces.next();
      if (quietMs > 0) await world.run({ forMs: quietMs });
      else this.#nemesis.strike(drawFault(rng, plan.weights));
    }
    return ledger.problem ?? (await this.#heal()) ?? ledger.check();
  }

  outcome(problem: string | null): SeedOutcome {
    const { plan, ledger, faults, deaths, openings, losses, world } = this.#scene;
    return {
      seed: this.#seed,
      problem,
      layout: plan.layout,
      operations: ledger.operations,
      flushes: ledger.flushes,
      faults,
      deaths,
      openings,
      losses,
      snapshotsRead: this.#snapshotsRead,
      traceHash: world.traceHash(),
      simulatedMs: world.nowMs,
    };
  }

  /** Heals everything and demands progress: all in sync, all equal, all readable. */
  async #heal(): Promise<string | null> {
    const { world, cluster } = this.#scene;
    this.#scene.say('everything heals');
    world.net.heal();
    for (const site of cluster.sites) world.disk(site.node).removeFaults();
    this.#scene.healing = true;
    this.#scene.cutsPowerAtFlush = false;
    if (cluster.controlPlane) cluster.controlPlane.away = false;
    await world.run({ forMs: 8_000 });
    this.#restartFailed();
    await world.run({ forMs: 2_000 });
    const phase = this.#scene.nexus?.status().phase ?? 'failed';
    if (phase === 'failed') this.#scene.open(this.#scene.anySite());
    this.#chores.forget();
    const limitMs = world.nowMs + HEAL_MS_MAX;
    const isWhole = (): boolean => this.#scene.isWhole() && this.#chores.settled;
    while (!(await world.run({ forMs: 250, until: isWhole }))) {
      this.#chores.align();
      if (world.nowMs < limitMs) continue;
      this.#sayLogs();
      const { wanted } = cluster;
      const unsettled = this.#chores.settled ? '' : `, ${this.#chores.explain()}`;
      const status = JSON.stringify(this.#scene.nexus?.status());
      return `no progress after healing: wanted ${wanted.join(' ')}${unsettled}: ${status}`;
    }
    return this.#audit();
  }

  /**
   * A replica that failed for good (a sync error) is opened again, as an operator or a supervisor
   * does.
   */
  #restartFailed(): void {
    const { world, cluster, nexusSite } = this.#scene;
    for (const site of cluster.sites) {
      const failed = [...site.running.values()].some(({ store }) => store.state().failed !== null);
      if (world.isRunning(site.node) && !failed) continue;
      cluster.restart(site);
      if (site === nexusSite) this.#scene.loseNexus();
    }
  }

  async #audit(): Promise<string | null> {
    const { world, cluster, nexus, plan, snapshots } = this.#scene;
    if (nexus === null) return 'no nexus at the end';
    this.#scene.stopClients();
    await world.run({ forMs: 5_000, until: () => this.#scene.group?.idle === true });
    this.#scene.look();
    const scrubbed = plan.onlyLiar ? await this.#scrub(nexus) : null;
    if (scrubbed !== null) return scrubbed;
    const ids = nexus.listSnapshots().map(({ id }) => id);
    if (nexus.sizeBytes < cluster.sizeBytes) return `the volume shrank to ${nexus.sizeBytes} bytes`;
    await world.finish(nexus.close());
    const wrongList = snapshots.checkList(ids);
    if (wrongList !== null) return wrongList;
    const differences = await world.finish(replicaDifferences(cluster, ids));
    if (differences.length > 0) return `replicas differ: ${differences.join(', ')}`;
    const store = cluster.storeOf(cluster.wanted[0] as (typeof cluster.wanted)[0]);
    for (const id of ids) {
      if (store) await world.finish(snapshots.note(store, id));
      this.#snapshotsRead += 1;
    }
    return null;
  }

  /**
   * Bad blocks that nobody read wait for the scrub. It repairs the head; a replica with a bad block
   * in a snapshot is to be rebuilt.
   */
  async #scrub(nexus: Nexus): Promise<string | null> {
    const { world } = this.#scene;
    for (let round = 1; ; round += 1) {
      const { unrepaired } = await world.finish(nexus.scrub());
      if (unrepaired.length === 0) return null;
      if (round > 1) return `a scrub left bad blocks: ${JSON.stringify(unrepaired)}`;
      for (const replica of new Set(unrepaired.map((block) => block.replica))) {
        nexus.rebuild(replica, { full: true });
      }
      const isWhole = (): boolean => this.#scene.isWhole();
      if (!(await world.run({ forMs: HEAL_MS_MAX, until: isWhole }))) {
        return `no end of the rebuild: ${JSON.stringify(nexus.status())}`;
      }
    }
  }

  #sayLogs(): void {
    const distinct = new Map<string, string>();
    for (const { process, message, fields } of this.#scene.world.logs) {
      distinct.set(`${process} ${message}`, JSON.stringify(fields));
    }
    for (const [line, fields] of distinct) this.#scene.say(`log ${line} ${fields}`);
  }
}
