import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HoldfastError } from '#api/mod.ts';
import type { StoreParts } from './file-pool.ts';
import { FlushRounds } from './flush-rounds.ts';
import { IntentSet } from './intent-set.ts';
import { runHistory } from './store-model.testkit.ts';
import { SOUND_PARTS } from './store.testkit.ts';

const SEEDS = 30;
const ROUNDS = 8;

test('FileReplica agrees with the model over random crashes', async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    await assert.doesNotReject(runHistory({ seed, rounds: ROUNDS }), `seed ${seed}`);
  }
});

/** Planted mistakes: constructors that tests inject, not switches of the product. */
class NoDataSync extends FlushRounds {
  protected override async syncData(): Promise<void> {}
}

class LogBeforeData extends FlushRounds {
  protected override async makeDurable(append: (() => Promise<void>) | null): Promise<void> {
    if (append !== null) await append();
    await this.syncData();
  }
}

class NoPageImages extends FlushRounds {
  protected override async protectPages(): Promise<void> {}
}

class IntentAfterData extends IntentSet {
  override hasAll(first: number, last: number): boolean {
    if (!super.hasAll(first, last)) super.mark(first, last, (_error: HoldfastError | null) => {});
    return true;
  }
}

const MISTAKES: readonly { readonly name: string; readonly parts: StoreParts }[] = [
  { name: 'data is not synced', parts: { ...SOUND_PARTS, FlushRounds: NoDataSync } },
  {
    name: 'the log is written before the data',
    parts: { ...SOUND_PARTS, FlushRounds: LogBeforeData },
  },
  { name: 'map pages are not protected', parts: { ...SOUND_PARTS, FlushRounds: NoPageImages } },
  {
    name: 'intents are marked after the data',
    parts: { ...SOUND_PARTS, IntentSet: IntentAfterData },
  },
];

for (const { name, parts } of MISTAKES) {
  test(`The model catches a store where ${name}`, async () => {
    let caught = 0;
    for (let seed = 1; seed <= SEEDS * 4 && caught === 0; seed++) {
      await runHistory({ seed, rounds: ROUNDS, parts }).catch(() => caught++);
    }
    assert.ok(caught > 0, 'no seed found the mistake');
  });
}
