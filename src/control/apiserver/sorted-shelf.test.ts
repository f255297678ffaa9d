import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JsonObject } from '#api/resources/mod.ts';
import { SimRng } from '#host/sim/mod.ts';
import { orderOf } from './object-store.ts';
import { SortedShelf } from './sorted-shelf.ts';

test('A shelf lists its objects as if sorted anew after every write', () => {
  const rng = new SimRng(7, 'shelf');
  const shelf = new SortedShelf();
  const model = new Map<string, JsonObject>();
  for (let step = 0; step < 3_000; step++) {
    // Also names that sort otherwise with the separator than without: `a/b` and `a-b/a`.
    const namespace = ['a', 'a-b', 'b'][rng.below(3)] ?? '';
    const name = `n-${rng.below(40)}`;
    const order = orderOf(namespace, name);
    const object = rng.below(3) === 0 ? undefined : { metadata: { namespace, name }, step };
    const listed = shelf.all();
    const copy = [...listed];
    shelf.set(order, object);
    assert.deepEqual(listed, copy, 'what was listed stays as it was');
    if (object === undefined) model.delete(order);
    else model.set(order, object);
    const wanted = [...model].sort(([one], [other]) => (one < other ? -1 : 1));
    assert.deepEqual(
      shelf.all(),
      wanted.map(([, one]) => one),
    );
    assert.equal(shelf.count, model.size);
    assert.equal(shelf.find(order), object);
  }
});
