/**
 * One rule of x-kubernetes-validations, compiled: CEL by a library, with the functions on
 * quantities that Kubernetes adds.
 */
import { type ASTNode, Environment } from '@marcbachmann/cel-js';
import type { ValidationRule } from '#api/resources/mod.ts';
import { compareQuantities, parseQuantity, Quantity } from './quantity.ts';

export interface Rule {
  readonly source: ValidationRule;
  readonly ast: ASTNode;
  /** Compares with the object before: does not run without one. */
  readonly usesOldSelf: boolean;
  readonly nodes: number;
  /** How deep comprehensions lie in one another: each multiplies the cost by what it visits. */
  readonly depth: number;
  /** True or false, or why it could not be told. */
  readonly run: (self: unknown, oldSelf: unknown) => boolean | string;
}

/** Calls that bind their first argument to each item. */
export const COMPREHENSIONS = new Set([
  'all',
  'exists',
  'exists_one',
  'existsOne',
  'map',
  'filter',
]);

const environment = createEnvironment();

function createEnvironment(): Environment {
  const quantityOf = (text: string): Quantity => {
    const quantity = parseQuantity(text);
    if (typeof quantity === 'string') throw new Error(quantity);
    return quantity;
  };
  const asQuantity = (value: bigint): Quantity => new Quantity(value * 1_000_000_000n);
  return new Environment({ enableOptionalTypes: true })
    .registerVariable('self', 'dyn')
    .registerVariable('oldSelf', 'dyn')
    .registerType('Quantity', { ctor: Quantity, fields: {} })
    .registerFunction('quantity(string): Quantity', quantityOf)
    .registerFunction(
      'isQuantity(string): bool',
      (text: string) => typeof parseQuantity(text) !== 'string',
    )
    .registerFunction('Quantity.compareTo(Quantity): int', compareQuantities)
    .registerFunction(
      'Quantity.isLessThan(Quantity): bool',
      (a: Quantity, b: Quantity) => a.nanos < b.nanos,
    )
    .registerFunction(
      'Quantity.isGreaterThan(Quantity): bool',
      (a: Quantity, b: Quantity) => a.nanos > b.nanos,
    )
    .registerFunction(
      'Quantity.add(Quantity): Quantity',
      (a: Quantity, b: Quantity) => new Quantity(a.nanos + b.nanos),
    )
    .registerFunction(
      'Quantity.add(int): Quantity',
      (a: Quantity, b: bigint) => new Quantity(a.nanos + asQuantity(b).nanos),
    )
    .registerFunction(
      'Quantity.sub(Quantity): Quantity',
      (a: Quantity, b: Quantity) => new Quantity(a.nanos - b.nanos),
    )
    .registerFunction(
      'Quantity.sub(int): Quantity',
      (a: Quantity, b: bigint) => new Quantity(a.nanos - asQuantity(b).nanos),
    );
}

/** A rule that does not compile is why, as text. */
export function compileRule(source: ValidationRule): Rule | string {
  let program: ReturnType<Environment['parse']>;
  try {
    program = environment.parse(source.rule);
  } catch (error) {
    return firstLine(error);
  }
  const checked = program.check();
  if (!checked.valid) return firstLine(checked.error);
  if (checked.type !== 'bool' && checked.type !== 'dyn') {
    return `cel expression must evaluate to a bool, not ${String(checked.type)}`;
  }
  const { nodes, depth, names } = measure(program.ast);
  return {
    source,
    ast: program.ast,
    usesOldSelf: names.has('oldSelf'),
    nodes,
    depth,
    run: (self, oldSelf) => {
      try {
        const result: unknown = program(oldSelf === undefined ? { self } : { self, oldSelf });
        return typeof result === 'boolean' ? result : 'no such overload';
      } catch (error) {
        return firstLine(error);
      }
    },
  };
}

/** In the words of Kubernetes' CEL, where the library has its own. */
function firstLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const line = message.split('\n')[0] ?? '';
  const index = /index out of bounds, index (-?[0-9]+)/.exec(line)?.[1];
  if (index !== undefined) return `index out of bounds: ${index}`;
  return line.replace(/^No such key/, 'no such key');
}

function measure(ast: ASTNode): { nodes: number; depth: number; names: Set<string> } {
  const names = new Set<string>();
  let nodes = 0;
  const visit = (value: unknown): number => {
    if (Array.isArray(value)) return Math.max(0, ...value.map(visit));
    if (!isNode(value)) return 0;
    nodes += 1;
    const { op, args } = value;
    if (op === 'id') names.add(args);
    const below = visit(args);
    return op === 'rcall' && COMPREHENSIONS.has(args[0]) ? below + 1 : below;
  };
  const depth = visit(ast);
  return { nodes, depth, names };
}

export function isNode(value: unknown): value is ASTNode {
  return typeof value === 'object' && value !== null && 'op' in value && 'args' in value;
}
