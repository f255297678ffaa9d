/**
 * SortedShelf: the objects of one resource by `namespace/name`, and in that order. The order is
 * made when somebody lists them first, and kept from then on: a write moves one entry, it sorts
 * nothing.
 */
import type { JsonObject } from '#api/resources/mod.ts';
import { orderOfObject } from './object-store.ts';

export class SortedShelf {
  readonly #objects = new Map<string, JsonObject>();
  /** What was listed stays as it was: a write makes a new array. */
  #sorted: readonly JsonObject[] | undefined;

  get count(): number {
    return this.#objects.size;
  }

  find(order: string): JsonObject | undefined {
    return this.#objects.get(order);
  }

  all(): readonly JsonObject[] {
    this.#sorted ??= [...this.#objects]
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([, object]) => object);
    return this.#sorted;
  }

  /** Undefined takes it away. */
  set(order: string, object: JsonObject | undefined): void {
    const existed = this.#objects.has(order);
    if (object === undefined) this.#objects.delete(order);
    else this.#objects.set(order, object);
    if (this.#sorted === undefined) return;
    const at = this.#placeOf(this.#sorted, order);
    if (object === undefined) {
      if (existed) this.#sorted = this.#sorted.toSpliced(at, 1);
    } else if (existed) this.#sorted = this.#sorted.with(at, object);
    else this.#sorted = this.#sorted.toSpliced(at, 0, object);
  }

  /** The first that is not before it. */
  #placeOf(sorted: readonly JsonObject[], order: string): number {
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (orderOfObject(sorted[middle] as JsonObject) < order) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
