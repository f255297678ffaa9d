import type { JsonObject } from '#api/resources/mod.ts';
import assert from 'node:assert/strict';
import test from 'node:test';
import { cloneJson, equalJson, goJson, type JsonMap } from './json.ts';
import {
  applyJsonPatch,
  applyMergePatch,
  applyStrategicPatch,
  formatConflicts,
  serverSideApply,
  trackUpdate,
} from './mod.ts';
import {
  type ApplyStep,
  type PatchCase,
  readApplyCases,
  readPatchCases,
} from './recorded-cases.testkit.ts';

const API_VERSION = 'test.holdfast.dev/v1';

const applies = readApplyCases();

interface Outcome {
  readonly result?: unknown;
  readonly error?: string;
  readonly causes?: readonly unknown[];
}

function runStep(step: ApplyStep, live: JsonObject | undefined): Outcome {
  const { op, object, manager, force, subresource, stamp } = step;
  const about = {
    manager,
    schema: applies.schema,
    apiVersion: API_VERSION,
    subresource,
    now: stamp,
  };
  if (op === 'update') return { result: trackUpdate({ ...about, before: live, after: object }) };
  try {
    const outcome = serverSideApply({ ...about, live, applied: object, force });
    if (outcome.conflicts.length === 0) return { result: outcome.object };
    const { message, causes } = formatConflicts(outcome.conflicts);
    return { error: message, causes };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

function isSame(outcome: Outcome, step: ApplyStep): boolean {
  if (step.error !== undefined) {
    const sorted = (causes: readonly unknown[] | undefined): string[] =>
      (causes ?? []).map((cause) => goJson(cause)).toSorted();
    const isAsked = step.causes !== undefined;
    const causes = sorted(outcome.causes);
    return outcome.error === step.error && (!isAsked || equalJson(causes, sorted(step.causes)));
  }
  return equalJson(outcome.result, step.result);
}

test('Server-side apply and updates leave the object and the owners that Kubernetes leaves', () => {
  let steps = 0;
  for (const [at, steps_] of applies.cases.entries()) {
    let live: JsonObject | undefined;
    for (const [number, step] of steps_.entries()) {
      live = step.live ?? live;
      const before = JSON.stringify([live, step.object]);
      const outcome = runStep(step, live);
      assert.ok(
        isSame(outcome, step),
        `Case ${at} step ${number}: ${JSON.stringify(step)} gave ${JSON.stringify(outcome)}`,
      );
      assert.equal(JSON.stringify([live, step.object]), before, 'Arguments stay as they are');
      if (step.result !== undefined) live = withUid(step.result, step.uid);
      steps += 1;
    }
  }
  assert.ok(steps > 1_400, `${steps} steps`);
});

function withUid(object: JsonObject, uid: string | undefined): JsonObject {
  if (uid === undefined) return object;
  return { ...object, metadata: { ...(object['metadata'] as JsonMap), uid } };
}

test('The replay of recorded steps finds one owner too many', () => {
  const step = applies.cases.flat().find(({ result }) => {
    const metadata = result?.['metadata'] as JsonMap | undefined;
    return Array.isArray(metadata?.['managedFields']);
  });
  assert.ok(step?.result !== undefined);
  const result = cloneJson(step.result) as JsonObject;
  const { managedFields } = result['metadata'] as { managedFields: { fieldsV1: JsonMap }[] };
  assert.ok(isSame({ result }, step));
  const [first] = managedFields;
  assert.ok(first !== undefined);
  first.fieldsV1['f:more'] = {};
  assert.ok(!isSame({ result }, step));
});

function checkPatches(cases: readonly PatchCase[], apply: (one: PatchCase) => unknown): void {
  assert.ok(cases.length > 250, `${cases.length} cases`);
  for (const one of cases) {
    const before = JSON.stringify([one.object, one.patch]);
    if (one.error === undefined) {
      const result = apply(one);
      assert.ok(
        equalJson(result, one.result),
        `${JSON.stringify(one)} gave ${JSON.stringify(result)}`,
      );
    } else {
      assert.throws(() => apply(one), `${JSON.stringify(one)} is refused`);
    }
    assert.equal(JSON.stringify([one.object, one.patch]), before, 'Arguments stay as they are');
  }
}

test('JSON patch gives what Kubernetes gives', () => {
  checkPatches(readPatchCases('json').cases, ({ object, patch }) => applyJsonPatch(object, patch));
});

test('Merge patch gives what Kubernetes gives', () => {
  checkPatches(readPatchCases('merge').cases, ({ object, patch }) =>
    applyMergePatch(object, patch),
  );
});

test('Strategic merge patch gives what Kubernetes gives', () => {
  const { schema, cases } = readPatchCases('strategic');
  checkPatches(cases, ({ object, patch }) => applyStrategicPatch(object, patch, schema));
});
