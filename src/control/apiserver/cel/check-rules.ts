/**
 * The rules of a schema (x-kubernetes-validations) over an object, and over what it was before, as
 * kube-apiserver runs them for custom resources: same order, same texts, same fields. An error that
 * was there before and lies in what did not change is none (ratcheting).
 */
import type { FieldProblem, Schema } from '#api/resources/mod.ts';
import { assert } from '#lib/mod.ts';
import { equalJson, getKey, isMap } from '../patch/json.ts';
import { celValue, countItems, itemName } from './cel-value.ts';
import { findUnknownFields } from './rule-fields.ts';
import { compileRule, type Rule } from './rule.ts';

/**
 * Nodes of rules that one check may evaluate: about a second. Comprehensions over long lists are
 * what costs, so their cost is what is counted, at its worst and before it is spent.
 */
const COST_MAX = 2_000_000;

const OUT_OF_BUDGET =
  'validation failed due to running out of cost budget, no further validation rules will be run';

const compiled = new WeakMap<Schema, readonly Rule[]>();

/** Empty when every rule holds. `before` is undefined on create: rules about updates do not run. */
export function checkRules(schema: Schema, after: unknown, before: unknown): FieldProblem[] {
  const check = new Check();
  check.visit(schema, { after, before, path: '', isSame: false });
  return check.problems;
}

/** What is wrong with the rules themselves, with their paths: a mistake of whoever wrote them. */
export function findRuleErrors(schema: Schema, path = ''): readonly string[] {
  const errors: string[] = [];
  for (const source of schema['x-kubernetes-validations'] ?? []) {
    const rule = compileRule(source);
    const unknown = typeof rule === 'string' ? [] : findUnknownFields(rule.ast, schema);
    const found = typeof rule === 'string' ? [rule] : unknown.map((name) => `no field ${name}`);
    for (const error of found) errors.push(`${path}: ${source.rule}: ${error}`);
  }
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    errors.push(...findRuleErrors(child, `${path}.${name}`));
  }
  const { items, additionalProperties } = schema;
  if (items !== undefined) errors.push(...findRuleErrors(items, `${path}[]`));
  if (additionalProperties !== undefined) {
    errors.push(...findRuleErrors(additionalProperties, `${path}[]`));
  }
  return errors;
}

interface Place {
  readonly after: unknown;
  /** Undefined when there was none, or none that can be told to be the same. */
  readonly before: unknown;
  readonly path: string;
  /** Lies in what did not change. */
  readonly isSame: boolean;
}

class Check {
  readonly problems: FieldProblem[] = [];
  #budget = COST_MAX;

  visit(schema: Schema, place: Place): void {
    const { after } = place;
    if (after === null || after === undefined || this.#budget < 0) return;
    this.#runRules(schema, place);
    if (Array.isArray(after)) this.#visitItems(schema, after, place);
    else if (isMap(after)) this.#visitFields(schema, after, place);
  }

  #visitFields(schema: Schema, after: Readonly<Record<string, unknown>>, place: Place): void {
    const { before, path, isSame } = place;
    for (const [key, child] of Object.entries(after)) {
      const field = fieldSchema(schema, key);
      if (field === undefined) continue;
      const isNamed = Object.hasOwn(schema.properties ?? {}, key);
      this.visit(field, {
        after: child,
        before: isMap(before) ? getKey(before, key) : undefined,
        path: isNamed ? join(path, key) : `${path}[${key}]`,
        isSame,
      });
    }
  }

  /** Only items with keys are known to be the same as before. */
  #visitItems(schema: Schema, after: readonly unknown[], place: Place): void {
    const { items } = schema;
    if (items === undefined) return;
    const { before, path } = place;
    const isKeyed = schema['x-kubernetes-list-type'] === 'map' && Array.isArray(before);
    const old = new Map<string, unknown>();
    for (const item of isKeyed ? before : []) old.set(itemName(schema, item), item);
    const isSame = place.isSame || isUnchanged(schema, after, before);
    for (const [at, item] of after.entries()) {
      const previous = isKeyed ? old.get(itemName(schema, item)) : undefined;
      this.visit(items, { after: item, before: previous, path: `${path}[${at}]`, isSame });
    }
  }

  #runRules(schema: Schema, place: Place): void {
    const rules = rulesOf(schema);
    if (rules.length === 0) return;
    const { after, before } = place;
    const self = celValue(schema, after);
    const oldSelf = before === undefined || before === null ? undefined : celValue(schema, before);
    const items = countItems(after) + countItems(before);
    for (const rule of rules) {
      if (rule.usesOldSelf && oldSelf === undefined) continue;
      this.#budget -= rule.nodes * Math.max(1, items) ** rule.depth;
      if (this.#budget < 0) {
        this.problems.push(problem(schema, place, OUT_OF_BUDGET));
        return;
      }
      const outcome = rule.run(self, oldSelf);
      if (outcome === true) continue;
      if (outcome !== false) {
        this.problems.push(problem(schema, place, evaluationError(outcome, rule)));
      } else if (rule.usesOldSelf || !(place.isSame || isUnchanged(schema, after, before))) {
        this.problems.push(broken(schema, place, rule));
      }
    }
  }
}

/**
 * Items of a list by key in any order; all else in place. What the schema does not know cannot be
 * told to be the same: an object with such a field counts as changed.
 */
function isUnchanged(schema: Schema | undefined, after: unknown, before: unknown): boolean {
  if (schema === undefined) return false;
  if (Array.isArray(after) && Array.isArray(before)) {
    if (after.length !== before.length) return false;
    if (schema['x-kubernetes-list-type'] !== 'map') return equalJson(after, before);
    const old = new Map(before.map((item) => [itemName(schema, item), item]));
    return after.every((item) => {
      const name = itemName(schema, item);
      return old.has(name) && isUnchanged(schema.items, item, old.get(name));
    });
  }
  if (!isMap(after) || !isMap(before)) return equalJson(after, before);
  const keys = Object.keys(after);
  return (
    keys.length === Object.keys(before).length &&
    keys.every(
      (key) =>
        Object.hasOwn(before, key) &&
        isUnchanged(fieldSchema(schema, key), after[key], before[key]),
    )
  );
}

function fieldSchema(schema: Schema, key: string): Schema | undefined {
  const properties = schema.properties ?? {};
  return Object.hasOwn(properties, key) ? properties[key] : schema.additionalProperties;
}

function rulesOf(schema: Schema): readonly Rule[] {
  const known = compiled.get(schema);
  if (known !== undefined) return known;
  const rules: Rule[] = [];
  for (const source of schema['x-kubernetes-validations'] ?? []) {
    const rule = compileRule(source);
    const why = typeof rule === 'string' ? rule : '';
    assert(typeof rule !== 'string', `Rule does not compile: ${source.rule}: ${why}`);
    rules.push(rule);
  }
  compiled.set(schema, rules);
  return rules;
}

function evaluationError(why: string, { source }: Rule): string {
  if (why.startsWith('no such overload')) {
    return (
      `'${why}': call arguments did not match a supported operator, ` +
      `function or macro signature for rule: ${source.message.trim()}`
    );
  }
  return `${why} evaluating rule: ${source.message.trim()}`;
}

function problem(schema: Schema, { path }: Place, why: string): FieldProblem {
  const message = `Invalid value: ${JSON.stringify(schema.type ?? '')}: ${why}`;
  return { reason: 'FieldValueInvalid', field: fieldOf(path), message };
}

function broken(schema: Schema, { after, path }: Place, { source }: Rule): FieldProblem {
  const field = fieldOf(
    source.fieldPath === undefined ? path : join(path, withoutDot(source.fieldPath)),
  );
  const why = source.message.trim();
  switch (source.reason) {
    case 'FieldValueForbidden':
      return { reason: 'FieldValueForbidden', field, message: `Forbidden: ${why}` };
    case 'FieldValueRequired':
      return { reason: 'FieldValueRequired', field, message: `Required value: ${why}` };
    case 'FieldValueDuplicate':
      return {
        reason: 'FieldValueDuplicate',
        field,
        message: `Duplicate value${shown(schema, after)}`,
      };
    default: {
      const message = `Invalid value${shown(schema, after)}: ${why}`;
      return { reason: 'FieldValueInvalid', field, message };
    }
  }
}

/** Objects and lists are left out. */
function shown(schema: Schema, value: unknown): string {
  if (schema.type === 'object' || schema.type === 'array') return '';
  return `: ${JSON.stringify(value)}`;
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

function withoutDot(path: string): string {
  return path.startsWith('.') ? path.slice(1) : path;
}

/** How Go prints the path of the object itself. */
function fieldOf(path: string): string {
  return path === '' ? '<nil>' : path;
}
