import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatNote, parseNote } from './rebuild-note.ts';

test('A rebuild note says what it was given', () => {
  for (const kind of ['delta', 'full', 'reset', null] as const) {
    for (const voteless of [false, true]) {
      const note = { kind, segment: kind === null ? 0 : 12, voteless };
      assert.deepEqual(parseNote(formatNote(note)), note);
    }
  }
  assert.equal(formatNote({ kind: null, segment: 0, voteless: false }), '');
});

test('A rebuild note of another version says nothing', () => {
  assert.deepEqual(parseNote('level-2 x'), { kind: null, segment: 0, voteless: false });
});
