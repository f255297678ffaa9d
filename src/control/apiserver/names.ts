/** Names of resources, and what names and labels may look like, in Kubernetes' words. */
import type { Resource } from '#api/resources/mod.ts';

export function groupVersion(resource: Pick<Resource, 'group' | 'version'>): string {
  return resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;
}

/** `volumes.holdfast.dev`, as messages name it. */
export function groupResource(resource: Pick<Resource, 'group' | 'plural'>): string {
  return resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`;
}

/** Where its objects are: both groups that have events have the same ones. */
export function storeName(resource: Pick<Resource, 'group' | 'plural'>): string {
  const { group, plural } = resource;
  return plural === 'events' ? '/events' : `${group}/${plural}`;
}

const LABEL_FORM = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const SUBDOMAIN_FORM = `${LABEL_FORM}(\\.${LABEL_FORM})*`;
const QUALIFIED_FORM = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const LABEL = new RegExp(`^${LABEL_FORM}$`);
const SUBDOMAIN = new RegExp(`^${SUBDOMAIN_FORM}$`);
const QUALIFIED = new RegExp(`^${QUALIFIED_FORM}$`);

const LABEL_TEXT =
  'a lowercase RFC 1123 label must consist of lower case alphanumeric characters ' +
  `or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  ` +
  `or '123-abc', regex used for validation is '${LABEL_FORM}')`;
const SUBDOMAIN_TEXT =
  'a lowercase RFC 1123 subdomain must consist of lower case alphanumeric ' +
  `characters, '-' or '.', and must start and end with an alphanumeric character ` +
  `(e.g. 'example.com', regex used for validation is '${SUBDOMAIN_FORM}')`;
const QUALIFIED_TEXT =
  `must consist of alphanumeric characters, '-', '_' or '.', and must start and ` +
  `end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or ` +
  `'123-abc', regex used for validation is '${QUALIFIED_FORM}')`;
const VALUE_TEXT =
  'a valid label must be an empty string or consist of alphanumeric characters, ' +
  `'-', '_' or '.', and must start and end with an alphanumeric character (e.g. ` +
  `'MyValue',  or 'my_value',  or '12345', regex used for validation is ` +
  `'(${QUALIFIED_FORM})?')`;

function tooLong(max: number): string {
  return `must be no more than ${max} bytes`;
}

export function problemsOfLabel(name: string): string[] {
  return [...(name.length > 63 ? [tooLong(63)] : []), ...(LABEL.test(name) ? [] : [LABEL_TEXT])];
}

export function problemsOfSubdomain(name: string): string[] {
  return [
    ...(name.length > 253 ? [tooLong(253)] : []),
    ...(SUBDOMAIN.test(name) ? [] : [SUBDOMAIN_TEXT]),
  ];
}

/** `prefix/name` or `name`: keys of labels and annotations, finalizers. */
export function problemsOfQualifiedName(key: string): string[] {
  const parts = key.split('/');
  if (parts.length > 2) {
    return [
      `a qualified name ${QUALIFIED_TEXT} with an optional DNS subdomain prefix and ` +
        `'/' (e.g. 'example.com/MyName')`,
    ];
  }
  const name = parts.at(-1) ?? '';
  const prefix = parts.length === 2 ? (parts[0] ?? '') : undefined;
  const problems: string[] = [];
  if (prefix === '') problems.push('prefix part must be non-empty');
  else if (prefix !== undefined) {
    problems.push(...problemsOfSubdomain(prefix).map((text) => `prefix part ${text}`));
  }
  if (name === '') problems.push('name part must be non-empty');
  else if (name.length > 63) problems.push(`name part ${tooLong(63)}`);
  if (!QUALIFIED.test(name)) problems.push(`name part ${QUALIFIED_TEXT}`);
  return problems;
}

export function problemsOfLabelValue(value: string): string[] {
  const problems = value.length > 63 ? [tooLong(63)] : [];
  if (value !== '' && !QUALIFIED.test(value)) problems.push(VALUE_TEXT);
  return problems;
}

/** Names of every resource but these are subdomains. */
const LABEL_NAMED: ReadonlySet<string> = new Set(['/namespaces']);

export function problemsOfObjectName(resource: Resource, name: string): string[] {
  const isLabel = LABEL_NAMED.has(`${resource.group}/${resource.plural}`);
  // The length of a name is counted in characters, that of a label in bytes.
  const problems = isLabel ? problemsOfLabel(name) : problemsOfSubdomain(name);
  return problems.map((text) =>
    text.replace(/^(must be no more than \d+) bytes$/, '$1 characters'),
  );
}
