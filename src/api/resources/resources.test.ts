import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { mountSpec } from '../kinds/mount.ts';
import { parseObject } from '../kinds/mod.ts';
import { formatAge } from '../units.ts';
import {
  type JsonObject,
  type Resource,
  type Schema,
  applyDefaults,
  dropUnknown,
  findResource,
  RESOURCES,
  toCrd,
  toOpenApi,
  validate,
} from './mod.ts';
import { canonicalQuantity, compareQuantities } from './quantity.ts';

function own(plural: string): Resource {
  return findResource('holdfast.dev', 'v1alpha1', plural) ?? assert.fail(plural);
}

function complaints(resource: Resource, spec: JsonObject): string[] {
  const object = { metadata: { name: 'a' }, spec };
  const value = applyDefaults(resource.schema, object);
  return validate(resource.schema, value).map(({ field, message }) => `${field}: ${message}`);
}

const VOLUME = { size: '1Gi', replicas: 3 };
const MOUNT = { claimName: 'data', nodeName: 'node-1', path: '/mnt/data' };

describe('The table of resources', () => {
  test('Names are unique, and every column says where its cell comes from', () => {
    const names = RESOURCES.map(({ group, plural, version }) => `${group}/${version}/${plural}`);
    assert.equal(new Set(names).size, names.length);
    for (const { columns, isCustom, kind } of RESOURCES) {
      for (const column of columns) {
        const from = isCustom ? column.jsonPath : column.cell;
        assert.notEqual(from, undefined, `${kind} ${column.name}`);
      }
      assert.ok(isCustom ? columns.at(-1)?.name === 'Age' : columns[0] !== undefined, kind);
    }
  });

  test('Our short names collide with no other name', () => {
    const taken = RESOURCES.flatMap(({ plural, shortNames, singular }) =>
      new Set([plural, singular, ...shortNames]).size === shortNames.length + 2
        ? shortNames
        : assert.fail(plural),
    );
    const ours = ['hfvol', 'hfrep', 'hfsnap', 'hfpool', 'hfnode', 'hfmnt'];
    for (const name of ours) assert.equal(taken.filter((one) => one === name).length, 1, name);
  });

  test('A kind that is not served is not found', () => {
    assert.equal(findResource('', 'v1', 'pods'), undefined);
    assert.equal(findResource('holdfast.dev', 'v1', 'volumes'), undefined);
  });
});

const UNCHECKED =
  '<nil>: Invalid value: null: some validation rules were not checked because the object was ' +
  'invalid; correct the existing errors to complete validation';

describe('Our kinds', () => {
  for (const [title, plural, spec, expected] of [
    ['A volume', 'volumes', VOLUME, []],
    ['A size in bytes', 'volumes', { ...VOLUME, size: 4096 }, []],
    [
      'A size that is no quantity',
      'volumes',
      { ...VOLUME, size: '1GB' },
      [
        'spec.size: Invalid value: "1GB": spec.size in body should match \'^[0-9]+(\\.[0-9]+)?([kMGTPE]|[KMGTPE]i)?$\'',
      ],
    ],
    [
      'Too many replicas',
      'volumes',
      { ...VOLUME, replicas: 17 },
      [
        'spec.replicas: Invalid value: 17: spec.replicas in body should be less than or equal to 16',
      ],
    ],
    ['No size', 'volumes', { replicas: 1 }, ['spec.size: Required value', UNCHECKED]],
    [
      'An unknown choice',
      'volumes',
      { ...VOLUME, isolation: 'process' },
      [
        'spec.isolation: Unsupported value: "process": supported values: "thread", "shared"',
        UNCHECKED,
      ],
    ],
    ['A detached volume', 'volumes', { ...VOLUME, attachment: null }, []],
    ['One source', 'volumes', { ...VOLUME, source: { snapshotName: 's' } }, []],
    [
      'Two sources',
      'volumes',
      { ...VOLUME, source: { snapshotName: 's', volumeName: 'v' } },
      [
        '<nil>: Invalid value: "": "spec.source" must validate one and only one schema (oneOf). Found 2 valid alternatives',
      ],
    ],
    ['A mount', 'mounts', MOUNT, []],
    [
      'A mount without a claim',
      'mounts',
      { nodeName: 'n', path: '/a' },
      ['spec.claimName: Required value', UNCHECKED],
    ],
  ] as const) {
    test(`${title}: ${expected.length === 0 ? 'taken' : 'refused'}`, () => {
      assert.deepEqual(complaints(own(plural), spec), expected);
    });
  }

  test('Names are ids', () => {
    const object = { metadata: { name: 'a.b' }, spec: VOLUME };
    const [problem] = validate(own('volumes').schema, object);
    assert.equal(problem?.field, 'metadata.name');
  });

  test('Defaults are filled in', () => {
    const filled = applyDefaults(own('volumes').schema, { spec: VOLUME }) as { spec: JsonObject };
    assert.deepEqual(filled.spec, { ...VOLUME, isolation: 'thread', onQuorumLoss: 'suspend' });
  });

  test('Every field that is fixed has a rule, and sizes have one that lets them grow', () => {
    const rules = (plural: string): string[] =>
      (own(plural).schema.properties?.['spec']?.['x-kubernetes-validations'] ?? []).map(
        ({ message }) => message,
      );
    assert.deepEqual(rules('mounts'), [
      'claimName cannot be changed',
      'nodeName cannot be changed',
      'path cannot be changed',
      'readOnly cannot be changed',
    ]);
    assert.ok(rules('volumes').includes('size cannot be made smaller'));
  });

  test('A path is taken by the definition if and only if it is taken by parseObject', () => {
    const segment = fc.constantFrom('a', '.', '..', '...', '..a', '.a', '', 'ä', 'a b', '\n', 'a.');
    fc.assert(
      fc.property(fc.array(segment, { maxLength: 6 }), fc.boolean(), (segments, isAbsolute) => {
        const path = `${isAbsolute ? '/' : ''}${segments.join('/')}`;
        const isTaken = mountSpec.safeParse({ ...MOUNT, path }).success;
        assert.equal(complaints(own('mounts'), { ...MOUNT, path }).length === 0, isTaken, path);
      }),
    );
  });

  test('What parseObject takes as a Mount has its namespace', () => {
    const apiVersion = 'holdfast.dev/v1alpha1';
    const object = parseObject({ apiVersion, kind: 'Mount', metadata: { name: 'm' }, spec: MOUNT });
    assert.equal(object.metadata.namespace, 'default');
  });
});

describe('Schemas', () => {
  /** Objects that fit nothing in particular. */
  const anything = fc.dictionary(
    fc.constantFrom('spec', 'status', 'metadata', 'size', 'name', 'data', 'x'),
    fc.jsonValue({ maxDepth: 4 }),
  );
  const resource = fc.constantFrom(...RESOURCES);

  test('Dropping what is unknown leaves nothing unknown, and known values as they are', () => {
    fc.assert(
      fc.property(resource, anything, ({ schema }, value) => {
        const once = dropUnknown(schema, value);
        const twice = dropUnknown(schema, once.value);
        assert.deepEqual(twice.unknown, []);
        assert.equal(twice.value, once.value);
      }),
    );
  });

  test('Defaults applied twice are the defaults applied once, and change no argument', () => {
    fc.assert(
      fc.property(resource, anything, ({ schema }, value) => {
        const before = JSON.stringify(value);
        const once = applyDefaults(schema, value);
        assert.equal(JSON.stringify(value), before);
        assert.deepEqual(applyDefaults(schema, once), once);
      }),
    );
  });

  test('Nothing that is given makes validation, preparation or checks throw', () => {
    fc.assert(
      fc.property(resource, anything, anything, ({ check, prepare, schema }, after, before) => {
        validate(schema, after);
        prepare?.(after);
        check?.(after, before);
      }),
    );
  });

  test('A class of ours is refused by the name of the parameter that is wrong', () => {
    const { check } = findResource('storage.k8s.io', 'v1', 'storageclasses') ?? assert.fail();
    const parameters = { replicas: '3', speed: 'fast' };
    const problems = check?.({ provisioner: 'csi.holdfast.dev', parameters }, undefined) ?? [];
    assert.deepEqual(
      problems.map(({ field }) => field),
      ['parameters.speed'],
    );
    assert.match(problems[0]?.message ?? '', /^Invalid value: "fast": Parameter is unknown: /);
    assert.deepEqual(check?.({ provisioner: 'csi.example.com', parameters }, undefined), []);
  });

  test('Definitions say of metadata no more than what names may be', () => {
    const crd = JSON.stringify(toCrd(own('volumes')));
    assert.ok(!crd.includes('managedFields') && !crd.includes('x-kubernetes-patch'));
  });

  test('Every reference in the OpenAPI documents has its component', () => {
    const documents = toOpenApi(RESOURCES);
    assert.deepEqual(Object.keys(documents).toSorted(), [
      'api/v1',
      'apis/coordination.k8s.io/v1',
      'apis/events.k8s.io/v1',
      'apis/holdfast.dev/v1alpha1',
      'apis/snapshot.storage.k8s.io/v1',
      'apis/storage.k8s.io/v1',
    ]);
    for (const [path, document] of Object.entries(documents)) {
      const { schemas } = document['components'] as { schemas: Record<string, Schema> };
      const references = JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g);
      for (const [, name = ''] of references) {
        assert.ok(Object.hasOwn(schemas, name), `${path}: ${name}`);
      }
    }
  });
});

describe('Quantities and ages', () => {
  const quantity = fc
    .tuple(
      fc.integer({ min: -9_999, max: 9_999_999 }),
      fc.constantFrom('', 'k', 'M', 'G', 'Ki', 'Mi', 'Gi', 'Ti', 'm', 'e3'),
    )
    .map(([number, suffix]) => `${number}${suffix}`);

  test('The canonical form is worth the same, and stays as it is', () => {
    fc.assert(
      fc.property(quantity, (text) => {
        const canonical = canonicalQuantity(text);
        assert.equal(compareQuantities(canonical, text), 0);
        assert.equal(canonicalQuantity(canonical), canonical);
      }),
    );
  });

  test('Quantities are compared by what they are worth', () => {
    assert.equal(compareQuantities('1Gi', '1024Mi'), 0);
    assert.equal(compareQuantities('1G', '1Gi'), -1);
    assert.equal(compareQuantities('0.5', '499m'), 1);
  });

  for (const [seconds, expected] of [
    [-5, '<invalid>'],
    [-1, '0s'],
    [119, '119s'],
    [120, '2m'],
    [190, '3m10s'],
    [600, '10m'],
    [3 * 3600, '3h'],
    [3 * 3600 + 120, '3h2m'],
    [9 * 3600, '9h'],
    [48 * 3600, '2d'],
    [50 * 3600, '2d2h'],
    [10 * 86_400, '10d'],
    [800 * 86_400, '2y70d'],
    [3_000 * 86_400, '8y'],
  ] as const) {
    test(`An age of ${seconds} s is ${expected}`, () => {
      assert.equal(formatAge(seconds * 1_000), expected);
    });
  }
});
