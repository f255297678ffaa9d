import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HoldfastError } from '#api/mod.ts';
import type { Host } from '#host/mod.ts';
import { SimWorld } from '#host/sim/mod.ts';
import type { ReconcileResult } from './mod.ts';
import { WorkQueue } from './mod.ts';

async function withQueue(
  reconcile: (key: string, host: Host) => Promise<ReconcileResult>,
  action: (queue: WorkQueue, host: Host) => Promise<void>,
): Promise<void> {
  const world = new SimWorld(5);
  const host = world.addNode('a');
  const { clock, rng, log } = host;
  const queue = new WorkQueue({
    name: 'test',
    clock,
    rng,
    log,
    concurrency: 2,
    reconcile: (key) => reconcile(key, host),
  });
  await world.finish(action(queue, host).then(() => queue.stop()));
}

describe('WorkQueue', () => {
  test('A key added many times is looked at once', async () => {
    let looks = 0;
    await withQueue(
      async () => {
        looks += 1;
        return {};
      },
      async (queue, { clock }) => {
        for (let index = 0; index < 10; index += 1) queue.add('a');
        await clock.sleep(100);
        assert.equal(looks, 1);
      },
    );
  });

  test('A key added while it is worked on is looked at again, never twice at once', async () => {
    let looks = 0;
    let running = 0;
    await withQueue(
      async (_key, { clock }) => {
        running += 1;
        assert.equal(running, 1);
        looks += 1;
        await clock.sleep(50);
        running -= 1;
        return {};
      },
      async (queue, { clock }) => {
        queue.add('a');
        await clock.sleep(10);
        queue.add('a');
        queue.add('a');
        await clock.sleep(500);
        assert.equal(looks, 2);
      },
    );
  });

  test('Errors are retried with growing pauses that gentle news does not shorten', async () => {
    const times: number[] = [];
    await withQueue(
      async (_key, { clock }) => {
        times.push(clock.monotonicMs());
        if (times.length < 6) throw new HoldfastError('refused', 'Not yet');
        return {};
      },
      async (queue, { clock }) => {
        queue.add('a');
        for (let index = 0; index < 300; index += 1) {
          await clock.sleep(10);
          queue.addGently('a');
        }
        assert.ok(times.length >= 6);
        const pauses = times.slice(1, 6).map((time, index) => time - (times[index] ?? 0));
        assert.ok((pauses[0] ?? 0) >= 25, `first pause ${pauses[0]}`);
        assert.ok((pauses[4] ?? 0) > 4 * (pauses[0] ?? 0) - 50, pauses.join(' '));
      },
    );
  });

  test('add does not wait for the back-off', async () => {
    let looks = 0;
    await withQueue(
      async () => {
        looks += 1;
        throw new HoldfastError('refused', 'Never');
      },
      async (queue, { clock }) => {
        queue.add('a');
        await clock.sleep(3_000);
        const before = looks;
        queue.add('a');
        await clock.sleep(5);
        assert.equal(looks, before + 1);
      },
    );
  });

  test('requeueAfterMs looks again, and an earlier time wins', async () => {
    const times: number[] = [];
    await withQueue(
      async (_key, { clock }) => {
        times.push(clock.monotonicMs());
        return times.length < 3 ? { requeueAfterMs: 100 } : {};
      },
      async (queue, { clock }) => {
        queue.addAfter('a', 10_000);
        queue.addAfter('a', 50);
        await clock.sleep(1_000);
        assert.equal(times.length, 3);
        assert.ok((times[2] ?? 0) - (times[1] ?? 0) >= 95);
      },
    );
  });

  test('A reconciler that never comes to rest is slowed down', async () => {
    let looks = 0;
    let queue: WorkQueue | undefined;
    await withQueue(
      async (key) => {
        looks += 1;
        queue?.add(key);
        return {};
      },
      async (made, { clock }) => {
        queue = made;
        made.add('a');
        await clock.sleep(10_000);
        queue = undefined;
        assert.ok(looks < 200, `${looks} looks in 10 s`);
      },
    );
  });

  test('stop waits for what runs and takes nothing new', async () => {
    let ended = 0;
    await withQueue(
      async (_key, { clock }) => {
        await clock.sleep(200);
        ended += 1;
        return {};
      },
      async (queue, { clock }) => {
        queue.add('a');
        await clock.sleep(10);
        queue.add('b');
        await queue.stop();
        assert.equal(ended, 1);
      },
    );
  });
});
