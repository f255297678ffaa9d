/**
 * What the cold verbs of a replica share: its files, its stack of layers, and the header that says
 * which layers there are. The header changes on the disk first.
 */
import { HoldfastError } from '#api/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import type { FlushRounds } from './flush-rounds.ts';
import type { Health } from './health.ts';
import type { Layer } from './layer.ts';
import { createLayerFiles, dataPathOf, mapPathOf, openLayer } from './layer-files.ts';
import { removeQuietly } from './metadata-file.ts';
import type { LayerRecord, ReplicaHeader } from './metadata.ts';
import type { FileReplicaOptions } from './file-replica.ts';
import type { OpenedReplica } from './replica-open.ts';

export class ReplicaLayers {
  readonly options: FileReplicaOptions;
  readonly files: OpenedReplica;
  readonly health: Health;
  readonly rounds: FlushRounds;
  readonly segmentBlocks: number;

  constructor(
    options: FileReplicaOptions,
    files: OpenedReplica,
    health: Health,
    rounds: FlushRounds,
  ) {
    this.options = options;
    this.files = files;
    this.health = health;
    this.rounds = rounds;
    this.segmentBlocks = files.headerFile.header.identity.segmentBytes / BLOCK_BYTES;
  }

  get stack(): OpenedReplica['stack'] {
    return this.files.stack;
  }

  /** When it is not known which header is on the disk, the store does not know what it is. */
  async updateHeader(change: (header: ReplicaHeader) => Partial<ReplicaHeader>): Promise<void> {
    await this.failing(async () => this.files.headerFile.update(change));
  }

  async failing(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      if (HoldfastError.is(error) && error.effect === 'unknown') this.health.fail(error);
      throw error;
    }
  }

  async changeLayer(layer: Layer, change: Partial<LayerRecord>): Promise<void> {
    const record = { ...layer.record, ...change };
    await this.updateHeader(({ layers }) => ({
      layers: layers.map((other) => (other.layer === record.layer ? record : other)),
    }));
    layer.record = record;
  }

  /** The head becomes `frozen`, and a new one lies above it. */
  async addHead(frozen: LayerRecord): Promise<void> {
    const { headerFile, directory } = this.files;
    const { host, pool, cache } = this.options;
    const { identity, sizeBytes } = headerFile.header;
    const { replica, volume } = identity;
    const { disk, rng } = host;
    const record = await createLayerFiles(disk, rng, directory, replica, volume, sizeBytes);
    try {
      await disk.syncDirectory(directory);
      const { layer } = await openLayer(disk, pool, record, this.segmentBlocks, cache, []);
      await this.updateHeader(({ layers }) => ({
        layers: [...layers.slice(0, -1), frozen, record],
      }));
      this.stack.head.record = frozen;
      this.stack.layers = [...this.stack.layers, layer];
    } catch (error) {
      // Once the header may name them the files must stay; if it does not, the next open clears up.
      if (HoldfastError.is(error) && error.effect !== 'unknown') {
        await removeQuietly(disk, dataPathOf(pool, record));
        await removeQuietly(disk, mapPathOf(pool, record));
      }
      throw error;
    }
  }

  /** Closes a layer that left the stack; its files go unless a clone needs them. */
  async retire(layer: Layer): Promise<void> {
    const { host, pool, references } = this.options;
    const { replica } = this.files.headerFile.header.identity;
    await layer.close();
    if ((await references.heldByOthers(replica))(layer.id)) return;
    await removeQuietly(host.disk, dataPathOf(pool, layer.record));
    await removeQuietly(host.disk, mapPathOf(pool, layer.record));
  }
}
