/** A file is named, in kebab-case, for what it holds. */
import type { Finding, Tree } from './tree.ts';

const EMPTY_NAMES = new Set([
  'index',
  'util',
  'utils',
  'helper',
  'helpers',
  'common',
  'misc',
  'type',
  'types',
  'manager',
]);
const KEBAB = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;
const CODE = /^(?:src|test|scripts)\/.*\.(?:ts|cjs)$/;

export function checkFileNames(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const path of tree.keys()) {
    if (!CODE.test(path) || /\/(?:fixtures|testdata)\//.test(path)) continue;
    const parts = path.split('/').slice(1);
    const file = (parts.pop() ?? '').replace(/(?:\.test|\.testkit|\.worker)?\.(?:ts|cjs)$/, '');
    for (const name of [...parts, file]) {
      if (!KEBAB.test(name)) {
        findings.push({ path, message: `${name} is not kebab-case` });
      } else if (name.split('-').some((word) => word === 'manager') || EMPTY_NAMES.has(name)) {
        findings.push({ path, message: `${name} says nothing: name the concept instead` });
      }
    }
  }
  return findings;
}
