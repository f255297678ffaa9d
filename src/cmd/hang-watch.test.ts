import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoldfastError } from '#api/mod.ts';
import type { ErrorCode } from '#api/mod.ts';
import { SimWorld } from '#host/sim/mod.ts';
import { HangWatch } from './hang-watch.ts';

/** Answers come as they are listed, then all is well; says when a hang was noticed. */
function hangsOf(answers: readonly (ErrorCode | 'ok')[]): Promise<number> {
  const world = new SimWorld(1);
  const { clock } = world.addNode('machine');
  const left = [...answers];
  let hangs = 0;
  const watch = new HangWatch({
    clock,
    ask: async (timeoutMs) => {
      const answer = left.shift() ?? 'ok';
      if (answer === 'timed-out') await clock.sleep(timeoutMs);
      if (answer !== 'ok') throw new HoldfastError(answer, 'Planted');
    },
    onHang: () => (hangs += 1),
  });
  return world.finish(
    clock.sleep(300_000).then(() => {
      watch.stop();
      return hangs;
    }),
  );
}

test('A process that is silent twice in a row hangs', async () => {
  assert.equal(await hangsOf(['ok', 'timed-out', 'timed-out']), 1);
  assert.equal(await hangsOf(['timed-out', 'timed-out', 'timed-out', 'timed-out']), 2);
});

test('One that answers now and then, or has ended, does not', async () => {
  assert.equal(await hangsOf(['timed-out', 'ok', 'timed-out', 'ok']), 0);
  assert.equal(await hangsOf(['refused', 'disconnected', 'refused', 'refused']), 0);
  assert.equal(await hangsOf(['timed-out', 'refused', 'timed-out']), 0);
});
