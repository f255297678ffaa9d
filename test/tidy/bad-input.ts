/** Every item of the list of bad input has a test that names it, and every title is a test's. */
import type { Finding, Tree } from './tree.ts';

export const BAD_INPUT_PAGE = 'docs/design/bad-input.md';

/** "Bad input gets a clear error and loses nothing", item by item. */
export const BAD_INPUT_ITEMS = [
  'unknown fields in objects',
  'wrong types in objects',
  'sizes: zero',
  'sizes: negative',
  'sizes: not a multiple of the sector',
  'sizes: above 2^53',
  'two claims of one name',
  'more replicas than nodes',
  'pool directory: missing',
  'pool directory: read-only',
  'pool directory: full',
  'pool directory: on a filesystem without holes',
  "pool directory: another cluster's pool",
  'store of a newer format',
  'truncated metadata file',
  'bit-flipped metadata file',
  'NBD garbage',
  'NBD oversized lengths',
  'NBD unknown export',
  'NBD wrong magic',
  'peer frames: bad checksum',
  'peer frames: unknown volume',
  'peer frames: old epoch',
  'ports and sockets in use',
  'a second up on the same directory',
  'a disk that fills during a write',
  'deleting a mounted volume',
  'names and ids before any path',
  'names of 254 characters',
  'sizes: less than before',
  'changes of what is fixed',
  'unknown options and values',
  'a volume at a full pool',
  'API: names of 254 characters',
  'API: a path in a name',
  'API: malformed patches',
  'API: objects of 1.5 MiB',
  'API: 10,000 watches',
  'API: a token that is missing or wrong',
  'API: a status written by a stranger',
  'API: changes of fixed fields',
  'API: two writers',
  'API: growth that the class does not allow',
  'API database: locked',
  'API database: corrupt',
  'API database: of a newer version',
] as const;

export function checkBadInput(tree: Tree): Finding[] {
  const page = tree.get(BAD_INPUT_PAGE);
  if (page === undefined) {
    const isRepository = tree.has('test/tidy.test.ts');
    return isRepository ? [{ path: BAD_INPUT_PAGE, message: 'The page is not there' }] : [];
  }
  const findings: Finding[] = [];
  const found = new Set<string>();
  page.split('\n').forEach((text, index) => {
    const row = /^\| (.+?) \| `(.+?)` \| (.+?) \|$/.exec(text);
    if (row === null) return;
    const [, item = '', path = '', title = ''] = row;
    const say = (message: string): void => {
      findings.push({ path: BAD_INPUT_PAGE, line: index + 1, message });
    };
    found.add(item);
    if (!(BAD_INPUT_ITEMS as readonly string[]).includes(item)) say(`${item} is no item`);
    if (!hasTest(tree.get(path) ?? '', title)) say(`${path} has no test "${title}"`);
  });
  for (const item of BAD_INPUT_ITEMS) {
    if (!found.has(item)) findings.push({ path: BAD_INPUT_PAGE, message: `${item} has no test` });
  }
  return findings;
}

/** Called with this very title, not only mentioned: in a comment it tests nothing. */
function hasTest(source: string, title: string): boolean {
  const quoted = title.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  return new RegExp(`^\\s*(?:test|scene)\\(\\s*(['"\`])${quoted}\\1`, 'm').test(source);
}
