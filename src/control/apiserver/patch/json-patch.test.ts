import { hasCode } from '#api/mod.ts';
import type { Schema } from '#api/resources/mod.ts';
import fc from 'fast-check';
import assert from 'node:assert/strict';
import test from 'node:test';
import { applyJsonPatch, applyMergePatch, applyStrategicPatch, PatchTestFailed } from './mod.ts';

test('A failed test refuses the whole patch, with the text of kube-apiserver', () => {
  const object = { a: 1 };
  const patch = [
    { op: 'replace', path: '/a', value: 2 },
    { op: 'test', path: '/a', value: 1 },
  ];
  assert.throws(
    () => applyJsonPatch(object, patch),
    new PatchTestFailed('testing value /a failed: test failed'),
  );
  assert.deepEqual(object, { a: 1 });
});

test('A JSON patch that is no list of operations is malformed', () => {
  for (const patch of [{}, 'x', null, [1], [null]]) {
    assert.throws(
      () => applyJsonPatch({}, patch),
      (error) => hasCode(error, 'invalid-argument'),
    );
  }
});

test('A JSON patch has at most 10,000 operations', () => {
  const patch = new Array(10_001).fill({ op: 'test', path: '/a', value: null });
  assert.throws(
    () => applyJsonPatch({}, patch),
    /The allowed maximum operations in a JSON patch is 10000, got 10001/,
  );
  assert.deepEqual(applyJsonPatch({}, patch.slice(1)), {});
});

test('A JSON patch cannot double an object for ever', () => {
  const doubling = new Array(40).fill({ op: 'copy', from: '/a', path: '/a/-' });
  assert.throws(() => applyJsonPatch({ a: ['x'.repeat(1000)] }, doubling), PatchTestFailed);
});

test('No patch reaches a prototype', () => {
  const evil = JSON.parse(
    '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}',
  );
  const operations = [
    { op: 'add', path: '/__proto__', value: { polluted: 1 } },
    { op: 'add', path: '/__proto__/polluted', value: 1 },
  ];
  const patched = [
    applyMergePatch({}, evil),
    applyStrategicPatch({}, evil, {}),
    applyStrategicPatch(JSON.parse('{"__proto__":{"a":1}}'), evil, {}),
    applyJsonPatch({}, operations),
  ];
  for (const object of patched) {
    assert.equal(Object.getPrototypeOf(object), Object.prototype);
    assert.ok(Object.hasOwn(object as object, '__proto__'));
  }
  const reaching = [
    [{ op: 'add', path: '/__proto__/polluted', value: 1 }],
    [{ op: 'add', path: '/constructor/prototype/polluted', value: 1 }],
  ];
  for (const patch of reaching) assert.throws(() => applyJsonPatch({}, patch), PatchTestFailed);
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
});

test('What is too deep to walk is refused, and the object is as before', () => {
  let deep: unknown = 1;
  for (let level = 0; level < 50_000; level += 1) deep = level % 2 === 0 ? { a: deep } : [deep];
  const applies: readonly (() => unknown)[] = [
    () => applyMergePatch({}, { a: deep }),
    () => applyStrategicPatch({}, { a: deep }, {}),
    () => applyJsonPatch({}, [{ op: 'add', path: '/a', value: deep }]),
    () => applyJsonPatch({}, deepening('add')),
    () => applyJsonPatch({}, deepening('replace')),
  ];
  for (const apply of applies) assert.throws(apply, /exceeded max depth/);
  assert.doesNotThrow(() => applyJsonPatch({}, deepening('add').slice(0, 900)));
  const back = { op: 'move', from: '/b/c/d', path: '/a' };
  const there = { op: 'move', from: '/a', path: '/b/c/d' };
  const moves = Array.from({ length: 4_000 }, (_, at) => (at % 2 === 0 ? there : back));
  const object = { a: { x: 1 }, b: { c: {} } };
  assert.deepEqual(applyJsonPatch(object, moves), object);
});

function deepening(op: string): readonly unknown[] {
  return Array.from({ length: 2_000 }, (_, at) => ({ op, path: '/a'.repeat(at + 1), value: {} }));
}

test('Taking duplicates out of a very long list is refused: it costs the square', () => {
  const list = { type: 'array', 'x-kubernetes-patch-strategy': 'merge' } as const;
  const schema: Schema = { type: 'object', properties: { list } };
  const long = Array.from({ length: 20_000 }, (_, at) => `item ${at}`);
  const more = long.map((item) => `more ${item}`);
  const merged = applyStrategicPatch({ list: long }, { list: more }, schema);
  assert.deepEqual(Object.values(merged as object)[0].length, 40_000);
  assert.throws(
    () => applyStrategicPatch({ list: long }, { list: ['item 1'] }, schema),
    /list has duplicates and more than 10000 elements/,
  );
});

const values = fc.jsonValue({ maxDepth: 3 });
const maps = fc.dictionary(fc.constantFrom('a', 'b', '__proto__', 'a/b', 'a~b'), values);

test('Adding a key and removing it again gives the object back', () => {
  fc.assert(
    fc.property(maps, values, (object, value) => {
      const patch = [
        { op: 'add', path: '/new~0~1', value },
        { op: 'test', path: '/new~0~1', value },
        { op: 'remove', path: '/new~0~1' },
      ];
      assert.equal(JSON.stringify(applyJsonPatch(object, patch)), JSON.stringify(object));
    }),
  );
});

test('A merge patch applied twice is applied once', () => {
  fc.assert(
    fc.property(maps, maps, (object, patch) => {
      const once = applyMergePatch(object, patch);
      assert.equal(JSON.stringify(applyMergePatch(once, patch)), JSON.stringify(once));
    }),
  );
});
