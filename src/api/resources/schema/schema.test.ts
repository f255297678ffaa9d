import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { FieldProblem, Schema } from '../resource.ts';
import { applyDefaults, dropUnknown, validate } from './mod.ts';

interface Answer {
  readonly given: unknown;
  /** After unknown fields were dropped and defaults applied. */
  readonly value: unknown;
  readonly unknown: readonly string[];
  readonly problems: readonly FieldProblem[];
}

/** What apiextensions-apiserver 0.36.3 itself answers: pruning, defaults, validation. */
const { schema, cases } = JSON.parse(
  readFileSync(join(import.meta.dirname, '..', 'testdata', 'validation.json'), 'utf8'),
) as { readonly schema: Schema; readonly cases: readonly Answer[] };

function answer(given: unknown): Answer {
  const before = JSON.stringify(given);
  const known = dropUnknown(schema, given);
  const value = applyDefaults(schema, known.value);
  assert.equal(JSON.stringify(given), before, 'The value given was changed');
  return { given, value, unknown: known.unknown, problems: validate(schema, value) };
}

/** Go walks maps in no order. */
function sorted(problems: readonly FieldProblem[]): string[] {
  return problems.map((one) => `${one.field}: ${one.message} (${one.reason})`).toSorted();
}

describe('A structural schema, as kube-apiserver reads it', () => {
  for (const expected of cases) {
    test(JSON.stringify(expected.given), () => {
      const found = answer(expected.given);
      assert.deepEqual(found.value, expected.value);
      assert.deepEqual(found.unknown.toSorted(), expected.unknown.toSorted());
      assert.deepEqual(sorted(found.problems), sorted(expected.problems));
    });
  }
});
