/**
 * What is wrong with a selector, in Kubernetes' words (apimachinery
 * pkg/apis/meta/v1/validation, kubernetes pkg/apis/core/validation).
 */
import {
  duplicate,
  forbidden,
  invalid,
  isMap,
  listAt,
  mapAt,
  required,
  textAt,
} from './field-problems.ts';
import { labelValueProblems, qualifiedNameProblems } from './name-problems.ts';
import type { FieldProblem } from './resource.ts';

const SETS = ['In', 'NotIn'];
const PRESENCE = ['Exists', 'DoesNotExist'];
const NUMBERS = ['Gt', 'Lt'];

function checkKey(field: string, key: string): FieldProblem[] {
  return qualifiedNameProblems(key).map((text) => invalid(field, key, text));
}

function checkValue(field: string, value: string): FieldProblem[] {
  return labelValueProblems(value).map((text) => invalid(field, value, text));
}

/** Absent is no problem. */
export function checkLabelSelector(field: string, selector: unknown): FieldProblem[] {
  const labels = Object.entries(mapAt(selector, 'matchLabels')).flatMap(([key, value]) => [
    ...checkKey(`${field}.matchLabels`, key),
    ...checkValue(`${field}.matchLabels`, String(value)),
  ]);
  const expressions = listAt(selector, 'matchExpressions').flatMap((one, index) =>
    checkRequirement(`${field}.matchExpressions[${index}]`, one, false),
  );
  return [...labels, ...expressions];
}

function checkRequirement(
  field: string,
  requirement: unknown,
  hasNumbers: boolean,
): FieldProblem[] {
  const key = textAt(requirement, 'key');
  const values = listAt(requirement, 'values').map(String);
  return [
    ...checkOperator(field, textAt(requirement, 'operator'), values, hasNumbers),
    ...checkKey(`${field}.key`, key),
    ...values.flatMap((value, index) => checkValue(`${field}.values[${index}]`, value)),
  ];
}

function checkOperator(
  field: string,
  operator: string,
  values: readonly string[],
  hasNumbers: boolean,
): FieldProblem[] {
  const at = `${field}.values`;
  if (SETS.includes(operator)) {
    const rule = "must be specified when `operator` is 'In' or 'NotIn'";
    return values.length === 0 ? [required(at, rule)] : [];
  }
  if (PRESENCE.includes(operator)) {
    const rule = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
    return values.length === 0 ? [] : [forbidden(at, rule)];
  }
  if (hasNumbers && NUMBERS.includes(operator)) {
    const rule = "must be specified single value when `operator` is 'Lt' or 'Gt'";
    return values.length === 1 ? [] : [required(at, rule)];
  }
  return [invalid(`${field}.operator`, operator, 'not a valid selector operator')];
}

/** The node affinity of a volume. */
export function checkNodeAffinity(field: string, affinity: unknown): FieldProblem[] {
  const selector = isMap(affinity) ? affinity['required'] : undefined;
  if (!isMap(selector)) {
    return [required(`${field}.required`, 'must specify required node constraints')];
  }
  const at = `${field}.required.nodeSelectorTerms`;
  const terms = listAt(selector, 'nodeSelectorTerms');
  if (terms.length === 0) return [required(at, 'must have at least one node selector term')];
  return terms.flatMap((term, termIndex) =>
    listAt(term, 'matchExpressions').flatMap((one, index) =>
      checkRequirement(`${at}[${termIndex}].matchExpressions[${index}]`, one, true),
    ),
  );
}

/** The places that a StorageClass allows. */
export function checkTopologies(field: string, terms: readonly unknown[]): FieldProblem[] {
  return terms.flatMap((term, termIndex) => {
    const keys = new Set<string>();
    return listAt(term, 'matchLabelExpressions').flatMap((one, index) => {
      const at = `${field}[${termIndex}].matchLabelExpressions[${index}]`;
      const key = textAt(one, 'key');
      const values = listAt(one, 'values');
      const problems: FieldProblem[] = values.length === 0 ? [required(`${at}.values`)] : [];
      values.forEach((value, valueIndex) => {
        if (values.indexOf(value) === valueIndex) return;
        problems.push(duplicate(`${at}.values[${valueIndex}]`, value));
      });
      problems.push(...checkKey(`${at}.key`, key));
      if (keys.has(key)) problems.push(duplicate(`${at}.key`, key));
      keys.add(key);
      return problems;
    });
  });
}
