/**
 * Writes what is made from the schemas and checked in: the definitions of our kinds, which a
 * cluster is given, and the reference of their fields.
 *
 *   npm run generate
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { describeCommands } from '#cli/mod.ts';
import { SHIPPED_CLASSES } from '#api/kinds/mod.ts';
import { RESOURCES, toCrd } from '#api/resources/mod.ts';
import type { Resource, Schema } from '#api/resources/mod.ts';
import { describeDifferences } from '../test/cluster/kubectl-differences.ts';

const GROUP = 'holdfast.dev';
const COMMANDS_NOTE = 'Made by `npm run generate` from src/cli: change it there.';
const DIFFERENCES_NOTE =
  'Made by `npm run generate` from test/cluster/kubectl-differences.ts: change it there.';
const NOTE = 'Made by `npm run generate` from src/api: change it there.';

/** Text by path below the root of the repository. */
export function generatedFiles(): ReadonlyMap<string, string> {
  const own = RESOURCES.filter((resource) => resource.group === GROUP);
  const files = new Map<string, string>();
  for (const resource of own) files.set(`deploy/crds/${resource.plural}.yaml`, toYaml(resource));
  files.set('deploy/classes.yaml', classesToYaml());
  files.set('docs/reference/api.md', toReference(own));
  files.set('docs/reference/commands.md', describeCommands(COMMANDS_NOTE));
  files.set('docs/reference/kubectl.md', describeDifferences(DIFFERENCES_NOTE));
  return files;
}

function toYaml(resource: Resource): string {
  const text = stringify(toCrd(resource), { lineWidth: 0, aliasDuplicateObjects: false });
  return `# ${NOTE}\n${text}`;
}

function classesToYaml(): string {
  const parts = SHIPPED_CLASSES.map((one) => stringify(one, { lineWidth: 0 }));
  return `# ${NOTE}\n${parts.join('---\n')}`;
}

function toReference(resources: readonly Resource[]): string {
  const parts = resources.map(toSection);
  const intro = [
    '# Kinds and their fields',
    '',
    `<!-- ${NOTE} -->`,
    '',
    `The kinds of the group \`${GROUP}\`, as \`kubectl explain\` shows them too. Fields of \`status\` are`,
    'written by Holdfast alone. A field that is fixed cannot be changed once it is given.',
    '',
  ];
  return `${intro.join('\n')}\n${parts.join('\n')}`;
}

function toSection(resource: Resource): string {
  const { categories, isNamespaced, kind, plural, schema, shortNames, version } = resource;
  const names = [plural, ...shortNames].map((name) => `\`${name}\``).join(', ');
  const { spec, status } = schema.properties ?? {};
  return [
    `## ${kind}`,
    '',
    schema.description ?? '',
    '',
    `\`${GROUP}/${version}\`, ${isNamespaced ? 'namespaced' : 'cluster-wide'}, ${names}; ` +
      `category \`${categories.join('`, `')}\`.`,
    '',
    '| field | type | meaning |',
    '|---|---|---|',
    ...rowsOf('spec', spec ?? {}, fixedOf(spec ?? {})),
    ...rowsOf('status', status ?? {}, new Set()),
    '',
  ].join('\n');
}

/** Fields that a rule of the definition keeps. */
function fixedOf(spec: Schema): ReadonlySet<string> {
  const rules = spec['x-kubernetes-validations'] ?? [];
  return new Set(
    rules
      .filter(({ message }) => message.endsWith('cannot be changed'))
      .map(({ fieldPath }) => `spec${fieldPath ?? ''}`),
  );
}

function rowsOf(path: string, schema: Schema, fixed: ReadonlySet<string>): string[] {
  const rows: string[] = [];
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const inner = `${path}.${name}`;
    const isNeeded = schema.required?.includes(name) === true;
    rows.push(
      `| \`${inner}\` | ${typeOf(field)} | ${meaningOf(field, isNeeded, fixed.has(inner))} |`,
    );
    const item = field.type === 'array' ? (field.items ?? {}) : field;
    rows.push(...rowsOf(field.type === 'array' ? `${inner}[]` : inner, item, fixed));
  }
  return rows;
}

function typeOf(schema: Schema): string {
  if (schema['x-kubernetes-int-or-string'] === true) return 'quantity';
  if (schema.type === 'array') return `list of ${typeOf(schema.items ?? {})}`;
  if (schema.format === 'date-time') return 'time';
  return schema.type ?? 'any';
}

function meaningOf(schema: Schema, isNeeded: boolean, isFixed: boolean): string {
  const facts = [schema.description ?? ''];
  const choices = schema.enum ?? schema.items?.enum;
  if (choices !== undefined)
    facts.push(`One of ${choices.map((one) => `\`${String(one)}\``).join(', ')}.`);
  const { minimum, maximum } = schema;
  if (minimum !== undefined && maximum !== undefined) facts.push(`${minimum} to ${maximum}.`);
  if (schema.default !== undefined)
    facts.push(`\`${JSON.stringify(schema.default)}\` when absent.`);
  if (isNeeded) facts.push('Required.');
  if (isFixed) facts.push('Fixed.');
  return facts.filter((fact) => fact !== '').join(' ');
}

function writeAll(root: string): void {
  for (const [path, text] of generatedFiles()) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), text);
    console.log(`wrote ${path}`);
  }
}

if (import.meta.main) writeAll(process.cwd());
