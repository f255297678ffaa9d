/**
 * One volume of a seed: who runs its nexus, whose clients are at work, and what they were told.
 * Faults (nemesis.ts) and chores (chores.ts) act on it.
 */
import { HoldfastError } from '#api/mod.ts';
import type { Nexus } from '#data/nexus/mod.ts';
import { SimWorld, type SimRng } from '#host/sim/mod.ts';
import { ClientGroup } from './clients.ts';
import { drawPlan, type FaultKind, type SeedPlan } from './fault-plan.ts';
import { dishonestFlush } from './flush-watch.ts';
import { Ledger } from './ledger.ts';
import { type PlantedParts, SIM_NODES, SimCluster, type SimSite } from './sim-cluster.ts';
import { SnapshotBook, tolerant } from './snapshot-book.ts';

/** Blocks that are checked by history; the rest of the volume is scratch. */
const LEDGER_BLOCKS = 384;

const SOON_MS = 300;
const STORM_MS = 150;

interface Attached {
  readonly group: ClientGroup;
  readonly site: SimSite;
}

export class Scene {
  readonly world: SimWorld;
  readonly cluster: SimCluster;
  readonly ledger = new Ledger(LEDGER_BLOCKS);
  readonly snapshots = new SnapshotBook(this.ledger);
  readonly rng: SimRng;
  readonly plan: SeedPlan;
  /** The machine whose disk may lie; the others are honest. */
  readonly liar: SimSite;
  readonly faults = new Map<FaultKind, number>();
  readonly say: (line: string) => void;
  nexus: Nexus | null = null;
  nexusSite: SimSite;
  openings = 0;
  losses = 0;
  /** Processes that ended, by a crash or without power. */
  deaths = 0;
  /** Power goes everywhere in the moment in which the next flush is acknowledged. */
  cutsPowerAtFlush = false;
  /** So many readers come at once when the next nexus serves. */
  stormNext = 0;
  /** The next nexus compares its members as soon as it serves. */
  comparesNext = false;
  /** No more faults. */
  healing = false;
  #attached: Attached | null = null;
  /** Other nexuses that may not know yet that they are it no more. */
  #former: Attached[] = [];
  #lastLoss = 0;

  constructor(seed: number, parts: PlantedParts, log: (line: string) => void) {
    this.world = new SimWorld(seed, { driftMax: 0.05 });
    this.rng = this.world.rng('plan');
    this.plan = drawPlan(this.rng);
    const { layout, onlyLiar } = this.plan;
    this.cluster = new SimCluster(this.world, {
      parts,
      replicaNodes: layout === 'two-and-control' ? SIM_NODES.slice(0, 2) : SIM_NODES,
      controlPlane: layout !== 'three',
    });
    this.say = (line) => log(`${this.world.nowMs.toFixed(0).padStart(8)} ms  ${line}`);
    this.liar = this.cluster.site(layout === 'two-and-control' ? 'b' : this.#anyNode());
    this.nexusSite = onlyLiar ? this.#honestSite() : this.anySite();
    this.ledger.onFlushed = (nexus, invokedMs) => this.#flushed(nexus, invokedMs);
  }

  get group(): ClientGroup | null {
    return this.#attached?.group ?? null;
  }

  count(kind: FaultKind): void {
    this.faults.set(kind, (this.faults.get(kind) ?? 0) + 1);
  }

  anySite(): SimSite {
    return this.cluster.site(this.#anyNode());
  }

  #anyNode(): string {
    return SIM_NODES[this.rng.below(SIM_NODES.length)] as string;
  }

  #honestSite(): SimSite {
    return this.cluster.sites.find((site) => site !== this.liar) as SimSite;
  }

  /** Serving, and every replica in sync. */
  isWhole(): boolean {
    const status = this.nexus?.status();
    return (
      status?.phase === 'serving' &&
      this.group?.serving === true &&
      status.members.length === this.cluster.wanted.length &&
      status.members.every(({ phase }) => phase === 'in-sync')
    );
  }

  // --- nexus and clients -------------------------------------------------------------------------

  /** `twoOwners`: whoever was the nexus does not know, and its clients go on. */
  open(site: SimSite, twoOwners = false): void {
    const sinceEpoch = this.rng.chance(0.5) ? this.group?.sinceEpoch : undefined;
    this.#leave(twoOwners);
    this.openings += 1;
    const nexus = this.cluster.createNexus(site, `${site.node}/1/${this.openings}`);
    this.nexus = nexus;
    this.nexusSite = site;
    this.say(`nexus ${this.openings} opens on ${site.node}`);
    nexus.onLoss(() => this.look());
    nexus.start().then(
      () => {
        if (this.nexus === nexus) this.#attach(nexus, site, sinceEpoch);
      },
      (error: unknown) => {
        if (!HoldfastError.is(error)) throw error;
        this.say(`nexus on ${site.node} ended: ${error.code}`);
      },
    );
  }

  #attach(nexus: Nexus, site: SimSite, sinceEpoch: number | undefined): void {
    this.look();
    this.say(`nexus serves, epoch ${nexus.epoch}, members ${memberNames(nexus)}`);
    const rng = this.world.rng(`clients ${this.openings}`);
    const group = new ClientGroup(this.world, nexus, this.ledger, rng);
    this.#attached = { group, site };
    group.start(sinceEpoch);
    // What a new nexus gets wrong shows soon, or is written over.
    if (this.stormNext > 0) group.readersUntil(this.world.nowMs + STORM_MS, this.stormNext, 3);
    else group.readersUntil(this.world.nowMs + SOON_MS);
    this.stormNext = 0;
    if (this.comparesNext) this.compareMembers(nexus);
    this.comparesNext = false;
  }

  /** Members in sync are equal whenever nothing is on its way: the volume's own scrub says so. */
  compareMembers(nexus: Nexus): void {
    if (this.plan.onlyLiar) return;
    const compare = async (): Promise<void> => {
      const { differingSegments } = await nexus.scrub({ compare: true });
      if (differingSegments.length === 0) return;
      this.ledger.fail(`members in sync differ in segments ${differingSegments.join(' ')}`);
    };
    void tolerant(compare(), () => undefined);
  }

  /** The volume is detached there, unless nobody can tell that machine or it does not listen. */
  #leave(goesOn: boolean): void {
    const attached = this.#attached;
    const { nexus } = this;
    this.#attached = null;
    if (attached !== null && goesOn) {
      this.#former.push(attached);
      return;
    }
    attached?.group.stop();
    if (this.world.isRunning(this.nexusSite.node)) nexus?.abandon();
  }

  stopClients(): void {
    for (const { group } of this.#former) group.stop();
    this.group?.stop();
  }

  /** The machine of the nexus is down, or the nexus gave up: somebody else will be it. */
  loseNexus(next: SimSite = this.anySite()): void {
    this.#leave(false);
    this.nexus = null;
    this.world.at(this.world.nowMs + 50 + this.rng.below(500), () => this.#reopen(next));
  }

  /** On the chosen machine as soon as it runs. */
  #reopen(site: SimSite): void {
    if (this.nexus) return;
    if (this.world.isRunning(site.node)) return this.open(site);
    this.world.at(this.world.nowMs + 100, () => this.#reopen(site));
  }

  /** Notes a loss of writes that the nexus declared, and demands that there was a cause for it. */
  look(): void {
    const { nexus } = this;
    if (!nexus || nexus.lossEpoch <= this.#lastLoss) return;
    this.#lastLoss = nexus.lossEpoch;
    this.losses += 1;
    this.say(`writes lost, epoch ${nexus.lossEpoch}`);
    if (!this.cluster.sites.some(({ lostCache }) => lostCache)) {
      throw new Error('the nexus declared a loss of writes, but no machine lost its cache');
    }
    this.ledger.lose();
  }

  #flushed(nexus: Nexus, invokedMs: number): void {
    const problem = dishonestFlush(this.cluster, nexus, invokedMs);
    if (problem !== null) this.ledger.fail(problem);
    if (!this.cutsPowerAtFlush) return;
    this.cutsPowerAtFlush = false;
    this.world.at(this.world.nowMs, () => {
      this.say('power goes at a flush');
      this.kill(this.cluster.sites, { power: true });
    });
  }

  // --- machines ----------------------------------------------------------------------------------

  /** They start again after a while, each on its own. */
  kill(
    victims: readonly SimSite[],
    { power, downMs, next }: { power: boolean; downMs?: number; next?: SimSite },
  ): void {
    for (const victim of victims) {
      if (!this.world.isRunning(victim.node)) continue;
      this.deaths += 1;
      if (power) this.cluster.losePower(victim);
      else this.cluster.crash(victim);
      for (const { group, site } of this.#former) if (site === victim) group.stop();
      this.#former = this.#former.filter(({ site }) => site !== victim);
      const restMs = downMs ?? 20 + this.rng.below(1_500);
      this.world.at(this.world.nowMs + restMs, () => this.revive(victim));
    }
    if (!this.world.isRunning(this.nexusSite.node)) this.loseNexus(next);
  }

  revive(site: SimSite): void {
    if (!this.world.isRunning(site.node)) this.cluster.restart(site);
  }
}

function memberNames(nexus: Nexus): string {
  return (nexus.status().record?.members ?? []).map(({ replica }) => replica).join(' ');
}
