import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  type FieldProblem,
  type JsonObject,
  type Resource,
  applyDefaults,
  dropUnknown,
  findResource,
  validate,
} from './mod.ts';

/** One request to a real kube-apiserver 1.36.3, with dryRun, and what it said. */
interface Answer {
  readonly kind: string;
  readonly before?: JsonObject;
  readonly after: JsonObject;
  readonly problems: readonly FieldProblem[];
  /** What would be stored, without metadata. */
  readonly object?: JsonObject;
}

const ANSWERS = JSON.parse(
  readFileSync(join(import.meta.dirname, 'testdata', 'built-in.json'), 'utf8'),
) as readonly Answer[];

const PLURALS: Readonly<Record<string, readonly [string, string]>> = {
  ConfigMap: ['', 'configmaps'],
  CoreEvent: ['', 'events'],
  CSIDriver: ['storage.k8s.io', 'csidrivers'],
  CSINode: ['storage.k8s.io', 'csinodes'],
  CSIStorageCapacity: ['storage.k8s.io', 'csistoragecapacities'],
  Event: ['events.k8s.io', 'events'],
  Lease: ['coordination.k8s.io', 'leases'],
  Namespace: ['', 'namespaces'],
  Node: ['', 'nodes'],
  PersistentVolume: ['', 'persistentvolumes'],
  PersistentVolumeClaim: ['', 'persistentvolumeclaims'],
  Secret: ['', 'secrets'],
  StorageClass: ['storage.k8s.io', 'storageclasses'],
  VolumeAttachment: ['storage.k8s.io', 'volumeattachments'],
};

function resourceOf(kind: string): Resource {
  const [group, plural] = PLURALS[kind] ?? ['', kind];
  return findResource(group, 'v1', plural) ?? assert.fail(`No ${kind}`);
}

/** Null is absent, as Go reads it. */
function withoutNull(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNull);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== null);
  return Object.fromEntries(entries.map(([key, inner]) => [key, withoutNull(inner)]));
}

function fill(resource: Resource, given: JsonObject): JsonObject {
  const { value, unknown } = dropUnknown(resource.schema, withoutNull(given));
  assert.deepEqual(unknown, []);
  const prepared = resource.prepare?.(value as JsonObject) ?? (value as JsonObject);
  return applyDefaults(resource.schema, prepared) as JsonObject;
}

function problemsOf(resource: Resource, after: JsonObject, before: JsonObject | undefined) {
  const problems = validate(resource.schema, after);
  return [...problems, ...(resource.check?.(after, before) ?? [])];
}

function shown(problems: readonly FieldProblem[]): string[] {
  return problems.map((one) => `${one.field}: ${one.message} (${one.reason})`).toSorted();
}

/**
 * Kubernetes drops such a source without a word, and the claim would get an empty volume: we say
 * what is wrong with it.
 */
const STRICTER: ReadonlySet<string> = new Set([
  JSON.stringify({
    spec: {
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: '1Gi' } },
      dataSource: { kind: 'VolumeSnapshot', name: 'x' },
    },
  }),
]);

/** What the server alone writes, and the taint that admission gives a new node. */
function withoutServer(object: JsonObject): unknown {
  const { metadata: _metadata, ...rest } = object;
  return JSON.parse(
    JSON.stringify(rest, (key, value: unknown) =>
      key === 'lastPhaseTransitionTime' || key === 'taints' ? undefined : value,
    ),
  );
}

describe('Built-in kinds, as kube-apiserver 1.36.3 answers', () => {
  ANSWERS.forEach((answer, index) => {
    const verb = answer.before === undefined ? 'created' : 'updated';
    const { apiVersion: _version, kind: _kind, metadata: _meta, ...body } = answer.after;
    test(`${index}: ${answer.kind} ${verb} ${JSON.stringify(body).slice(0, 160)}`, () => {
      const resource = resourceOf(answer.kind);
      const after = fill(resource, answer.after);
      const before = answer.before === undefined ? undefined : fill(resource, answer.before);
      if (STRICTER.has(JSON.stringify(body))) {
        assert.ok(problemsOf(resource, after, before).length > 0);
        return;
      }
      assert.deepEqual(shown(problemsOf(resource, after, before)), shown(answer.problems));
      if (answer.object === undefined) return;
      assert.deepEqual(withoutServer(after), withoutServer(answer.object));
    });
  });

  test('There are answers of both sorts for every kind', () => {
    for (const kind of Object.keys(PLURALS)) {
      const own = ANSWERS.filter((answer) => answer.kind === kind);
      assert.ok(
        own.some((answer) => answer.problems.length > 0),
        kind,
      );
      assert.ok(
        own.some((answer) => answer.problems.length === 0),
        kind,
      );
    }
  });
});
