/**
 * ReplicaHost: open replicas and the one address where their peer protocol answers. The engine has
 * one for the replicas whose volume is attached elsewhere; a volume that is attached here has one
 * of its own for its local replica, so that nexus and local replica share a thread.
 */
import type { Address, Host } from '#host/mod.ts';
import {
  HoldfastError,
  type AddressText,
  type LayerUse,
  type ReplicaId,
  type ReplicaReport,
} from '#api/mod.ts';
import { PeerServer, Replica } from '#data/replica/mod.ts';
import type { ReplicaStore } from '#data/store/mod.ts';
import { formatAddress } from '#rpc/mod.ts';

interface Hosted {
  readonly replica: Replica;
  readonly store: ReplicaStore;
  readonly directory: string;
}

export class ReplicaHost {
  readonly #host: Host;
  readonly #hosted = new Map<ReplicaId, Hosted>();
  #server: PeerServer | null = null;
  #address: AddressText = '';

  constructor(host: Host) {
    this.#host = host;
  }

  async listen(address: Address): Promise<void> {
    const { net, clock, log } = this.#host;
    const lookup = (replica: string): Replica | undefined =>
      this.#hosted.get(replica as ReplicaId)?.replica;
    this.#server = new PeerServer({ net, clock, log, lookup });
    this.#address = formatAddress(await this.#server.listen(address));
  }

  /** Takes over an open store. */
  add(store: ReplicaStore, directory: string): Replica {
    const { replica: id } = store.state().identity;
    const replica = new Replica({ store, log: this.#host.log });
    this.#hosted.set(id, { replica, store, directory });
    return replica;
  }

  find(replica: ReplicaId): Replica | undefined {
    return this.#hosted.get(replica)?.replica;
  }

  ids(): ReplicaId[] {
    return [...this.#hosted.keys()];
  }

  /** Sessions are ended, then the store is closed in order. Nothing when it is not here. */
  async release(replica: ReplicaId): Promise<void> {
    const hosted = this.#hosted.get(replica);
    if (!hosted) return;
    this.#hosted.delete(replica);
    await hosted.replica.close();
  }

  async report(replica: ReplicaId): Promise<ReplicaReport> {
    const hosted = this.#hosted.get(replica);
    if (!hosted) {
      throw new HoldfastError('not-found', 'Replica is not open here', { details: { replica } });
    }
    const state = hosted.store.state();
    return {
      identity: state.identity,
      sizeBytes: state.sizeBytes,
      directory: hosted.directory,
      address: this.#address,
      state,
      usage: state.failed ? null : await hosted.store.usage(),
      error: state.failed?.message ?? '',
      errorCode: state.failed?.code ?? '',
    };
  }

  /** Empty for one that is not here or failed: nobody knows then. */
  async layerUses(replica: ReplicaId | undefined, budgetMs: number): Promise<readonly LayerUse[]> {
    const hosted = replica === undefined ? undefined : this.#hosted.get(replica);
    if (!hosted || hosted.store.state().failed) return [];
    return hosted.store.layerUses(budgetMs);
  }

  async close(): Promise<void> {
    await this.#server?.close();
    await Promise.all(this.ids().map((id) => this.release(id)));
  }
}
