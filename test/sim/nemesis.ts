/** Strikes: turns a kind of fault into what happens to machines, networks and disks. */
import type { ReplicaId } from '#api/mod.ts';
import type { DirectoryClone, DiskFault } from '#host/sim/mod.ts';
import type { Chores } from './chores.ts';
import type { FaultKind } from './fault-plan.ts';
import type { Scene } from './scene.ts';
import type { SimSite } from './sim-cluster.ts';

/** Writes beside those of the clients when a machine is to die with many under way. */
const BURST_WRITES = 24;
const TAKE_OVER_READS_MS = 3_000;
/** How often it is looked whether yesterday's copy may come back now. */
const ROLLBACK_ATTEMPTS = 40;
/** As many have to be under way at the end for it to count. */
const IN_FLIGHT_MIN = 16;

const DATA = /\.data$/;
const DISK_FAULTS: Readonly<Partial<Record<FaultKind, Omit<DiskFault, 'path'>>>> = {
  'slow-disk': { effect: { kind: 'slow', factor: 50 } },
  'hang-disk': { effect: { kind: 'hang', ms: 3_000 } },
  rot: { verbs: ['read'], chance: 0.2, effect: { kind: 'flip', stored: true } },
  'read-error': { verbs: ['read'], chance: 0.2, effect: { kind: 'fail', code: 'io-error' } },
  'lost-write': { verbs: ['write'], chance: 0.1, effect: { kind: 'lose' } },
  'misdirected-write': { verbs: ['write'], chance: 0.1, effect: { kind: 'misdirect' } },
  'write-error': { verbs: ['write'], times: 1, effect: { kind: 'fail', code: 'io-error' } },
  'sync-error': { verbs: ['flush'], times: 1, effect: { kind: 'fail', code: 'io-error' } },
  'disk-full': { verbs: ['write'], effect: { kind: 'fail', code: 'no-space' } },
};
const OF_DATA: readonly FaultKind[] = ['rot', 'read-error', 'lost-write', 'misdirected-write'];

export class Nemesis {
  readonly #scene: Scene;
  readonly #chores: Chores;
  #rollbacks = 0;

  constructor(scene: Scene, chores: Chores) {
    this.#scene = scene;
    this.#chores = chores;
  }

  strike(kind: FaultKind): void {
    const { plan, liar } = this.#scene;
    const site = plan.onlyLiar ? liar : this.#scene.anySite();
    this.#scene.say(`${kind} ${site.node}`);
    if (this.#act(kind, site)) this.#scene.count(kind);
  }

  /** False when it could not be done now. */
  #act(kind: FaultKind, site: SimSite): boolean {
    const { world, rng } = this.#scene;
    switch (kind) {
      case 'snapshot':
      case 'snapshot-delete':
      case 'grow':
      case 'replace':
        return this.#chores.strike(kind);
      case 'crash':
      case 'crash-nexus':
      case 'crash-all':
      case 'power-loss':
      case 'power-loss-all':
        return this.#kill(kind, site);
      case 'crash-in-flight':
        return this.crashInFlight();
      case 'power-loss-at-flush':
        this.#scene.cutsPowerAtFlush = true;
        return true;
      case 'rollback':
        return this.#rollBack(site);
      case 'move-nexus':
        return this.#moveNexus(site);
      case 'take-over':
        this.takeOver(site, 1_500);
        return false;
      case 'stale-home':
        return false;
      case 'compare':
        if (this.#scene.nexus) this.#scene.compareMembers(this.#scene.nexus);
        return true;
      case 'pause':
        world.pause(site.node, 200 + rng.below(4_000));
        return true;
      case 'control-away':
        return this.#loseControlPlane();
      default:
        return this.#strikeNet(kind, site) || this.#strikeDisk(kind);
    }
  }

  // --- machines ----------------------------------------------------------------------------------

  #kill(kind: FaultKind, site: SimSite): boolean {
    const { cluster, nexusSite } = this.#scene;
    const one = kind === 'crash-nexus' ? nexusSite : site;
    const victims = kind.endsWith('-all') ? cluster.sites : [one];
    this.#scene.kill(victims, { power: kind.startsWith('power') });
    return true;
  }

  /** The engine that serves dies, or loses power, while many writes are under way. */
  crashInFlight(): boolean {
    const { group, nexusSite, world, rng } = this.#scene;
    if (group === null || !world.isRunning(nexusSite.node)) return false;
    group.burst(BURST_WRITES);
    const power = rng.chance(0.3);
    world.at(world.nowMs + rng.float() * 1.5, () => {
      if (this.#scene.group !== group) return;
      if (group.writesInFlight >= IN_FLIGHT_MIN) this.#scene.count('crash-in-flight');
      this.#scene.kill([nexusSite], { power });
    });
    // Counted when it turns out to be one.
    return false;
  }

  /**
   * Yesterday's copy of one machine's pool comes back while everything else runs. Once a seed: the
   * others have to hold what it forgot.
   */
  #rollBack(site: SimSite): boolean {
    const { world, cluster, rng } = this.#scene;
    if (this.#rollbacks > 0 || cluster.replicasAt(site).length !== 1) return false;
    const contents = rng.chance(0.5) ? 'visible' : 'durable';
    const clone = world.disk(site.node).cloneDirectory(cluster.directory, contents);
    this.#rollbacks += 1;
    this.#restoreWhenWhole(site, clone, cluster.replicasAt(site)[0], 0);
    // Counted when it comes to pass.
    return false;
  }

  #restoreWhenWhole(
    site: SimSite,
    clone: DirectoryClone,
    replica: ReplicaId | undefined,
    attempt: number,
  ): void {
    const { world, cluster, rng } = this.#scene;
    if (attempt >= ROLLBACK_ATTEMPTS) return;
    world.at(world.nowMs + 100 + rng.below(400), () => {
      if (this.#scene.healing || cluster.replicasAt(site).join() !== replica) return;
      if (!this.#scene.isWhole() || !world.isRunning(site.node)) {
        return this.#restoreWhenWhole(site, clone, replica, attempt + 1);
      }
      this.#scene.count('rollback');
      this.#scene.say(`yesterday's copy on ${site.node}`);
      this.#scene.kill([site], { power: false });
      site.lostCache = true;
      world.disk(site.node).restoreDirectory(cluster.directory, clone);
    });
  }

  /** Another nexus, while the former one may live on and have clients. */
  #moveNexus(site: SimSite): boolean {
    // Nobody places a nexus on a machine that is down: its process would never answer.
    if (!this.#scene.world.isRunning(site.node)) return false;
    this.#scene.open(site, this.#scene.rng.chance(0.5));
    return true;
  }

  /** The nexus is cut off and does not know that another one takes over; both have clients. */
  takeOver(site: SimSite, withinMs: number): boolean {
    const { world, nexusSite, group, rng } = this.#scene;
    if (site === nexusSite || group === null || !world.isRunning(nexusSite.node)) return false;
    world.net.isolate(nexusSite.node, world.nodes);
    // Its other clients soon wait for members that it cannot reach.
    group.readersUntil(world.nowMs + TAKE_OVER_READS_MS);
    world.at(world.nowMs + 20 + rng.below(withinMs), () => {
      if (world.isRunning(site.node)) this.#scene.open(site, true);
    });
    this.#healLater(2_000 + rng.below(3_000));
    this.#scene.count('take-over');
    return true;
  }

  #loseControlPlane(): boolean {
    const { world, cluster, rng } = this.#scene;
    const { controlPlane } = cluster;
    if (controlPlane === null) return false;
    controlPlane.away = true;
    world.at(world.nowMs + 500 + rng.below(4_000), () => {
      controlPlane.away = false;
    });
    return true;
  }

  // --- networks and disks ------------------------------------------------------------------------

  #healLater(ms: number): void {
    const { world } = this.#scene;
    world.at(world.nowMs + ms, () => world.net.heal());
  }

  #strikeNet(kind: FaultKind, site: SimSite): boolean {
    const { world, cluster, nexusSite, rng } = this.#scene;
    const { net } = world;
    const others = cluster.sites.filter((candidate) => candidate !== site);
    const other = others[rng.below(others.length)] ?? site;
    if (kind === 'partition') net.partition(site.node, other.node);
    else if (kind === 'partition-one-way') net.partitionOneWay(site.node, other.node);
    else if (kind === 'isolate-nexus') net.isolate(nexusSite.node, world.nodes);
    else if (kind === 'reset') net.reset(site.node, other.node);
    else if (kind === 'half-open') net.halfOpen(site.node, other.node);
    else if (kind === 'clog') net.clog(site.node, other.node, 100 + rng.below(3_000));
    else return false;
    if (kind.startsWith('partition') || kind === 'isolate-nexus') {
      this.#healLater(200 + rng.below(4_000));
    }
    return true;
  }

  #strikeDisk(kind: FaultKind): boolean {
    const { world, liar, rng, cluster } = this.#scene;
    const fault = DISK_FAULTS[kind];
    if (!fault) return false;
    // What a failed sync drops is lost as without power: a lone replica then has to say so.
    if (kind === 'sync-error') liar.lostCache = true;
    const path = OF_DATA.includes(kind) ? DATA : cluster.directory;
    const active = world.disk(liar.node).addFault({ ...fault, path });
    world.at(world.nowMs + 200 + rng.below(2_000), () => active.remove());
    return true;
  }
}
