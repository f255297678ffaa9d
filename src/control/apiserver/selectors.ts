/** Label selectors (equality and set based) and field selectors. */
import type { JsonObject, Resource } from '#api/resources/mod.ts';
import { type ApiFailure, badRequest } from './failure.ts';
import { problemsOfLabelValue, problemsOfQualifiedName } from './names.ts';

export type Selector = (object: JsonObject) => boolean;

type Operator = '=' | '!=' | 'in' | 'notin' | 'exists' | '!' | '>' | '<';

interface Requirement {
  readonly key: string;
  readonly operator: Operator;
  readonly values: readonly string[];
}

const TERM =
  /^\s*(?:(?<not>!)\s*(?<absent>[^\s!=<>(),]+)|(?<key>[^\s!=<>(),]+)\s*(?:(?<set>\bin|\bnotin)\s*\((?<list>[^()]*)\)|(?<compare>==|=|!=|>|<)\s*(?<value>[^\s!=<>(),]*))?)\s*(?:,|$)/;

/** Undefined selects everything. */
export function parseLabelSelector(text: string | null): Selector | undefined {
  if (text === null || text.trim() === '') return undefined;
  const requirements = parseRequirements(text);
  return (object) => {
    const labels = ((object['metadata'] as JsonObject)['labels'] ?? {}) as Record<string, string>;
    return requirements.every((requirement) => isMet(requirement, labels));
  };
}

function parseRequirements(text: string): Requirement[] {
  const requirements: Requirement[] = [];
  for (let rest = text; rest.trim() !== ''; ) {
    const match = TERM.exec(rest);
    if (match?.groups === undefined) {
      const set = /^\s*[^\s!=<>(),]+\s+(?:in|notin)\b\s*([^\s(),]*)/.exec(rest);
      const found = `unable to parse requirement: found '${set?.[1] ?? rest.trim()}'`;
      throw badRequest(
        set === null
          ? `${found}, expected: !, identifier, or 'end of string'`
          : `${found} expected: '('`,
      );
    }
    requirements.push(checkRequirement(requirementOf(match.groups)));
    rest = rest.slice(match[0].length);
  }
  return requirements;
}

function requirementOf(groups: Record<string, string | undefined>): Requirement {
  const { absent, key = '', set, list = '', compare, value = '' } = groups;
  if (absent !== undefined) return { key: absent, operator: '!', values: [] };
  if (set !== undefined) {
    const values = list.split(',').map((one) => one.trim());
    return { key, operator: set as Operator, values };
  }
  if (compare === undefined) return { key, operator: 'exists', values: [] };
  return { key, operator: compare === '==' ? '=' : (compare as Operator), values: [value] };
}

function checkRequirement(requirement: Requirement): Requirement {
  const { key, operator, values } = requirement;
  const keyProblem = problemsOfQualifiedName(key)[0];
  if (keyProblem !== undefined) {
    throw badRequest(
      `unable to parse requirement: key: Invalid value: ${JSON.stringify(key)}: ${keyProblem}`,
    );
  }
  const isNumeric = operator === '>' || operator === '<';
  values.forEach((value, index) => {
    const problem = isNumeric
      ? /^[+-]?\d+$/.test(value)
        ? undefined
        : "for 'Gt', 'Lt' operators, the value must be an integer"
      : problemsOfLabelValue(value)[0];
    if (problem === undefined) return;
    throw badRequest(
      `unable to parse requirement: values[${index}][${key}]: Invalid value: ` +
        `${JSON.stringify(value)}: ${problem}`,
    );
  });
  return requirement;
}

function isMet(requirement: Requirement, labels: Readonly<Record<string, string>>): boolean {
  const { key, operator, values } = requirement;
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'exists':
      return value !== undefined;
    case '!':
      return value === undefined;
    case '=':
    case 'in':
      return value !== undefined && values.includes(value);
    case '!=':
    case 'notin':
      return value === undefined || !values.includes(value);
    case '>':
      return value !== undefined && /^-?\d+$/.test(value) && Number(value) > Number(values[0]);
    case '<':
      return value !== undefined && /^-?\d+$/.test(value) && Number(value) < Number(values[0]);
  }
}

/** What the real server can select by, beyond the name (the fields of each strategy). */
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  '/events': [
    'involvedObject.kind',
    'involvedObject.namespace',
    'involvedObject.name',
    'involvedObject.uid',
    'involvedObject.apiVersion',
    'involvedObject.resourceVersion',
    'involvedObject.fieldPath',
    'reason',
    'reportingComponent',
    'source',
    'type',
  ],
  'events.k8s.io/events': [
    'regarding.kind',
    'regarding.namespace',
    'regarding.name',
    'regarding.uid',
    'regarding.apiVersion',
    'regarding.resourceVersion',
    'regarding.fieldPath',
    'reason',
    'reportingController',
    'type',
  ],
  '/secrets': ['type'],
  '/namespaces': ['status.phase'],
  '/nodes': ['spec.unschedulable'],
};

/** Undefined selects everything. `field=value`, `field==value`, `field!=value`, by commas. */
export function parseFieldSelector(text: string | null, resource: Resource): Selector | undefined {
  if (text === null || text.trim() === '') return undefined;
  const supported = new Set([
    'metadata.name',
    ...(resource.isNamespaced || !resource.isCustom ? ['metadata.namespace'] : []),
    ...(FIELDS[`${resource.group}/${resource.plural}`] ?? []),
  ]);
  const terms = splitTerms(text).map((term) => {
    const match = /^(.*?)(!=|==|=)(.*)$/s.exec(term);
    if (match === null) {
      throw badRequest(`invalid selector: '${text}'; can't understand '${term}'`);
    }
    const [, field = '', operator, value = ''] = match;
    if (!supported.has(field)) throw unknownField(resource, field, [...supported]);
    return { field, isWanted: operator !== '!=', value: value.replaceAll(/\\([\\,=])/g, '$1') };
  });
  return (object) =>
    terms.every(({ field, isWanted, value }) => (fieldText(object, field) === value) === isWanted);
}

function unknownField(resource: Resource, field: string, known: readonly string[]): ApiFailure {
  const hasOwn = known.length > 2;
  if (resource.isCustom || hasOwn) return badRequest(`field label not supported: ${field}`);
  const names = known.map((name) => JSON.stringify(name)).join(', ');
  return badRequest(`${JSON.stringify(field)} is not a known field selector: only ${names}`);
}

function splitTerms(text: string): string[] {
  const terms = text.match(/(?:\\.|[^,\\])+/gs) ?? [];
  return terms.filter((term) => term !== '');
}

function fieldText(object: JsonObject, path: string): string {
  if (path === 'source') {
    const source = (object['source'] ?? {}) as Record<string, string>;
    return source['component'] || textOf(object['reportingComponent']);
  }
  let value: unknown = object;
  for (const key of path.split('.')) value = (value as JsonObject | undefined)?.[key];
  if (path === 'spec.unschedulable') return value === true ? 'true' : 'false';
  return textOf(value);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
