/**
 * Set pieces: schedules of several steps that chance hardly ever brings together, each of which
 * some rule of the protocol is there for. Two a seed, from a volume that is whole, with nothing
 * else in between.
 */
import type { FaultKind } from './fault-plan.ts';
import type { Nemesis } from './nemesis.ts';
import type { Scene } from './scene.ts';
import type { SimSite } from './sim-cluster.ts';

const PIECES = 2;
const STORM_READERS = 24;

type Piece = Extract<
  FaultKind,
  'take-over' | 'stale-home' | 'crash-in-flight' | 'power-loss-at-flush'
>;

export class SetPieces {
  readonly #scene: Scene;
  readonly #nemesis: Nemesis;
  readonly #due: { readonly atMs: number; readonly piece: Piece }[] = [];

  constructor(scene: Scene, nemesis: Nemesis, faultyMs: number) {
    this.#scene = scene;
    this.#nemesis = nemesis;
    const { rng, plan } = scene;
    // Media faults must not meet the death of an honest machine (fault-plan.ts).
    if (plan.onlyLiar) return;
    const left: Piece[] = ['take-over', 'stale-home', 'crash-in-flight', 'power-loss-at-flush'];
    for (let i = 0; i < PIECES; i += 1) {
      const [piece] = left.splice(rng.below(left.length), 1);
      const atMs = (faultyMs / PIECES) * (i + rng.float() * 0.6);
      if (piece !== undefined) this.#due.push({ atMs, piece });
    }
  }

  /** Plays the next one if it is time; for how long nothing else may happen, or 0. */
  next(): number {
    const { world, nexusSite, cluster } = this.#scene;
    const [next] = this.#due;
    if (next === undefined || next.atMs > world.nowMs || !this.#scene.isWhole()) return 0;
    // The nexus has to have a replica of its own.
    if (cluster.replicasAt(nexusSite).length === 0) return 0;
    this.#due.shift();
    this.#scene.say(`piece: ${next.piece}`);
    world.net.heal();
    if (cluster.controlPlane) cluster.controlPlane.away = false;
    return this.#play(next.piece);
  }

  #play(piece: Piece): number {
    switch (piece) {
      case 'take-over':
        this.#nemesis.takeOver(this.#otherSite(), 300);
        return 2_500;
      case 'stale-home':
        return this.#staleHome();
      case 'crash-in-flight':
        this.#scene.comparesNext = true;
        this.#nemesis.crashInFlight();
        return 1_800;
      case 'power-loss-at-flush':
        this.#scene.count(piece);
        this.#scene.cutsPowerAtFlush = true;
        return 1_500;
    }
  }

  /** A machine comes back to be the nexus, with a replica that missed a second of writes. */
  #staleHome(): number {
    const { world, nexusSite, rng } = this.#scene;
    const downMs = 800 + rng.below(400);
    this.#scene.count('stale-home');
    this.#scene.kill([nexusSite], { power: false, downMs, next: this.#otherSite() });
    world.at(world.nowMs + downMs + 1, () => {
      this.#scene.stormNext = STORM_READERS;
      if (world.isRunning(nexusSite.node)) this.#scene.open(nexusSite);
    });
    return downMs + 1_500;
  }

  #otherSite(): SimSite {
    const { cluster, nexusSite, rng } = this.#scene;
    const others = cluster.sites.filter((site) => site !== nexusSite);
    return others[rng.below(others.length)] as SimSite;
  }
}
