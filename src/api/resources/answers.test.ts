import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { isMap } from './field-problems.ts';
import {
  applyDefaults,
  dropUnknown,
  type FieldProblem,
  type JsonObject,
  type Resource,
  RESOURCES,
  validate,
} from './mod.ts';

/** What a kube-apiserver 1.36.3 with our CRDs did with an object. */
interface Answer {
  readonly title: string;
  /** The object that this is an update of. */
  readonly before?: JsonObject;
  readonly given: JsonObject;
  /** What it stored, without metadata. */
  readonly stored?: JsonObject;
  /** Why it refused, without what it said of metadata. */
  readonly causes?: readonly FieldProblem[];
}

const ANSWERS = readFileSync(join(import.meta.dirname, 'testdata', 'answers.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Answer);

function resourceOf({ apiVersion, kind }: JsonObject): Resource {
  const found = RESOURCES.find(
    (one) => one.kind === kind && [one.group, one.version].filter(Boolean).join('/') === apiVersion,
  );
  assert.ok(found, `${String(apiVersion)} ${String(kind)} is not served`);
  return found;
}

/** To Kubernetes' own kinds null is absent. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isMap(value)) return value;
  const kept = Object.entries(value).filter(([, inner]) => inner !== null);
  return Object.fromEntries(kept.map(([key, inner]) => [key, withoutNulls(inner)]));
}

function answer(resource: Resource, { before, given }: Answer): Pick<Answer, 'stored' | 'causes'> {
  const { value } = dropUnknown(resource.schema, resource.isCustom ? given : withoutNulls(given));
  const prepared = resource.prepare?.(value as JsonObject) ?? value;
  const filled = applyDefaults(resource.schema, prepared) as JsonObject;
  const status =
    resource.hasStatus && isMap(before?.['status']) ? { status: before['status'] } : {};
  const after = { ...filled, ...status };
  const causes = [
    ...validate(resource.schema, after),
    ...(resource.check?.(after, before) ?? []),
  ].filter(({ field }) => !field.startsWith('metadata.'));
  return causes.length > 0 ? { causes } : { stored: after };
}

/** Rules in CEL are not run here: their causes have the message of a rule of the schema. */
function withoutRules(resource: Resource, causes: readonly FieldProblem[]): string[] {
  const rules = JSON.stringify(resource.schema['properties']?.['spec'] ?? {});
  return causes
    .filter(({ message }) => {
      const said = message.slice(message.lastIndexOf(': ') + 2);
      return !resource.isCustom || !rules.includes(`"message":${JSON.stringify(said)}`);
    })
    .map(({ field, message, reason }) => `${field}: ${message} (${reason})`)
    .toSorted();
}

/** Go writes an empty status of built-in kinds, which the server keeps apart from what is given. */
function shown(resource: Resource, object: JsonObject): unknown {
  const { metadata: _metadata, status: _status, ...rest } = object;
  return JSON.parse(JSON.stringify(resource.hasStatus ? rest : { ...rest, status: _status }));
}

function compare(expected: Answer): void {
  const resource = resourceOf(expected.given);
  const found = answer(resource, expected);
  const causes = withoutRules(resource, found.causes ?? []);
  assert.deepEqual(causes, withoutRules(resource, expected.causes ?? []));
  if (expected.stored === undefined || found.stored === undefined) return;
  assert.deepEqual(shown(resource, found.stored), shown(resource, expected.stored));
}

describe('What kube-apiserver stores and refuses', () => {
  for (const expected of ANSWERS) test(expected.title, () => compare(expected));

  test('A planted difference is found', () => {
    const refused = ANSWERS.find(({ title }) => title === 'class changes provisioner');
    const stored = ANSWERS.find(({ title }) => title === 'claim size number');
    assert.ok(refused?.causes?.[0] && stored?.stored);
    const cause = { ...refused.causes[0], message: 'field is fixed' };
    assert.throws(() => compare({ ...refused, causes: [cause] }), assert.AssertionError);
    assert.throws(() => compare({ ...refused, causes: [] }), assert.AssertionError);
    const other = { ...stored.stored, spec: {} };
    assert.throws(() => compare({ ...stored, stored: other }), assert.AssertionError);
  });
});
