import { HoldfastError, isId, type ReplicaId } from '#api/mod.ts';
import type { Disk } from '#host/mod.ts';
import { ReplicaHeaderFile, replicasDirectory } from './replica-directory.ts';

/** What `.new` says: a clone that is being created has its layers already. */
const NEW_SUFFIX = '.new';

/**
 * Which replicas of a pool have which layers, as the `replica` files on disk say now: other threads
 * create clones and open replicas, so nothing is remembered. While one of the files cannot be read,
 * every layer counts as held by others: nothing is merged or removed that it may need.
 */
export class LayerReferences {
  readonly #disk: Disk;
  readonly #pool: string;

  constructor(disk: Disk, pool: string) {
    this.#disk = disk;
    this.#pool = pool;
  }

  /** Asks which layers somebody else than `replica` has; null asks for all holders. */
  async heldByOthers(replica: ReplicaId | null): Promise<(layer: string) => boolean> {
    const root = replicasDirectory(this.#pool);
    const held = new Set<string>();
    let unreadable = false;
    for (const name of await this.#disk.list(root)) {
      const id = name.endsWith(NEW_SUFFIX) ? name.slice(0, -NEW_SUFFIX.length) : name;
      if (!isId(id) || id === replica) continue;
      try {
        const { layers } = await ReplicaHeaderFile.read(this.#disk, `${root}/${name}`);
        for (const { layer } of layers) held.add(layer);
      } catch (error) {
        if (!HoldfastError.is(error)) throw error;
        // No file: kept for its layers, or not created yet.
        if (error.code !== 'not-found') unreadable = true;
      }
    }
    return (layer) => unreadable || held.has(layer);
  }
}
