/**
 * The house rules that a machine can check. Every rule runs over the repository, and over a small
 * tree in memory with one planted violation, which shows that it can fail.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { BAD_INPUT_ITEMS, BAD_INPUT_PAGE, checkBadInput } from './tidy/bad-input.ts';
import { checkDeadFiles, checkTestTiers } from './tidy/dead-files.ts';
import { checkDocumentPaths, checkDocumentTitles } from './tidy/documents.ts';
import { checkErrorList } from './tidy/error-list.ts';
import { checkFileNames } from './tidy/file-names.ts';
import { checkHostBoundary } from './tidy/host-boundary.ts';
import { checkImportCycles } from './tidy/import-cycles.ts';
import { checkImportTable } from './tidy/import-table.ts';
import { checkColumns, checkPlaces, checkReminders } from './tidy/text.ts';
import { checkTranscripts } from './tidy/transcripts.ts';
import { formatFinding, readTree, type Rule, treeOf } from './tidy/tree.ts';

type Files = Readonly<Record<string, string>>;

interface Proof {
  readonly planted: Files;
  /** A part of the only finding. */
  readonly says: string;
}

const ROOT = join(import.meta.dirname, '..');
const repository = readTree(ROOT);

/** Registries this machine is set up with; none when it uses the default one. */
function machineHosts(): string[] {
  let config = process.env['npm_config_registry'] ?? '';
  try {
    config += `\n${readFileSync(join(homedir(), '.npmrc'), 'utf8')}`;
  } catch {
    // No such file: nothing is configured there.
  }
  return [...config.matchAll(/https?:\/\/([\w.-]+\.[\w.-]+)/g)].map((match) => match[1] ?? '');
}

const REGISTRY = ['registry', 'npmjs', 'org'].join('.');
const HOME = ['', 'home', 'someone', 'holdfast'].join('/');
const REMINDER = ['TO', 'DO'].join('');

function errorsPage(...codes: string[]): string {
  return `# Errors\n${codes.map((code) => `| \`${code}\` | c | none | r | 1 |\n`).join('')}`;
}

/** A page with a row for each item, and the one test that they all name. */
function badInput(change: Files = {}, items: readonly string[] = BAD_INPUT_ITEMS): Files {
  const first = items.map((item) => `| ${item} | \`src/b.test.ts\` | It is \${title} |\n`);
  // One row names the other form, so that one planted mistake is one finding.
  const page = `# Bad input\n${first.join('')}| ${items[1]} | \`src/a.test.ts\` | It is refused |\n`;
  return {
    [BAD_INPUT_PAGE]: page,
    'src/a.test.ts': `test('It is refused', () => {});\n`,
    'src/b.test.ts': '    test(`It is ${title}`, () => {});\n',
    ...change,
  };
}

function transcript(lines: string, fields = ''): string {
  return `# H\n\n<!-- transcript: t${fields} -->\n\`\`\`console\n${lines}\n\`\`\`\n`;
}

const CODES = `export const ERROR_CODES = [\n  'a-b', // why\n  'c-d',\n] as const;\n`;
const LIB = { 'src/lib/mod.ts': 'export const one = 1;\n' };

/** Rule by rule: the trees it must pass, and the trees in which it must find exactly one thing. */
const RULES: Readonly<
  Record<string, { rule: Rule; passes: readonly Files[]; fails: readonly Proof[] }>
> = {
  'import table': {
    rule: checkImportTable,
    passes: [
      { ...LIB, 'src/api/mod.ts': `import { one } from '#lib/mod.ts';\n` },
      { 'src/lib/a.ts': `import './b.ts';\n`, 'src/lib/b.ts': '' },
      {
        'src/host/sim/mod.ts': '',
        'src/data/nexus/a.test.ts': `import '#host/sim/mod.ts';\n`,
      },
      { 'src/data/block/a.testkit.ts': '', 'test/b.ts': `import '#data/block/a.testkit.ts';\n` },
      { 'src/host/node/mod.ts': '', 'src/cmd/engine.ts': `import '#host/node/mod.ts';\n` },
      { 'src/host/mod.ts': '', 'src/host/sim/a.ts': `import '../mod.ts';\n` },
      { 'src/host/sim/mod.ts': '', 'src/host/host.test.ts': `import './sim/mod.ts';\n` },
      { 'src/lib/a.ts': `// import '#api/mod.ts';\nexport const text = "from '#api/mod.ts'";\n` },
    ],
    fails: [
      {
        planted: { 'src/api/mod.ts': '', 'src/lib/a.ts': `import { x } from '#api/mod.ts';\n` },
        says: 'lib may not import api',
      },
      {
        planted: {
          'src/data/store/mod.ts': '',
          'src/data/nexus/a.ts': `import type { Store } from '#data/store/mod.ts';\n`,
        },
        says: 'data/nexus may not import data/store',
      },
      {
        planted: {
          'src/data/engine/mod.ts': '',
          'src/control/operator/a.ts': `export * from '#data/engine/mod.ts';\n`,
        },
        says: 'control/operator may not import data/engine',
      },
      {
        planted: {
          'src/host/sim/mod.ts': '',
          'src/cmd/a.ts': `await import('#host/sim/mod.ts');\n`,
        },
        says: 'Only tests may import host/sim',
      },
      {
        planted: {
          'src/host/node/mod.ts': '',
          'src/rpc/a.ts': `import '#host/node/mod.ts';\n`,
        },
        says: 'rpc may not import host/node',
      },
      {
        planted: { 'src/lib/a.ts': '', 'src/api/b.ts': `import {\n  a,\n} from '#lib/a.ts';\n` },
        says: 'import its mod.ts',
      },
      {
        planted: { ...LIB, 'src/api/b.ts': `import { one } from '../lib/mod.ts';\n` },
        says: 'import #lib/mod.ts',
      },
      {
        planted: { ...LIB, 'src/lib/b.ts': `import { one } from '#lib/mod.ts';\n` },
        says: 'import it relative',
      },
      {
        planted: { 'src/lib/a.testkit.ts': '', 'src/lib/b.ts': `import './a.testkit.ts';\n` },
        says: 'Product code may not import',
      },
      { planted: { 'src/lib/b.ts': `import './gone.ts';\n` }, says: 'does not exist' },
      { planted: { 'src/lib/b.ts': `import './c';\n` }, says: 'write the .ts' },
      { planted: { 'src/engine/a.ts': '' }, says: 'Not in a folder of the layout' },
      {
        planted: { 'src/data/block/a.ts': `import koffi from 'koffi';\n` },
        says: 'its home is host/node',
      },
      {
        planted: { 'test/a.ts': '', 'src/lib/b.ts': `import '../../test/a.ts';\n` },
        says: 'src may not import test/a.ts',
      },
    ],
  },
  'import cycles': {
    rule: checkImportCycles,
    passes: [
      {
        'src/lib/a.ts': `import './b.ts';\n`,
        'src/lib/b.ts': `import type { A } from './a.ts';\n`,
      },
    ],
    fails: [
      {
        planted: {
          'src/lib/a.ts': `import { b } from './b.ts';\n`,
          'src/lib/b.ts': `export * from './c.ts';\n`,
          'src/lib/c.ts': `import { a } from './a.ts';\n`,
        },
        says: 'a.ts -> src/lib/b.ts -> src/lib/c.ts -> src/lib/a.ts',
      },
    ],
  },
  'host boundary': {
    rule: checkHostBoundary,
    passes: [
      { 'src/host/node/a.ts': 'Date.now();\n', 'src/cmd/a.ts': `import 'node:fs';\n` },
      { 'src/lib/a.test.ts': 'setTimeout(() => {}, 1);\n' },
      { 'src/lib/a.ts': `// Date.now()\nclock.performance.now();\nconst text = 'fetch(x)';\n` },
      { 'src/lib/a.ts': '// oxlint-disable-next-line x -- shown to people only\nnew Date(ms);\n' },
    ],
    fails: [
      ...Object.entries({
        Date: 'const now = Date.now();',
        'Date ': 'const now = new Date();',
        performance: 'performance.now();',
        'setTimeout family': 'setTimeout(fn, 1);',
        'setTimeout family ': 'clearInterval(timer);',
        process: 'process.nextTick(fn);',
        'Math.random': 'Math.random();',
        'crypto random': 'crypto.randomUUID();',
        fetch: 'await fetch(url);',
        'AbortSignal.timeout': 'AbortSignal.timeout(5);',
        'Atomics.wait': 'Atomics.wait(cells, 0, 0);',
        WeakRef: 'new WeakRef(thing);',
        FinalizationRegistry: 'new FinalizationRegistry(fn);',
        globalThis: 'globalThis.x = 1;',
        'node:fs': `import { readFileSync } from 'node:fs';`,
        'node:child_process': `await import('node:child_process');`,
        os: `import os from 'os';`,
      }).map(([name, code]) => ({
        planted: { 'src/data/block/a.ts': `const text = \`\${x}\`;\n${code}\n` },
        says: `${name.trim()} is banned here: use `,
      })),
      {
        planted: { 'src/host/node/a.ts': '// oxlint-disable-next-line no-console\n' },
        says: 'without `-- reason`',
      },
    ],
  },
  'file names': {
    rule: checkFileNames,
    passes: [{ 'src/lib/range-set.test.ts': '', 'test/fixtures/Any.ts': '', 'README.md': '' }],
    fails: [
      { planted: { 'src/lib/RangeSet.ts': '' }, says: 'not kebab-case' },
      { planted: { 'src/lib/range_set.ts': '' }, says: 'not kebab-case' },
      { planted: { 'src/dataPath/a.ts': '' }, says: 'not kebab-case' },
      ...['index', 'utils', 'helpers', 'common', 'types', 'manager', 'volume-manager'].map(
        (name) => ({ planted: { [`src/lib/${name}.ts`]: '' }, says: 'name the concept' }),
      ),
      { planted: { 'test/helpers/a.ts': '' }, says: 'name the concept' },
    ],
  },
  'error list': {
    rule: checkErrorList,
    passes: [{ 'src/api/errors.ts': CODES, 'docs/errors.md': errorsPage('a-b', 'c-d') }],
    fails: [
      {
        planted: { 'src/api/errors.ts': CODES, 'docs/errors.md': errorsPage('a-b') },
        says: 'c-d has 0 rows',
      },
      {
        planted: { 'src/api/errors.ts': CODES, 'docs/errors.md': errorsPage('a-b', 'c-d', 'e-f') },
        says: 'e-f is no error code',
      },
      {
        planted: { 'src/api/errors.ts': CODES, 'docs/errors.md': errorsPage('a-b', 'c-d', 'c-d') },
        says: 'c-d has 2 rows',
      },
      {
        planted: {
          'src/api/errors.ts': CODES,
          'docs/errors.md': errorsPage('a-b', 'c-d').replace('| c |', '| |'),
        },
        says: 'a-b lacks a cell',
      },
      { planted: { 'src/api/errors.ts': 'export {};\n' }, says: 'No ERROR_CODES table' },
    ],
  },
  'bad input': {
    rule: checkBadInput,
    passes: [{ 'docs/a.md': '' }, badInput()],
    fails: [
      {
        planted: badInput({ 'src/a.test.ts': `test('It is refused, mostly', () => {});\n` }),
        says: 'src/a.test.ts has no test "It is refused"',
      },
      {
        planted: badInput({ 'src/a.test.ts': `// test('It is refused')\n` }),
        says: 'src/a.test.ts has no test "It is refused"',
      },
      {
        planted: badInput({}, BAD_INPUT_ITEMS.slice(1)),
        says: `${BAD_INPUT_ITEMS[0]} has no test`,
      },
      { planted: badInput({}, [...BAD_INPUT_ITEMS, 'sizes: odd']), says: 'sizes: odd is no item' },
      { planted: { 'test/tidy.test.ts': '' }, says: 'The page is not there' },
    ],
  },
  'document titles': {
    rule: checkDocumentTitles,
    passes: [{ 'docs/a.md': '# A title\n' }],
    fails: [{ planted: { 'docs/format/a.md': 'No title\n' }, says: 'without a `# title`' }],
  },
  'document paths': {
    rule: checkDocumentPaths,
    passes: [
      {
        'README.md':
          '# H\n`default/demo` `npm start` `src/lib/` `lib/a.ts` `a.ts` `src/**/*.ts` `/proc/x`\n' +
          '```\n`src/gone.ts`\n```\n[file](src/lib/a.ts#x) [site](https://a.b/c.md) [here](#h)\n',
        'src/lib/a.ts': '',
      },
    ],
    fails: [
      { planted: { 'README.md': '# H\nSee `docs/gone.md`.\n' }, says: 'docs/gone.md' },
      { planted: { 'README.md': '# H\n[page](docs/gone.md#a)\n' }, says: 'docs/gone.md' },
      { planted: { 'ARCHITECTURE.md': '# A\n`data/gone`\n' }, says: 'data/gone' },
      { planted: { 'ARCHITECTURE.md': '# A\n`src/gone/`\n' }, says: 'src/gone/' },
      { planted: { 'CONTRIBUTING.md': '# C\n`gone.cjs`\n' }, says: 'gone.cjs' },
      { planted: { 'README.md': '# H\n`test/root/*.test.ts`\n' }, says: 'test/root' },
    ],
  },
  transcripts: {
    rule: checkTranscripts,
    passes: [
      { 'README.md': transcript('$ a\nsaid'), 'CONTRIBUTING.md': '# C\n\n    $ not a page\n' },
      { 'docs/operating/a.md': '# A\n\n    no command\n' },
      { 'docs/operating/a.md': '# A\n\n<!-- not run: needs a disk -->\n\n    $ a\n' },
      {
        'README.md': `${transcript('$ a')}\n<!-- file: b.yaml; of: t -->\n\`\`\`yaml\nb: 1\n\`\`\`\n`,
      },
    ],
    fails: [
      {
        planted: { 'README.md': '# H\n\n```console\n$ a\n```\n' },
        says: 'README.md:4: Commands without a mark',
      },
      {
        planted: { 'docs/operating/a.md': '# A\n\nProse\n\n    $ a\n' },
        says: 'docs/operating/a.md:5: Commands without a mark',
      },
      { planted: { 'README.md': '# H\n\n    bin/holdfast up\n' }, says: 'without a mark' },
      { planted: { 'README.md': '# H\n\n    npm start\n' }, says: 'without a mark' },
      {
        planted: { 'README.md': '# H\n\n<!-- not run: -->\n```\n$ a\n```\n' },
        says: 'The mark "not run" says nothing',
      },
      { planted: { 'README.md': transcript('said\n$ a') }, says: 'begins with "$ "' },
      { planted: { 'README.md': transcript('$ a', '; varies: words') }, says: '"words"' },
      { planted: { 'README.md': transcript('$ a', '; while: b') }, says: '"while" is no field' },
      { planted: { 'README.md': '# H\n\n<!-- transcript: a -->\nProse\n' }, says: 'No block' },
      {
        planted: { 'README.md': '# H\n\n<!-- file: b.yaml; of: t -->\n```\nb: 1\n```\n' },
        says: 'No transcript of this page is of "t"',
      },
    ],
  },
  'dead files': {
    rule: checkDeadFiles,
    passes: [
      {
        'package.json': '"src/cmd/a.ts"',
        'src/cmd/a.ts': `import './b.ts';\n`,
        'src/cmd/b.ts': '',
      },
      { 'src/lib/a.testkit.ts': '', 'src/lib/a.test.ts': `import './a.testkit.ts';\n` },
      {
        'src/lib/a.ts': `new URL('./b.ts', import.meta.url);\n`,
        'src/lib/b.ts': '',
        'test/root/a.test.ts': `import '../../src/lib/a.ts';\n`,
      },
    ],
    fails: [
      { planted: { 'src/lib/a.ts': '' }, says: 'delete it' },
      {
        planted: { 'src/lib/a.ts': '', 'src/lib/a.test.ts': `import './a.ts';\n` },
        says: 'delete it',
      },
    ],
  },
  'test tiers': {
    rule: checkTestTiers,
    passes: [{ 'src/lib/a.test.ts': '', 'test/a.test.ts': '', 'test/root/a.test.ts': '' }],
    fails: [{ planted: { 'test/later/a.test.ts': '' }, says: 'No tier' }],
  },
  columns: {
    rule: checkColumns,
    passes: [
      { 'src/lib/a.ts': `${'a '.repeat(50)}\n// ${'x'.repeat(120)}\n`, 'a.md': 'b '.repeat(99) },
      { 'src/lib/a.ts': `const message = '${'word '.repeat(30)}';\n` },
      { 'src/lib/a.ts': `const message = \`${'word '.repeat(30)}\`;\n` },
    ],
    fails: [
      { planted: { 'src/lib/a.ts': `\n${'a '.repeat(50)}b\n` }, says: '101 columns' },
      { planted: { 'src/lib/a.ts': ` * ${'word '.repeat(20)}end\n` }, says: '106 columns' },
      { planted: { 'src/lib/a.ts': `a(); // ${'word '.repeat(20)}end\n` }, says: '111 columns' },
      { planted: { 'src/lib/a.ts': `f('x', ${'word, '.repeat(16)}end);\n` }, says: '108 columns' },
    ],
  },
  reminders: {
    rule: checkReminders,
    passes: [{ 'src/lib/a.ts': `// ${REMINDER}(#12): grow\n` }],
    fails: [{ planted: { 'src/lib/a.ts': `// ${REMINDER}: grow\n` }, says: 'names its issue' }],
  },
  places: {
    rule: (tree) => checkPlaces(tree, machineHosts()),
    passes: [{ 'docs/a.md': '# A\nMounted at /mnt/data, see /dev/fuse.\n' }],
    fails: [
      { planted: { '.npmrc': `registry=https://${REGISTRY}/\n` }, says: 'package registry' },
      { planted: { 'docs/a.md': `# A\n${HOME}\n` }, says: 'path of one machine' },
      { planted: { 'package-lock.json': '{"resolved": ""}' }, says: 'resolved addresses' },
    ],
  },
};

for (const [name, { rule, passes, fails }] of Object.entries(RULES)) {
  test(`the repository keeps the rule on ${name}`, () => {
    const findings = rule(repository).map(formatFinding);
    assert.equal(findings.length, 0, `${findings.length} findings:\n${findings.join('\n')}`);
  });

  test(`the rule on ${name} finds what is planted and nothing else`, () => {
    for (const files of passes) assert.deepEqual(rule(treeOf(files)).map(formatFinding), []);
    for (const { planted, says } of fails) {
      const findings = rule(treeOf(planted)).map(formatFinding);
      assert.equal(
        findings.length,
        1,
        `${says}: ${findings.length} findings\n${findings.join('\n')}`,
      );
      assert.ok(findings[0]?.includes(says), `Expected "${says}" in: ${findings[0]}`);
    }
  });
}

test('the rule on places knows the registries of this machine', () => {
  const tree = treeOf({ 'docs/a.md': '# A\nhttps://mirror.example.test/npm\n' });
  assert.deepEqual(checkPlaces(tree), []);
  assert.equal(checkPlaces(tree, ['mirror.example.test']).length, 1);
});
