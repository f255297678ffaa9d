import assert from 'node:assert/strict';
import test from 'node:test';
import { wrapComments } from '../scripts/wrap-comments.ts';

const WORDS = 'word '.repeat(19).trim();

test('wrapComments moves the rest of a wide line to the next line of its paragraph', () => {
  assert.equal(wrapComments(`// ${WORDS} and more\n// text`), `// ${WORDS}\n// and more text`);
});

test('wrapComments turns a wide one-line block into three lines', () => {
  assert.equal(
    wrapComments(`  /** ${WORDS} and */\n  x: 1;`),
    `  /**\n   * ${WORDS}\n   * and\n   */\n  x: 1;`,
  );
});

test('wrapComments keeps list items, unbroken words and code', () => {
  assert.equal(
    wrapComments(` * - ${WORDS} more\n * - next`),
    ` * - ${WORDS}\n *   more\n * - next`,
  );
  const wide = `// ${'x'.repeat(120)}\nconst a = '${'y '.repeat(60)}';`;
  assert.equal(wrapComments(wide), wide);
});
