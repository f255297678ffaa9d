import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SegmentInspection } from '#api/mod.ts';
import { chooseCopies } from './choose-copy.ts';

/** One letter per block: upper case verified, `.` reads as zero. */
function copy(text: string): SegmentInspection {
  const letters = [...text];
  return {
    segment: 0,
    kinds: Uint8Array.from(letters, (letter) => (letter === '.' ? 0 : 1)),
    contentCrcs: Uint32Array.from(letters, (letter) =>
      letter === '.' ? 0 : letter.toLowerCase().charCodeAt(0),
    ),
    verified: Uint8Array.from(letters, (letter) => (/[A-Z.]/.test(letter) ? 1 : 0)),
    stamp: { epoch: 1, n: 1 },
  };
}

function choose(copies: readonly string[], flushedOnly = false): string {
  const choice = chooseCopies(copies.map(copy), flushedOnly);
  return [...choice.winners].join('');
}

describe('chooseCopies', () => {
  test('chooseCopies finds nothing to do among equal copies', () => {
    const choice = chooseCopies([copy('aB.'), copy('Ab.')], false);
    assert.equal(choice.differingBlocks, 0);
    assert.equal(choice.doubtfulBlocks, 0);
  });

  test('chooseCopies prefers what two complete members agree on', () => {
    // Block 0: 1 and 2 agree on what is newer than their checksums; 0 has the flushed content.
    assert.equal(choose(['A', 'b', 'b']), '1');
    assert.equal(choose(['a', 'B', '.']), '1');
  });

  test('chooseCopies prefers the flushed content after a loss', () => {
    assert.equal(choose(['b', 'b', 'A'], true), '2');
    assert.equal(choose(['a', 'b', 'b'], true), '1');
  });

  test('chooseCopies takes any copy, counted, when nothing confirms one', () => {
    const choice = chooseCopies([copy('a'), copy('b')], false);
    assert.deepEqual([...choice.winners], [0]);
    assert.equal(choice.doubtfulBlocks, 1);
    assert.equal(chooseCopies([copy('aB')], false).doubtfulBlocks, 1);
  });

  test('chooseCopies names a copy that can be read among equal ones', () => {
    assert.equal(choose(['b', 'B', 'a']), '1');
  });
});
