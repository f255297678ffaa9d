import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SnapshotInfo } from '#api/mod.ts';
import { nextStep } from './snapshot-copy.ts';

/** `a b! c2`: `!` is not sealed, a digit is another generation. */
function list(text: string): SnapshotInfo[] {
  return text
    .split(' ')
    .filter((word) => word !== '')
    .map((word) => ({
      id: word[0] as never,
      generation: { epoch: 1, n: Number(/\d/.exec(word)?.[0] ?? 1) },
      sizeBytes: 0,
      sealed: !word.includes('!'),
      allocatedBytes: 0,
    }));
}

function step(wanted: string, present: string): string {
  const next = nextStep(list(wanted), list(present));
  return 'snapshot' in next ? `${next.kind} ${next.snapshot.id}` : next.kind;
}

test('nextStep deletes what is too much, begins what lacks, resumes what is not sealed', () => {
  assert.equal(step('', ''), 'level');
  assert.equal(step('a b', 'a b'), 'level');
  assert.equal(step('a b', 'a'), 'begin b');
  assert.equal(step('a b', 'x a'), 'delete x');
  assert.equal(step('a b', 'a b!'), 'resume b');
  assert.equal(step('a', 'a2'), 'delete a');
});

test('nextStep gives up on a chain that lacks a snapshot in the middle', () => {
  assert.equal(step('a b', 'b'), 'mismatch');
});
