/**
 * Rules in CEL read values whose types are right: kube-apiserver leaves them out where the schema
 * found worse than a wrong value, and says so (apiextensions pkg/registry/customresource).
 */
import type { FieldProblem, Schema } from '../resource.ts';

const BLOCKING: readonly FieldProblem['reason'][] = [
  'FieldValueNotSupported',
  'FieldValueRequired',
  'FieldValueTooLong',
  'FieldValueTooMany',
  'FieldValueTypeInvalid',
];

const UNCHECKED: FieldProblem = {
  reason: 'FieldValueInvalid',
  field: '<nil>',
  message:
    'Invalid value: null: some validation rules were not checked because the object was invalid; ' +
    'correct the existing errors to complete validation',
};

/** Empty where rules can run, or where there are none. */
export function uncheckedRules(schema: Schema, problems: readonly FieldProblem[]): FieldProblem[] {
  const isBlocked = problems.some(({ reason }) => BLOCKING.includes(reason));
  return isBlocked && hasRules(schema) ? [UNCHECKED] : [];
}

function hasRules(schema: Schema): boolean {
  const { additionalProperties, items, properties = {} } = schema;
  if (schema['x-kubernetes-validations'] !== undefined) return true;
  const inner = [additionalProperties, items, ...Object.values(properties)];
  return inner.some((one) => one !== undefined && hasRules(one));
}
