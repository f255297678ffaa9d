import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SimWorld } from '#host/sim/mod.ts';
import { Throttle } from './throttle.ts';

test('Throttle holds a rebuild back while the foreground is slow, but not for ever', async () => {
  const world = new SimWorld(1);
  const { clock } = world.addNode('n');
  await world.finish(
    (async () => {
      const throttle = new Throttle(clock, 50);
      const sinceMs = clock.monotonicMs();
      await throttle.pass();
      assert.equal(clock.monotonicMs(), sinceMs);
      for (let i = 0; i < 50; i++) throttle.sample(clock.monotonicMs(), 200);
      await throttle.pass();
      const waitedMs = clock.monotonicMs() - sinceMs;
      assert.ok(waitedMs >= 900 && waitedMs <= 1_100, `${waitedMs} ms`);
      await clock.sleep(200);
      // What was slow long ago says nothing.
      assert.equal(throttle.slow, false);
    })(),
  );
});
