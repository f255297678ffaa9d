import type { FieldProblem, Schema } from '#api/resources/mod.ts';
import assert from 'node:assert/strict';
import test from 'node:test';
import { checkRules, findRuleErrors } from './mod.ts';

type Rules = Schema['x-kubernetes-validations'];

function withRules(schema: Schema, ...rules: NonNullable<Rules>): Schema {
  return { ...schema, 'x-kubernetes-validations': rules };
}

function check(schema: Schema, after: unknown, before?: unknown): readonly string[] {
  return checkRules(schema, after, before).map(({ field, message }) => `${field}: ${message}`);
}

/** A rule on an object of anything holds, does not, or cannot be told. */
function holds(rule: string, self: unknown, oldSelf?: unknown): string {
  const schema = withRules(
    { 'x-kubernetes-preserve-unknown-fields': true },
    { rule, message: 'no' },
  );
  const [problem] = checkRules(schema, self, oldSelf);
  if (problem === undefined) return 'yes';
  return problem.message.endsWith(': no') && !problem.message.includes('evaluating')
    ? 'no'
    : problem.message;
}

test('Rules see fields, presence, sizes and items', () => {
  const self = { name: 'a', count: 3, list: ['x', 'y'], map: { k: 'v' } };
  const rules: readonly (readonly [string, string])[] = [
    ['self.name == "a"', 'yes'],
    ['has(self.name) && !has(self.missing)', 'yes'],
    ['size(self.list) == 2 && self.map.size() == 1', 'yes'],
    ['self.list.all(x, x != "z")', 'yes'],
    ['self.list.exists_one(x, x == "x")', 'yes'],
    ['self.map.all(k, self.map[k] == "v")', 'yes'],
    ['self.count % 2 == 1 && self.count + 1 > 3', 'yes'],
    ['self.name in ["a", "b"] && "k" in self.map', 'yes'],
    ['self.name.matches("^[a-z]+$")', 'yes'],
    ['self.?missing.orValue("a") == self.name', 'yes'],
    ['self.count > 3', 'no'],
    ['self.list.all(x, x == "x")', 'no'],
  ];
  for (const [rule, outcome] of rules) assert.equal(holds(rule, self), outcome, rule);
});

test('Rules know quantities as Kubernetes does', () => {
  const rules: readonly (readonly [string, string])[] = [
    ['quantity(self).compareTo(quantity("1Gi")) == 0', 'yes'],
    ['quantity(self).isGreaterThan(quantity("1G"))', 'yes'],
    ['quantity(self).isLessThan(quantity("1.5Gi"))', 'yes'],
    ['quantity(self).add(1).sub(quantity(self)).compareTo(quantity("1")) == 0', 'yes'],
    ['quantity(self).sub(1).isLessThan(quantity(self).add(quantity("1n")))', 'yes'],
    ['quantity("1e3").compareTo(quantity("1k")) == 0', 'yes'],
    ['quantity("-1").isLessThan(quantity("0"))', 'yes'],
    ['isQuantity(self) && isQuantity(".5") && isQuantity("1E")', 'yes'],
    ['isQuantity("") || isQuantity("1.2.3") || isQuantity("1gb") || isQuantity("x")', 'no'],
  ];
  for (const [rule, outcome] of rules) assert.equal(holds(rule, '1024Mi'), outcome, rule);
  const why = "unable to parse quantity's suffix evaluating rule: no";
  assert.match(
    holds('quantity(self).isLessThan(quantity("1"))', '1gb'),
    new RegExp(`quantities must match|${why}`),
  );
  assert.equal(
    holds('quantity(self).isLessThan(quantity("1"))', '1Mk'),
    `Invalid value: "": ${why}`,
  );
});

const immutable: Schema = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      properties: {
        size: withRules({ type: 'string' }, { rule: 'self == oldSelf', message: 'is immutable' }),
        replicas: withRules(
          { type: 'integer' },
          { rule: 'self >= oldSelf', message: 'only grows' },
        ),
      },
    },
  },
};

test('A rule about an update runs when there is a value before, and only then', () => {
  const before = { spec: { size: '1Gi', replicas: 3 } };
  assert.deepEqual(check(immutable, before), []);
  assert.deepEqual(check(immutable, before, before), []);
  assert.deepEqual(check(immutable, before, { spec: { replicas: 2 } }), []);
  assert.deepEqual(check(immutable, { spec: { size: '2Gi', replicas: 1 } }, before), [
    'spec.size: Invalid value: "2Gi": is immutable',
    'spec.replicas: Invalid value: 1: only grows',
  ]);
});

test('A field may not be added or removed when its parent says so', () => {
  const rule = 'has(self.size) == has(oldSelf.size)';
  const schema = withRules(
    { type: 'object', properties: { size: { type: 'string' } } },
    { rule, message: 'size is set once', fieldPath: '.size', reason: 'FieldValueForbidden' },
  );
  const problems: FieldProblem[] = checkRules(schema, {}, { size: 'a' });
  assert.deepEqual(problems, [
    { reason: 'FieldValueForbidden', field: 'size', message: 'Forbidden: size is set once' },
  ]);
});

test('The object itself is <nil>, as Go prints its path', () => {
  const schema = withRules({ type: 'object' }, { rule: 'false', message: 'never' });
  assert.deepEqual(check(schema, {}), ['<nil>: Invalid value: never']);
});

test('Items of a list by key are compared with what they were, whatever their place', () => {
  const item: Schema = {
    type: 'object',
    properties: {
      name: { type: 'string' },
      value: withRules({ type: 'string' }, { rule: 'self == oldSelf', message: 'is immutable' }),
    },
  };
  const schema: Schema = {
    type: 'array',
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['name'],
    items: item,
  };
  const before = [
    { name: 'a', value: '1' },
    { name: 'b', value: '2' },
  ];
  assert.deepEqual(check(schema, before.toReversed(), before), []);
  assert.deepEqual(check(schema, [{ name: 'b', value: '1' }], before), [
    '[0].value: Invalid value: "1": is immutable',
  ]);
  assert.deepEqual(
    check({ ...schema, 'x-kubernetes-list-type': 'atomic' }, [{ value: 'x' }], before),
    [],
  );
});

test('Sets are equal in any order', () => {
  const set: Schema = { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'string' } };
  const schema = withRules(set, { rule: 'self == oldSelf', message: 'is immutable' });
  assert.deepEqual(check(schema, ['b', 'a'], ['a', 'b']), []);
  assert.deepEqual(check(schema, ['a'], ['a', 'b']), ['<nil>: Invalid value: is immutable']);
});

test('What was wrong before and did not change is no error', () => {
  const name = withRules({ type: 'string' }, { rule: 'self != "bad"', message: 'is bad' });
  const schema: Schema = { type: 'object', properties: { name, other: { type: 'string' } } };
  const before = { name: 'bad', other: 'a' };
  assert.deepEqual(check(schema, { name: 'bad', other: 'b' }, before), []);
  assert.deepEqual(check(schema, { name: 'bad' }, { name: 'good' }), [
    'name: Invalid value: "bad": is bad',
  ]);
});

test('A field whose name is no word of CEL is reached by its escaped name', () => {
  const properties = { namespace: { type: 'string' }, 'a-b': { type: 'string' } } as const;
  const rule = 'self.__namespace__ == "x" && self.a__dash__b == "y"';
  const schema = withRules({ type: 'object', properties }, { rule, message: 'no' });
  assert.deepEqual(check(schema, { namespace: 'x', 'a-b': 'y' }), []);
});

test('A rule that cannot be told says why', () => {
  const schema = withRules({ type: 'object' }, { rule: 'self.a.b == 1', message: 'a is needed' });
  assert.deepEqual(check(schema, {}), [
    '<nil>: Invalid value: "object": no such key: a evaluating rule: a is needed',
  ]);
});

test('Nothing of JavaScript is reachable from a rule', () => {
  for (const rule of ['self.constructor == 1', 'self.__proto__ == 1', 'self.toString == 1']) {
    assert.match(holds(rule, {}), /no such key|Identifier|reserved/i, rule);
  }
});

test('Rules that would cost too much are not run, and that is an error', () => {
  const rule = 'self.all(x, self.all(y, self.all(z, x + y + z >= 0)))';
  const schema = withRules({ type: 'array', items: { type: 'integer' } }, { rule, message: 'no' });
  const short = new Array(10).fill(1);
  assert.deepEqual(check(schema, short), []);
  assert.deepEqual(check(schema, new Array(1_000).fill(1)), [
    '<nil>: Invalid value: "array": validation failed due to running out of cost budget, ' +
      'no further validation rules will be run',
  ]);
});

test('A rule that names a field which the schema has not is a mistake', () => {
  const item: Schema = { type: 'object', properties: { name: { type: 'string' } } };
  const object: Schema = {
    type: 'object',
    properties: {
      size: { type: 'string' },
      namespace: { type: 'string' },
      list: { type: 'array', items: item },
      map: { type: 'object', additionalProperties: item },
      open: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
    },
  };
  const mistakes = (rule: string): number =>
    findRuleErrors(withRules(object, { rule, message: 'no' })).length;
  const right = [
    'has(self.size) && self.size == oldSelf.size',
    'self.__namespace__ == "x"',
    'self.list.all(x, x.name == "a") && self.list[0].name == "b"',
    'self.list.filter(x, x.name == "a").exists(y, y.name == "a")',
    'self.map.all(k, self.map[k].name == k) && self.map.anything.name == "a"',
    'self.open.anything.at.all == 1',
    'self.?size.orValue("") == ""',
  ];
  const wrong = [
    'has(self.sise)',
    'self.size == oldSelf.sise',
    'self.namespace_ == "x"',
    'self.list.all(x, x.nome == "a")',
    'self.list[0].nome == "b"',
    'self.list.filter(x, x.name == "a").exists(y, y.nome == "a")',
    'self.map["k"].nome == "a"',
    'size(self.lists) > 1',
  ];
  for (const rule of right) assert.equal(mistakes(rule), 0, rule);
  for (const rule of wrong) assert.equal(mistakes(rule), 1, rule);
});

test('Mistakes in rules are found in every part of a schema', () => {
  const bad = (rule: string): Schema => withRules({ type: 'string' }, { rule, message: 'no' });
  const schema: Schema = {
    type: 'object',
    properties: {
      a: bad('self =='),
      b: { type: 'array', items: bad('other == 1') },
      c: { type: 'object', additionalProperties: bad('self.size()') },
      d: bad('self == oldSelf'),
    },
  };
  const errors = findRuleErrors(schema);
  assert.deepEqual(
    errors.map((error) => error.split(': ').slice(0, 2)),
    [
      ['.a', 'self =='],
      ['.b[]', 'other == 1'],
      ['.c[]', 'self.size()'],
    ],
  );
  assert.throws(() => checkRules(schema, { a: 'x' }, undefined), /Rule does not compile/);
});
