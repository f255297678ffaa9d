/** What an operator does with a volume while faults strike: each may fail, and is tried again. */
import type { ReplicaId } from '#api/mod.ts';
import { hasCode } from '#api/mod.ts';
import type { Scene } from './scene.ts';
import type { SimSite } from './sim-cluster.ts';
import { tolerant } from './snapshot-book.ts';

const SNAPSHOTS_MAX = 4;
const GROWTH_BYTES = 128 * 1024;
const SIZE_BYTES_MAX = 3 * 1024 * 1024;

export class Chores {
  readonly #scene: Scene;
  /** How many replicas there should be in the end. */
  readonly #replicas: number;
  #retiring: ReplicaId | null = null;
  #aligning = false;
  #adding = false;

  constructor(scene: Scene) {
    this.#scene = scene;
    this.#replicas = scene.plan.layout === 'two-and-control' ? 2 : 3;
  }

  /** False when nothing can be done now. */
  strike(kind: 'snapshot' | 'snapshot-delete' | 'grow' | 'replace'): boolean {
    const { nexus, snapshots, cluster } = this.#scene;
    if (kind === 'replace') return this.#replace();
    if (nexus?.status().phase !== 'serving') return false;
    const present = nexus.listSnapshots().length;
    if (kind === 'snapshot-delete' || (kind === 'snapshot' && present >= SNAPSHOTS_MAX)) {
      if (present > 0) void snapshots.delete(nexus);
      return present > 0;
    }
    if (kind === 'snapshot') {
      void snapshots.create(nexus);
      return true;
    }
    const sizeBytes = nexus.sizeBytes + GROWTH_BYTES;
    if (sizeBytes > SIZE_BYTES_MAX) return false;
    void tolerant(nexus.grow(sizeBytes), () => {
      cluster.sizeBytes = Math.max(cluster.sizeBytes, sizeBytes);
    });
    return true;
  }

  /** A replica that forgot its promises first; the new one goes where none is, if possible. */
  #replace(): boolean {
    const { cluster, world, nexus, rng } = this.#scene;
    // One at a time, from beginning to end.
    if (!this.settled || this.#adding || nexus === null) return false;
    const running = cluster.sites.filter(
      ({ node, pool }) => world.isRunning(node) && pool !== null,
    );
    const free = running.find((site) => cluster.replicasAt(site).length === 0);
    const site = free ?? running[rng.below(Math.max(1, running.length))];
    if (site === undefined) return false;
    const [local] = cluster.replicasAt(site);
    const voters = nexus.status().record?.voters ?? cluster.wanted;
    const voteless = cluster.wanted.find((replica) => !voters.includes(replica));
    const any = cluster.wanted[rng.below(this.#replicas)] as ReplicaId;
    this.#retiring = voteless ?? local ?? any;
    void this.#add(site);
    return true;
  }

  async #add(site: SimSite): Promise<void> {
    this.#adding = true;
    await tolerant(this.#scene.cluster.addReplica(site), () => undefined);
    this.#adding = false;
  }

  /** A crash in the middle of a creation: nobody will say that it is over. */
  forget(): void {
    this.#adding = false;
    this.#aligning = false;
  }

  explain(): string {
    const { cluster } = this.#scene;
    const homes = cluster.sites.flatMap((site) => cluster.replicasAt(site));
    const doing = this.#aligning ? 'removing' : this.#adding ? 'adding' : 'idle';
    return `there are ${homes.join(' ')}, retiring ${this.#retiring}, ${doing}`;
  }

  get settled(): boolean {
    const { cluster } = this.#scene;
    const homes = cluster.sites.flatMap((site) => cluster.replicasAt(site));
    return (
      cluster.wanted.length === this.#replicas &&
      homes.every((replica) => cluster.wanted.includes(replica))
    );
  }

  /** As the volume's reconciler does: what should be there is added, what should not is removed. */
  align(): void {
    const { cluster, nexus } = this.#scene;
    const status = nexus?.status();
    if (this.#aligning || !nexus || status?.phase !== 'serving') return;
    const present = status.members.map(({ replica }) => replica);
    const missing = cluster.wanted.filter((replica) => !present.includes(replica));
    for (const replica of missing) nexus.addReplica(replica);
    const whole = missing.length === 0 && status.members.every(({ phase }) => phase === 'in-sync');
    const retiring = this.#retiring;
    if (whole && retiring !== null && cluster.wanted.length > this.#replicas) {
      cluster.wanted = cluster.wanted.filter((replica) => replica !== retiring);
      this.#retiring = null;
    }
    const homes = cluster.sites.flatMap((site) => cluster.replicasAt(site));
    const surplus = homes.find((replica) => !cluster.wanted.includes(replica));
    if (surplus !== undefined) void this.#remove(surplus, present.includes(surplus));
  }

  async #remove(replica: ReplicaId, present: boolean): Promise<void> {
    const { cluster, nexus } = this.#scene;
    if (nexus === null) return;
    this.#aligning = true;
    const letGo = present ? nexus.removeReplica(replica) : Promise.resolve();
    let isGone = false;
    await tolerant(
      letGo.catch((error: unknown) => {
        // The nexus let go of it before.
        if (!hasCode(error, 'not-found')) throw error;
      }),
      () => {
        isGone = true;
      },
    );
    if (isGone && nexus === this.#scene.nexus) {
      await tolerant(cluster.deleteReplica(replica), () => undefined);
    }
    this.#aligning = false;
  }
}
