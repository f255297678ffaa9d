import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { WriteWindow } from './write-window.ts';

describe('WriteWindow', () => {
  test('waits for nothing when nothing is pending', () => {
    const window = new WriteWindow();
    assert.equal(window.wait(), null);
    window.end(window.begin());
    assert.equal(window.wait(), null);
  });

  test('a wait ends with the last of those before it, whatever begins later', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.constant('begin'), fc.constant('wait'), fc.nat(50)), {
          maxLength: 80,
        }),
        async (steps) => {
          const window = new WriteWindow();
          const open: unknown[] = [];
          const waits: { before: Set<unknown>; done: boolean }[] = [];
          let serial = 0;
          const tokens = new Map<unknown, unknown>();
          for (const step of steps) {
            if (step === 'begin') {
              serial += 1;
              tokens.set(serial, window.begin());
              open.push(serial);
            } else if (step === 'wait') {
              const wait = { before: new Set(open), done: false };
              waits.push(wait);
              const promise = window.wait();
              assert.equal(promise === null, open.length === 0);
              void (promise ?? Promise.resolve()).then(() => {
                wait.done = true;
              });
            } else if (open.length > 0) {
              const [ended] = open.splice(Number(step) % open.length, 1);
              window.end(tokens.get(ended));
              for (const wait of waits) wait.before.delete(ended);
            }
            assert.equal(window.pending, open.length);
            await Promise.resolve();
            await Promise.resolve();
            for (const wait of waits) assert.equal(wait.done, wait.before.size === 0);
          }
        },
      ),
    );
  });
});
