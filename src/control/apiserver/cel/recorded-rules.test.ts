/**
 * Cases whose outcome Kubernetes' own code gave, in fixtures/rules.json.gz (one case a line):
 * random objects, before and after, through cel.NewValidator of k8s.io/apiextensions-apiserver
 * v0.36.3, with ratcheting, as kube-apiserver 1.36 runs it. A problem is [reason, field, message].
 */
import type { FieldProblem, Schema } from '#api/resources/mod.ts';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { gunzipSync } from 'node:zlib';
import { checkRules, findRuleErrors } from './mod.ts';

interface Recorded {
  readonly schema: Schema;
  readonly cases: readonly {
    readonly after: unknown;
    readonly before?: unknown;
    readonly problems: readonly (readonly [string, string, string])[];
  }[];
}

const file = new URL('fixtures/rules.json.gz', import.meta.url);
const recorded = JSON.parse(gunzipSync(readFileSync(file)).toString('utf8')) as Recorded;

function textOf(problems: readonly FieldProblem[]): readonly string[] {
  return problems.map(({ reason, field, message }) => [reason, field, message].join(' | '));
}

/** Kubernetes visits the keys of a map in no order. */
function sorted(texts: readonly string[]): readonly string[] {
  return texts.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

test('Rules find what Kubernetes finds, in its words', () => {
  assert.deepEqual(findRuleErrors(recorded.schema), []);
  let problems = 0;
  for (const [at, { after, before, problems: expected }] of recorded.cases.entries()) {
    const found = textOf(checkRules(recorded.schema, after, before));
    const wanted = expected.map((parts) => parts.join(' | '));
    assert.deepEqual(sorted(found), sorted(wanted), `Case ${at}`);
    problems += expected.length;
  }
  assert.ok(recorded.cases.length === 250 && problems > 600, `${problems} problems`);
});

test('The replay of recorded rules sees when one is not checked', () => {
  const { 'x-kubernetes-validations': rules = [], ...rest } = recorded.schema;
  const [, ...others] = rules;
  const schema: Schema = { ...rest, 'x-kubernetes-validations': others };
  const count = (one: Schema): number =>
    recorded.cases.reduce(
      (sum, { after, before }) => sum + checkRules(one, after, before).length,
      0,
    );
  assert.ok(count(schema) < count(recorded.schema));
});
