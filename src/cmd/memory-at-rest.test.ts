import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SimWorld } from '#host/sim/mod.ts';
import { giveBackAtRest } from './memory-at-rest.ts';

/** How many collections there were after each look, for shares of time as they are listed. */
async function collectionsAfter(shares: readonly number[]): Promise<number[]> {
  const world = new SimWorld(1);
  const { clock } = world.addNode('machine');
  const counts: number[] = [];
  let looks = 0;
  let collections = 0;
  giveBackAtRest({
    clock,
    utilization: () => shares[looks++] ?? 0,
    collect: () => (collections += 1),
  });
  await world.finish(
    (async () => {
      await clock.sleep(10_000);
      for (const _ of shares) {
        await clock.sleep(20_000);
        counts.push(collections);
      }
    })(),
  );
  return counts;
}

test('What starting left is collected once, at the first rest', async () => {
  assert.deepEqual(await collectionsAfter([0.3, 0.001, 0.001, 0.001]), [0, 1, 1, 1]);
});

test('What works, or half works, is not disturbed', async () => {
  assert.deepEqual(await collectionsAfter([0.05, 0.9, 0.05, 0.03]), [0, 0, 0, 0]);
});

test('A rest after work is another one; a little work is not', async () => {
  assert.deepEqual(await collectionsAfter([0, 0.05, 0, 0.2, 0, 0]), [1, 1, 1, 1, 2, 2]);
});

test('The heap of a real thread is smaller afterwards', async () => {
  const { getHeapStatistics } = await import('node:v8');
  const world = new SimWorld(1);
  const { clock } = world.addNode('machine');
  let garbage: number[][] = Array.from({ length: 200 }, () =>
    Array.from({ length: 5_000 }, () => 1.5),
  );
  const beforeBytes = getHeapStatistics().total_physical_size;
  assert.ok(garbage.length > 0);
  garbage = [];
  giveBackAtRest({ clock, utilization: () => 0 });
  await world.finish(clock.sleep(21_000));
  assert.ok(getHeapStatistics().total_physical_size < beforeBytes - 4 * 2 ** 20);
});
