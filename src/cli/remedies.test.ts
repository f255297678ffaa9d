import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ERROR_CODES, HoldfastError } from '#api/mod.ts';
import { EXIT_CODES } from './exit-codes.ts';
import { formatError } from './print-error.ts';
import { REMEDIES } from './remedies.ts';

const PAGE = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');

/** Remedy and exit code of a row `| code | cause | effect | remedy | exit |`. */
function rowOf(code: string): { remedy: string; exit: number } {
  const row = PAGE.split('\n').find((line) => line.startsWith(`| \`${code}\` |`)) ?? '';
  const cells = row.split(' | ');
  return { remedy: cells[3] ?? '', exit: Number((cells[4] ?? '').replace(' |', '')) };
}

test('Every error that is printed has a remedy, its own or that of the page of errors', () => {
  for (const code of ERROR_CODES) {
    assert.equal(REMEDIES[code], rowOf(code).remedy, code);
    const bare = formatError(new HoldfastError(code, 'Something'));
    assert.ok(bare.endsWith(`\n  remedy: ${REMEDIES[code]}`), bare);
    const details = { remedy: 'Do this' };
    assert.match(
      formatError(new HoldfastError(code, 'Something', { details })),
      /remedy: Do this$/,
    );
  }
});

test('Every code ends the command with the exit code that the page of errors gives', () => {
  for (const code of ERROR_CODES) assert.equal(EXIT_CODES[code], rowOf(code).exit, code);
});
