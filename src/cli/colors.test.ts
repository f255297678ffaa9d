import assert from 'node:assert/strict';
import { test } from 'node:test';
import { colorsFor } from './colors.ts';

const TERMINAL = { isTTY: true };
const PIPE = {};

test('Colours go to terminals only, unless the environment says otherwise', () => {
  const cases = [
    [TERMINAL, {}, true],
    [TERMINAL, { TERM: 'dumb' }, false],
    [TERMINAL, { NO_COLOR: '1' }, false],
    [TERMINAL, { NO_COLOR: '1', FORCE_COLOR: '1' }, false],
    [TERMINAL, { FORCE_COLOR: '0' }, false],
    [PIPE, {}, false],
    [PIPE, { FORCE_COLOR: '1', TERM: 'dumb' }, true],
  ] as const;
  for (const [stream, env, isColored] of cases) {
    const text = colorsFor(stream, env).red('x');
    assert.equal(text !== 'x', isColored, JSON.stringify({ stream, env }));
  }
});

test('A pipe on a machine that sets CI gets no escape sequences', () => {
  assert.equal(colorsFor(PIPE, { CI: 'true' }).bold('x'), 'x');
});
