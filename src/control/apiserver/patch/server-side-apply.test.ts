import type { JsonObject } from '#api/resources/mod.ts';
import { hasCode } from '#api/mod.ts';
import fc from 'fast-check';
import assert from 'node:assert/strict';
import test from 'node:test';
import { equalJson, type JsonMap } from './json.ts';
import type { ManagedFieldsEntry } from './managers.ts';
import { formatConflicts, serverSideApply, trackUpdate } from './mod.ts';
import { readApplyCases } from './recorded-cases.testkit.ts';

const { schema } = readApplyCases();
const API_VERSION = 'test.holdfast.dev/v1';
const NOW = '2026-01-01T00:00:00.250Z';
const LATER = '2026-01-01T01:00:00.250Z';

function thing(spec: JsonMap, metadata: JsonMap = {}): JsonObject {
  return { apiVersion: API_VERSION, kind: 'Thing', metadata: { name: 'thing', ...metadata }, spec };
}

interface Options {
  readonly manager?: string;
  readonly force?: boolean;
  readonly now?: string;
  readonly subresource?: string;
}

function about({ manager = 'one', now = NOW, subresource = '' }: Options) {
  return { manager, now, subresource, schema, apiVersion: API_VERSION };
}

function apply(live: JsonObject | undefined, applied: JsonObject, options: Options = {}) {
  return serverSideApply({ ...about(options), live, applied, force: options.force ?? false });
}

function applied(
  live: JsonObject | undefined,
  config: JsonObject,
  options: Options = {},
): JsonObject {
  const { object, conflicts } = apply(live, config, options);
  assert.deepEqual(conflicts, []);
  return object;
}

function update(
  before: JsonObject | undefined,
  after: JsonObject,
  options: Options = {},
): JsonObject {
  return trackUpdate({ ...about(options), before, after });
}

function stored(object: JsonObject): JsonObject {
  return { ...object, metadata: { ...(object['metadata'] as JsonMap), uid: 'u1' } };
}

function entriesOf(object: JsonObject): readonly ManagedFieldsEntry[] {
  return ((object['metadata'] as JsonMap)['managedFields'] ?? []) as ManagedFieldsEntry[];
}

function specOf(object: JsonObject): JsonMap {
  return object['spec'] as JsonMap;
}

test('An apply writes its entry as kube-apiserver writes it, byte for byte', () => {
  const object = applied(undefined, {
    ...thing({ ports: [{ port: 80, name: 'web' }], set: ['b', 'a<b'], pair: {} }),
    metadata: { name: 'thing', labels: { 'a/b': 'c' } },
  });
  assert.equal(
    JSON.stringify(entriesOf(object)),
    '[{"manager":"one","operation":"Apply","apiVersion":"test.holdfast.dev/v1",' +
      '"time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{' +
      '"f:metadata":{"f:labels":{"f:a/b":{}}},"f:spec":{"f:pair":{},' +
      '"f:ports":{"k:{\\"port\\":80,\\"protocol\\":\\"TCP\\"}":{".":{},"f:name":{},"f:port":{}}},' +
      '"f:set":{"v:\\"a\\\\u003cb\\"":{},"v:\\"b\\"":{}}}}}]',
  );
});

test('A conflict names the owner as kube-apiserver does', () => {
  const live = stored(update(undefined, thing({ text: 'a' }), { manager: 'kubectl-create' }));
  const { object, conflicts } = apply(live, thing({ text: 'b' }));
  assert.equal(object, live);
  assert.deepEqual(formatConflicts(conflicts), {
    message:
      'Apply failed with 1 conflict: ' +
      'conflict with "kubectl-create" using test.holdfast.dev/v1: .spec.text',
    causes: [
      {
        reason: 'FieldManagerConflict',
        message: 'conflict with "kubectl-create" using test.holdfast.dev/v1',
        field: '.spec.text',
      },
    ],
  });
});

test('Several conflicts are listed by owner', () => {
  let live = stored(applied(undefined, thing({ ports: [{ port: 1, name: 'a' }] })));
  live = update(live, { ...live, status: { phase: 'a' }, spec: { ...specOf(live), count: 1 } });
  const config = thing({ ports: [{ port: 1, name: 'b' }], count: 2 });
  const { conflicts } = apply(live, config, { manager: 'two' });
  assert.equal(
    formatConflicts(conflicts).message,
    'Apply failed with 2 conflicts: conflicts with "one":\n' +
      '- .spec.ports[port=1,protocol="TCP"].name\n' +
      'conflicts with "one" using test.holdfast.dev/v1:\n- .spec.count',
  );
});

test('Force takes the field, and the other owner has it no more', () => {
  const live = stored(applied(undefined, thing({ text: 'a', count: 1 })));
  const forced = applied(live, thing({ text: 'b' }), { manager: 'two', force: true, now: LATER });
  assert.equal(specOf(forced)['text'], 'b');
  assert.deepEqual(
    entriesOf(forced).map(({ manager, fieldsV1, time }) => [manager, fieldsV1, time]),
    [
      ['one', { 'f:spec': { 'f:count': {} } }, '2026-01-01T00:00:00Z'],
      ['two', { 'f:spec': { 'f:text': {} } }, '2026-01-01T01:00:00Z'],
    ],
  );
});

test('A field that its only applier drops is removed; one that another applies stays', () => {
  const first = stored(applied(undefined, thing({ text: 'a', count: 1 })));
  const second = applied(first, thing({ text: 'a' }), { manager: 'two' });
  const dropped = applied(second, thing({}));
  assert.deepEqual(specOf(dropped), { text: 'a' });
});

test('The same configuration again changes nothing, the time of its entry neither', () => {
  const live = stored(applied(undefined, thing({ text: 'a' })));
  const again = applied(live, thing({ text: 'a' }), { now: LATER });
  assert.deepEqual(again, live);
});

test('An update that changes nothing leaves times alone; one that does has the time of now', () => {
  const live = stored(update(undefined, thing({ text: 'a' })));
  assert.deepEqual(update(live, live, { now: LATER }), live);
  const changed = update(live, { ...live, spec: { text: 'b' } }, { now: LATER });
  assert.deepEqual(
    entriesOf(changed).map(({ time }) => time),
    ['2026-01-01T01:00:00Z'],
  );
});

test('Owners are forgotten when a client empties managedFields', () => {
  const live = stored(update(undefined, thing({ text: 'a' })));
  for (const managedFields of [[], [{}]]) {
    const metadata = { ...(live['metadata'] as JsonMap), managedFields };
    const after = update(live, { ...live, metadata });
    assert.equal((after['metadata'] as JsonMap)['managedFields'], undefined);
  }
});

test('The status subresource takes no managedFields from the client', () => {
  const live = stored(update(undefined, thing({ text: 'a' })));
  const metadata = { ...(live['metadata'] as JsonMap), managedFields: [{}] };
  const after = { ...live, metadata, status: { phase: 'a' } };
  const entries = entriesOf(update(live, after, { subresource: 'status' }));
  assert.deepEqual(
    entries.map(({ subresource, fieldsV1 }) => [subresource, fieldsV1]),
    [
      [undefined, { 'f:spec': { '.': {}, 'f:text': {} } }],
      ['status', { 'f:status': { '.': {}, 'f:phase': {} } }],
    ],
  );
});

test('A write of the object owns nothing of its status, a write of the status nothing else', () => {
  const config = { ...thing({ text: 'a' }), status: { phase: 'a' } };
  const [main] = entriesOf(applied(undefined, config));
  assert.deepEqual(main?.fieldsV1, { 'f:spec': { 'f:text': {} } });
  const live = stored(applied(undefined, thing({ text: 'a' }), { manager: 'two' }));
  const status = { ...thing({ text: 'b' }, { labels: { a: 'b' } }), status: { phase: 'a' } };
  const entries = entriesOf(applied(live, status, { subresource: 'status' }));
  assert.deepEqual(entries.find(({ subresource }) => subresource === 'status')?.fieldsV1, {
    'f:status': { 'f:phase': {} },
  });
});

test('Past ten updaters the oldest two are ancient changes', () => {
  let live = stored(update(undefined, thing({}, { labels: { l: 'v' } }), { manager: 'u0' }));
  for (let number = 1; number <= 12; number += 1) {
    const labels = { ...((live['metadata'] as JsonMap)['labels'] as JsonMap), [`l${number}`]: 'v' };
    const after = { ...live, metadata: { ...(live['metadata'] as JsonMap), labels } };
    const now = `2026-01-01T00:00:${10 + number}Z`;
    live = update(live, after, { manager: `u${number}`, now });
  }
  const managers = entriesOf(live).map(({ manager }) => manager);
  assert.equal(managers.length, 10);
  assert.equal(managers[0], 'ancient-changes');
  assert.equal(managers.at(-1), 'u12');
});

test('kubectl takes over what its own client-side apply owns, and nobody else does', () => {
  const config = thing({ text: 'a', count: 1 });
  const annotations = {
    'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify(config),
  };
  const created = thing({ text: 'a', count: 1 }, { annotations });
  const live = stored(update(undefined, created, { manager: 'kubectl-client-side-apply' }));
  const changed = thing({ text: 'b', count: 1 });
  assert.equal(apply(live, changed, { manager: 'other' }).conflicts.length, 1);
  const object = applied(live, changed, { manager: 'kubectl' });
  assert.equal(specOf(object)['text'], 'b');
  const kept = (object['metadata'] as JsonMap)['annotations'] as JsonMap;
  assert.equal(
    kept['kubectl.kubernetes.io/last-applied-configuration'],
    '{"apiVersion":"test.holdfast.dev/v1","kind":"Thing","metadata":{"name":"thing"},' +
      '"spec":{"count":1,"text":"b"}}\n',
  );
});

test('A configuration that does not fit is refused in the words of kube-apiserver', () => {
  const cases: readonly (readonly [JsonObject, string])[] = [
    [
      thing({ nonsense: 1 }),
      'failed to create typed patch object (thing; test.holdfast.dev/v1, Kind=Thing): ' +
        '.spec.nonsense: field not declared in schema',
    ],
    [
      thing({ set: ['a', 'a'] }),
      'failed to create typed patch object (thing; test.holdfast.dev/v1, Kind=Thing): ' +
        '.spec.set: duplicate entries for key [="a"]',
    ],
    [thing({}, { managedFields: [] }), 'metadata.managedFields must be nil'],
  ];
  for (const [config, message] of cases) {
    assert.throws(
      () => apply(undefined, config),
      (error) => hasCode(error, 'invalid-argument') && (error as Error).message === message,
    );
  }
});

/**
 * Small domains, so that managers meet. No empty lists by name: applied over a full one they are
 * null first and empty the second time, in Kubernetes too.
 */
const specs = fc.record(
  {
    text: fc.constantFrom('a', 'b'),
    count: fc.constantFrom(1, 2),
    set: fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { minLength: 1 }),
    byName: fc.dictionary(fc.constantFrom('k1', 'k2', '__proto__'), fc.constantFrom('a', 'b'), {
      minKeys: 1,
    }),
    list: fc.array(fc.constantFrom('a', 'b'), { maxLength: 2 }),
    items: fc.uniqueArray(
      fc.record(
        { name: fc.constantFrom('a', 'b', 'c'), value: fc.constantFrom('a', 'b') },
        { requiredKeys: ['name'] },
      ),
      { selector: ({ name }) => name, minLength: 1 },
    ),
  },
  { requiredKeys: [] },
);

test('Applying twice is applying once', () => {
  fc.assert(
    fc.property(specs, specs, fc.boolean(), (before, spec, isOwn) => {
      const manager = isOwn ? 'one' : 'two';
      const live = stored(applied(undefined, thing(before), { manager }));
      const once = applied(live, thing(spec), { force: true });
      const twice = applied(once, thing(spec), { force: true, now: LATER });
      assert.ok(equalJson(twice, once));
    }),
  );
});

test('What a manager applied is in the object', () => {
  fc.assert(
    fc.property(specs, specs, (before, spec) => {
      const live = stored(applied(undefined, thing(before), { manager: 'two' }));
      const object = applied(live, thing(spec), { force: true });
      const again = apply(object, thing(spec), { manager: 'three' });
      assert.deepEqual(again.conflicts, [], 'the same values conflict with nobody');
      assert.ok(equalJson(specOf(again.object), specOf(object)));
    }),
  );
});

test('A field that nobody applied survives every apply', () => {
  fc.assert(
    fc.property(specs, fc.array(specs, { minLength: 1, maxLength: 3 }), (first, configs) => {
      let live = stored(applied(undefined, thing(first)));
      live = update(live, { ...live, spec: { ...specOf(live), ratio: 1.5 } }, { manager: 'two' });
      for (const spec of configs) live = applied(live, thing(spec), { force: true });
      assert.equal(specOf(live)['ratio'], 1.5);
    }),
  );
});

test('An applier that drops everything leaves what others own, and nothing of its own', () => {
  fc.assert(
    fc.property(specs, specs, (mine, theirs) => {
      const live = stored(applied(undefined, thing(mine)));
      const shared = applied(live, thing(theirs), { manager: 'two', force: true });
      const { spec: _, ...nothing } = thing({});
      const object = applied(shared, nothing);
      const alone = applied(undefined, thing(theirs), { manager: 'two' });
      for (const key of Object.keys(specOf(alone))) {
        assert.ok(Object.hasOwn(specOf(object), key), key);
      }
      assert.deepEqual(
        entriesOf(object).map(({ manager }) => manager),
        entriesOf(alone).map(({ manager }) => manager),
      );
    }),
  );
});
