import { HoldfastError, type LayerRef } from '#api/mod.ts';
import { assert } from '#lib/mod.ts';
import type { Layer } from './layer.ts';

/** The layers of a replica, bottom first; the last is the head. */
export class LayerStack {
  layers: readonly Layer[];

  constructor(layers: readonly Layer[]) {
    this.layers = layers;
  }

  get head(): Layer {
    const head = this.layers.at(-1);
    assert(head !== undefined, 'a replica has a head');
    return head;
  }

  /** Position of the layer that a request means; -1 when there is no such snapshot. */
  find(ref: LayerRef): number {
    if (ref === null) return this.layers.length - 1;
    return this.layers.findIndex((layer) => layer.snapshot === ref);
  }

  get(ref: LayerRef): number {
    const at = this.find(ref);
    if (at >= 0) return at;
    throw new HoldfastError('not-found', 'Snapshot does not exist', {
      details: { snapshot: String(ref) },
    });
  }

  dirtyPages(): number {
    let count = 0;
    for (const layer of this.layers) count += layer.map.dirtyPages.size;
    return count;
  }
}
