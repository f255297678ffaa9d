/** Documents begin with a title, and the paths they name exist. */
import type { Finding, Tree } from './tree.ts';

export function checkDocumentTitles(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const [path, text] of tree) {
    if (!path.endsWith('.md') || /\/(?:fixtures|testdata)\//.test(path)) continue;
    if (!/^# \S/.test(text))
      findings.push({ path, line: 1, message: 'Begins without a `# title`' });
  }
  return findings;
}

const PAGES = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md'];
const TOP_LEVEL = /^(?:src|test|docs|scripts|deploy|console|bin|\.ci)(?:\/|$)/;
const IN_SOURCE = /^(?:lib|host|api|rpc|data|control|cli|cmd)(?:\/|$)/;
const FILE = /^[\w./*-]+\.(?:ts|md|json|cjs|sh|yaml|yml)$/;

/** Every path, in backticks or a link, outside fenced blocks, that the pages above name. */
export function checkDocumentPaths(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  const known = withFolders(tree);
  for (const page of PAGES) {
    const text = tree.get(page);
    if (text === undefined) continue;
    const prose = text.replaceAll(/^```.*?^```/gms, (block) => block.replaceAll(/[^\n]/g, ' '));
    prose.split('\n').forEach((line, index) => {
      for (const match of line.matchAll(/`([^`]+)`/g)) {
        const named = match[1] ?? '';
        const candidates = placesOf(named);
        if (candidates.length === 0 || candidates.some((place) => exists(known, place))) continue;
        findings.push({ path: page, line: index + 1, message: `${named} does not exist` });
      }
      for (const match of line.matchAll(/\]\(([^)\s#]+)/g)) {
        const linked = match[1] ?? '';
        const place = linked.replace(/^\.\//, '').replace(/\/$/, '');
        if (/^[a-z]+:/.test(linked) || known.includes(place)) continue;
        findings.push({ path: page, line: index + 1, message: `${linked} does not exist` });
      }
    });
  }
  return findings;
}

/** Where a word in backticks would be if it is a path; empty when it does not look like one. */
function placesOf(named: string): string[] {
  if (/[\s<>(){}$=:,~]/.test(named) || named.startsWith('/') || named.includes('NNNN')) return [];
  const path = named.replace(/^#/, 'src/').replace(/^\.\//, '').replace(/\/$/, '');
  if (TOP_LEVEL.test(path)) return [path];
  if (named.includes('/') && IN_SOURCE.test(path)) return [`src/${path}`];
  if (!FILE.test(path)) return [];
  return path.includes('/') ? [path, `src/${path}`, `**/${path}`] : [path, `**/${path}`];
}

function exists(known: readonly string[], place: string): boolean {
  if (!place.includes('*')) return known.includes(place);
  const source = place
    .replaceAll(/[.+^$()|[\]\\]/g, String.raw`\$&`)
    .replaceAll('**/', '\0')
    .replaceAll('*', '[^/]*')
    .replaceAll('\0', '(?:.*/)?');
  const pattern = new RegExp(`^${source}$`);
  return known.some((path) => pattern.test(path));
}

function withFolders(tree: Tree): string[] {
  const known = new Set<string>();
  for (const path of tree.keys()) {
    for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) {
      known.add(path.slice(0, at));
    }
    known.add(path);
  }
  return [...known];
}
