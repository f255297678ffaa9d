/**
 * The control plane of a simulated cluster, as far as a volume's votes go: the production vote over
 * an object store in memory, on a machine of its own that never forgets but may be out of reach.
 */
import { API_VERSION } from '#api/kinds/mod.ts';
import { CONTROL_PLANE, HoldfastError, type VolumeId } from '#api/mod.ts';
import { createTwin } from '#control/apiserver/twin.testkit.ts';
import type { KubeClient } from '#control/kube/mod.ts';
import { createVoteHandlers } from '#control/operator/mod.ts';
import type { Voter } from '#data/member/mod.ts';
import type { Host } from '#host/mod.ts';
import type { SimRng, SimWorld } from '#host/sim/mod.ts';

const NODE = 'controller';
const HALF_TRIP_MS = 2;
const TIMEOUT_MS = 3_000;

export class SimControlPlane {
  /** Nobody answers: the API server is down. */
  away = false;
  readonly #world: SimWorld;
  readonly #volume: VolumeId;
  readonly #rng: SimRng;
  readonly #client: KubeClient;
  readonly #votes: ReturnType<typeof createVoteHandlers>;

  constructor(world: SimWorld, volume: VolumeId) {
    this.#world = world;
    this.#volume = volume;
    this.#rng = world.rng('control plane');
    this.#client = createTwin(world.addNode(NODE)).client;
    this.#votes = createVoteHandlers(this.#client);
  }

  async create(replicas: number): Promise<void> {
    await this.#client.create('Volume', {
      apiVersion: API_VERSION,
      kind: 'Volume',
      metadata: { name: this.#volume },
      spec: { size: '1Gi', replicas },
    });
  }

  /** The vote as a process on this machine reaches it. */
  voter(node: string, host: Host): Voter {
    const volume = this.#volume;
    const votes = this.#votes;
    return {
      voter: CONTROL_PLANE,
      promise: (epoch, nexus) =>
        this.#call(node, host, () => votes['vote.promise']({ volume, epoch, nexus })),
      commit: (record) => this.#call(node, host, () => votes['vote.commit']({ volume, record })),
      confirm: (epoch) =>
        this.#call(
          node,
          host,
          async () => (await votes['vote.confirm']({ volume, epoch })).current,
        ),
    };
  }

  /** What happened is not always told: the way back may be cut. */
  async #call<T>(node: string, host: Host, act: () => Promise<T>): Promise<T> {
    await this.#trip(host, node, NODE);
    const answer = await act();
    await this.#trip(host, NODE, node);
    return answer;
  }

  async #trip(host: Host, from: string, to: string): Promise<void> {
    await host.clock.sleep(this.#rng.between(0.2, HALF_TRIP_MS));
    if (!this.away && !this.#world.net.link(from, to).blocked) return;
    await host.clock.sleep(TIMEOUT_MS);
    throw new HoldfastError('timed-out', 'The control plane does not answer', {
      effect: 'unknown',
    });
  }
}
