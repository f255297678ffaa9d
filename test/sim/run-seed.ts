/**
 * One seed: a volume under load while machines die, disks lie and networks part; then everything is
 * healed, progress is demanded, and the outcome is checked (test/sim/main.ts says how to replay
 * one).
 */
import { HoldfastError } from '#api/mod.ts';
import type { Nexus } from '#data/nexus/mod.ts';
import { SimWorld, type SimRng } from '#host/sim/mod.ts';
import { Client, Ledger } from './clients.ts';
import { drawFault, drawPlan, type FaultKind, type SeedPlan } from './fault-plan.ts';
import { type PlantedParts, SimCluster, type SimSite } from './sim-cluster.ts';

const CLIENTS = 6;
/** Blocks that are checked by history; the rest of the volume is scratch. */
const LEDGER_BLOCKS = 384;
/** Between two faults at least; a few follow each other closely. */
const STEP_MS_MIN = 50;
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
  readonly operations: number;
  readonly faults: ReadonlyMap<FaultKind, number>;
  readonly openings: number;
  readonly losses: number;
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
  readonly #world: SimWorld;
  readonly #cluster: SimCluster;
  readonly #ledger = new Ledger(LEDGER_BLOCKS);
  readonly #plan: SimRng;
  readonly #seedPlan: SeedPlan;
  readonly #faults = new Map<FaultKind, number>();
  #clients: Client[] = [];
  #nexus: Nexus | null = null;
  #nexusSite: SimSite;
  #openings = 0;
  #losses = 0;
  #lastLoss = 0;
  /** The machine whose disk may lie; the others are honest. */
  readonly #liar: SimSite;

  constructor(seed: number, options: SeedOptions) {
    this.#seed = seed;
    this.#options = options;
    this.#world = new SimWorld(seed, { driftMax: 0.05 });
    this.#cluster = new SimCluster(this.#world, options.parts);
    this.#plan = this.#world.rng('plan');
    this.#seedPlan = drawPlan(this.#plan);
    this.#liar = this.#anySite();
    this.#nexusSite = this.#seedPlan.onlyLiar ? this.#honestSite() : this.#anySite();
  }

  async play(): Promise<string | null> {
    await this.#world.finish(this.#cluster.create());
    this.#open(this.#nexusSite);
    const endMs = this.#world.nowMs + this.#options.faultyMs;
    while (this.#world.nowMs < endMs) {
      await this.#world.run({ forMs: STEP_MS_MIN + this.#plan.below(1_200) });
      this.#look();
      this.#strike(drawFault(this.#plan, this.#seedPlan.weights));
    }
    return (await this.#heal()) ?? this.#ledger.check();
  }

  outcome(problem: string | null): SeedOutcome {
    return {
      seed: this.#seed,
      problem,
      operations: this.#ledger.operations,
      faults: this.#faults,
      openings: this.#openings,
      losses: this.#losses,
      traceHash: this.#world.traceHash(),
      simulatedMs: this.#world.nowMs,
    };
  }

  // --- nexus and clients -------------------------------------------------------------------------

  #open(site: SimSite): void {
    for (const client of this.#clients) client.stop();
    this.#openings += 1;
    const nexus = this.#cluster.createNexus(site, `${site.node}/1/${this.#openings}`);
    this.#nexus = nexus;
    this.#nexusSite = site;
    this.#clients = [];
    this.#say(`nexus ${this.#openings} opens on ${site.node}`);
    nexus.onLoss(() => this.#look());
    nexus.start().then(
      () => {
        if (this.#nexus === nexus) this.#startClients(nexus);
      },
      (error: unknown) => {
        if (!HoldfastError.is(error)) throw error;
        this.#say(`nexus on ${site.node} ended: ${error.code}`);
      },
    );
  }

  #startClients(nexus: Nexus): void {
    this.#look();
    this.#say(`nexus serves, epoch ${nexus.epoch}, members ${this.#members(nexus)}`);
    const device = nexus.session();
    const rng = this.#world.rng(`clients ${this.#openings}`);
    this.#clients = Array.from(
      { length: CLIENTS },
      () => new Client(this.#world, device, this.#ledger, rng),
    );
    for (const client of this.#clients) client.start();
  }

  /** Notes a loss of writes that the nexus declared, and demands that there was a cause for it. */
  #look(): void {
    const nexus = this.#nexus;
    if (!nexus || nexus.lossEpoch <= this.#lastLoss) return;
    this.#lastLoss = nexus.lossEpoch;
    this.#losses += 1;
    this.#say(`writes lost, epoch ${nexus.lossEpoch}`);
    if (!this.#cluster.sites.some(({ lostCache }) => lostCache)) {
      throw new Error('the nexus declared a loss of writes, but no machine lost its cache');
    }
    this.#ledger.lose();
  }

  #members(nexus: Nexus): string {
    return (nexus.status().record?.members ?? []).map(({ replica }) => replica).join(' ');
  }

  // --- faults ------------------------------------------------------------------------------------

  #strike(kind: FaultKind): void {
    this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + 1);
    const site = this.#seedPlan.onlyLiar ? this.#liar : this.#anySite();
    this.#say(`${kind} ${site.node}`);
    if (kind.startsWith('crash') || kind.startsWith('power-loss'))
      return this.#strikeProcess(kind, site);
    // Nobody places a nexus on a machine that is down: its process would never answer.
    if (kind === 'move-nexus')
      return this.#world.isRunning(site.node) ? this.#open(site) : undefined;
    if (kind === 'pause') return this.#world.pause(site.node, 200 + this.#plan.below(4_000));
    if (this.#strikeNet(kind, site)) return;
    this.#strikeDisk(kind);
  }

  #strikeProcess(kind: FaultKind, site: SimSite): void {
    const all = kind === 'crash-all' || kind === 'power-loss-all';
    const one = kind === 'crash-nexus' ? this.#nexusSite : site;
    for (const victim of all ? this.#cluster.sites : [one]) {
      if (!this.#world.isRunning(victim.node)) continue;
      if (kind.startsWith('power')) this.#cluster.losePower(victim);
      else this.#cluster.crash(victim);
      this.#world.at(this.#world.nowMs + 20 + this.#plan.below(1_500), () => this.#revive(victim));
    }
    if (!this.#world.isRunning(this.#nexusSite.node)) this.#loseNexus();
  }

  #loseNexus(): void {
    for (const client of this.#clients) client.stop();
    this.#clients = [];
    this.#nexus = null;
    const next = this.#anySite();
    this.#world.at(this.#world.nowMs + 50 + this.#plan.below(500), () => this.#reopen(next));
  }

  /** On the chosen machine as soon as it runs. */
  #reopen(site: SimSite): void {
    if (this.#nexus) return;
    if (this.#world.isRunning(site.node)) return this.#open(site);
    this.#world.at(this.#world.nowMs + 100, () => this.#reopen(site));
  }

  #revive(site: SimSite): void {
    if (!this.#world.isRunning(site.node)) this.#cluster.restart(site);
  }

  #strikeNet(kind: FaultKind, site: SimSite): boolean {
    const { net } = this.#world;
    const others = this.#cluster.sites.filter((candidate) => candidate !== site);
    const other = others[this.#plan.below(others.length)] ?? site;
    if (kind === 'partition') net.partition(site.node, other.node);
    else if (kind === 'partition-one-way') net.partitionOneWay(site.node, other.node);
    else if (kind === 'isolate-nexus') net.isolate(this.#nexusSite.node, this.#world.nodes);
    else if (kind === 'reset') net.reset(site.node, other.node);
    else if (kind === 'half-open') net.halfOpen(site.node, other.node);
    else if (kind === 'clog') net.clog(site.node, other.node, 100 + this.#plan.below(3_000));
    else return false;
    if (kind.startsWith('partition') || kind === 'isolate-nexus') {
      this.#world.at(this.#world.nowMs + 200 + this.#plan.below(4_000), () => net.heal());
    }
    return true;
  }

  #strikeDisk(kind: FaultKind): void {
    const disk = this.#world.disk(this.#liar.node);
    // What a failed sync drops is lost as without power: a lone replica then has to say so.
    if (kind === 'sync-error') this.#liar.lostCache = true;
    const path = '/pool';
    const data = /\.data$/;
    const fault =
      kind === 'slow-disk'
        ? disk.addFault({ path, effect: { kind: 'slow', factor: 50 } })
        : kind === 'hang-disk'
          ? disk.addFault({ path, effect: { kind: 'hang', ms: 3_000 } })
          : kind === 'rot'
            ? disk.addFault({
                path: data,
                verbs: ['read'],
                chance: 0.2,
                effect: { kind: 'flip', stored: true },
              })
            : kind === 'read-error'
              ? disk.addFault({
                  path: data,
                  verbs: ['read'],
                  chance: 0.2,
                  effect: { kind: 'fail', code: 'io-error' },
                })
              : kind === 'write-error'
                ? disk.addFault({
                    path,
                    verbs: ['write'],
                    times: 1,
                    effect: { kind: 'fail', code: 'io-error' },
                  })
                : kind === 'sync-error'
                  ? disk.addFault({
                      path,
                      verbs: ['flush'],
                      times: 1,
                      effect: { kind: 'fail', code: 'io-error' },
                    })
                  : disk.addFault({
                      path,
                      verbs: ['write'],
                      effect: { kind: 'fail', code: 'no-space' },
                    });
    this.#world.at(this.#world.nowMs + 200 + this.#plan.below(2_000), () => fault.remove());
  }

  // --- the end -----------------------------------------------------------------------------------

  /** Heals everything and demands progress: all in sync, all equal, all readable. */
  async #heal(): Promise<string | null> {
    this.#say('everything heals');
    this.#world.net.heal();
    for (const site of this.#cluster.sites) this.#world.disk(site.node).removeFaults();
    await this.#world.run({ forMs: 8_000 });
    // A replica that failed for good (a sync error) is opened again, as an operator or a supervisor
    // does.
    for (const site of this.#cluster.sites) {
      if (
        !this.#world.isRunning(site.node) ||
        (site.running?.store.state().failed ?? null) !== null
      ) {
        this.#cluster.restart(site);
        if (site === this.#nexusSite) this.#loseNexus();
      }
    }
    await this.#world.run({ forMs: 2_000 });
    if (!this.#nexus || this.#nexus.status().phase === 'failed') this.#open(this.#anySite());
    const whole = await this.#world.run({ forMs: HEAL_MS_MAX, until: () => this.#isWhole() });
    if (!whole) this.#sayLogs();
    if (!whole) return `no progress after healing: ${JSON.stringify(this.#nexus?.status())}`;
    for (const client of this.#clients) client.stop();
    await this.#world.run({ forMs: 5_000, until: () => this.#clients.every(({ idle }) => idle) });
    this.#look();
    const nexus = this.#nexus as Nexus;
    await this.#world.finish(nexus.close());
    const differences = await this.#world.finish(this.#cluster.differences());
    return differences.length > 0 ? `replicas differ: ${differences.join(', ')}` : null;
  }

  #sayLogs(): void {
    const distinct = new Map<string, string>();
    for (const { process, message, fields } of this.#world.logs) {
      distinct.set(`${process} ${message}`, JSON.stringify(fields));
    }
    for (const [line, fields] of distinct) this.#say(`log ${line} ${fields}`);
  }

  #isWhole(): boolean {
    const status = this.#nexus?.status();
    return (
      status?.phase === 'serving' &&
      this.#clients.length > 0 &&
      status.members.every(({ phase }) => phase === 'in-sync')
    );
  }

  #anySite(): SimSite {
    const { sites } = this.#cluster;
    return sites[this.#plan.below(sites.length)] as SimSite;
  }

  #honestSite(): SimSite {
    return this.#cluster.sites.find((site) => site !== this.#liar) as SimSite;
  }

  #say(line: string): void {
    this.#options.log(`${this.#world.nowMs.toFixed(0).padStart(8)} ms  ${line}`);
  }
}
