/**
 * Layers that are no snapshot any more are merged into the one above and go. The copying runs
 * outside of the order of cold verbs, so that snapshots and rebuilds do not wait for it.
 */
import { HoldfastError } from '#api/mod.ts';
import type { DataPath } from './data-path.ts';
import type { Layer } from './layer.ts';
import { copyUp } from './layer-merge.ts';
import type { ReplicaLayers } from './replica-layers.ts';

export class Merges {
  readonly #layers: ReplicaLayers;
  readonly #dataPath: DataPath;
  readonly #inOrder: (action: () => Promise<void>) => Promise<void>;
  #running: Promise<unknown> = Promise.resolve();
  #stopped: HoldfastError | null = null;

  /** `inOrder` runs an action as one of the replica's cold verbs. */
  constructor(
    layers: ReplicaLayers,
    dataPath: DataPath,
    inOrder: (action: () => Promise<void>) => Promise<void>,
  ) {
    this.#layers = layers;
    this.#dataPath = dataPath;
    this.#inOrder = inOrder;
  }

  /** Resolves when nothing is left to merge. */
  async run(): Promise<void> {
    const merges = this.#running.then(async () => this.#mergeAll());
    this.#running = merges.catch(() => undefined);
    await merges;
  }

  /** All layers that are no snapshot any more and that nobody shares, from the bottom up. */
  async #mergeAll(): Promise<void> {
    for (;;) {
      this.#check();
      const { replica } = this.#layers.files.headerFile.header.identity;
      // After the mark: a clone that came before it is seen here, a later one sees the mark.
      const isShared = await this.#layers.options.references.heldByOthers(replica);
      for (const layer of this.#layers.stack.layers) {
        if (layer.record.state !== 'merging' || !isShared(layer.id)) continue;
        await this.#layers.changeLayer(layer, { state: 'sealed', snapshot: null });
      }
      const { layers } = this.#layers.stack;
      const at = layers.findIndex((layer) => {
        const { state, snapshot } = layer.record;
        return (
          state === 'merging' || (state === 'sealed' && snapshot === null && !isShared(layer.id))
        );
      });
      const lower = layers[at];
      const upper = layers[at + 1];
      if (lower === undefined || upper === undefined) return;
      if (lower.record.state !== 'merging') {
        await this.#layers.changeLayer(lower, { state: 'merging' });
        continue;
      }
      await copyUp(lower, upper, at === 0, this.#dataPath, async () => this.#breathe());
      await this.#inOrder(async () => this.#dropLayer(lower));
    }
  }

  async #dropLayer(lower: Layer): Promise<void> {
    this.#check();
    await this.#layers.rounds.alone(async () => {
      await this.#layers.rounds.checkpointAlone();
      await this.#layers.updateHeader(({ layers }) => ({
        layers: layers.filter((record) => record.layer !== lower.id),
      }));
      this.#layers.stack.layers = this.#layers.stack.layers.filter((layer) => layer !== lower);
    });
    await this.#dataPath.turnOver();
    await this.#layers.retire(lower);
  }

  /** Between two pages of a merge: dirty pages become no more than a flush would leave. */
  async #breathe(): Promise<void> {
    this.#check();
    if (this.#layers.rounds.crowded) await this.#layers.rounds.checkpoint();
  }

  #check(): void {
    this.#layers.health.check();
    if (this.#stopped !== null) throw this.#stopped;
  }

  async stop(): Promise<void> {
    this.#stopped = new HoldfastError('aborted', 'Merge was broken off and goes on later');
    await this.#running;
    this.#stopped = null;
  }
}
