/**
 * A source file that only its own unit test knows is dead: delete it with its test. And a test
 * that no tier runs is no test.
 */
import { entriesNamedBy, importsOfTree } from './import-graph.ts';
import { type Finding, isTestFile, type Tree } from './tree.ts';

export function checkDeadFiles(tree: Tree): Finding[] {
  const used = new Set<string>();
  for (const { from, target } of importsOfTree(tree)) {
    if (target === undefined || target === from) continue;
    const unitTest = from.startsWith('src/') && from.endsWith('.test.ts');
    if (!unitTest || target.endsWith('.testkit.ts')) used.add(target);
  }
  for (const [path, text] of tree) {
    if (path.endsWith('.ts')) for (const entry of entriesNamedBy(path, text)) used.add(entry);
  }
  const programs = tree.get('package.json') ?? '';
  /** Until the roles are wired the faces of folders have no user yet. */
  const wired = [...tree.keys()].some((path) => path.startsWith('src/cmd/'));
  const findings: Finding[] = [];
  for (const path of tree.keys()) {
    if (!path.startsWith('src/') || !path.endsWith('.ts') || path.endsWith('.test.ts')) continue;
    // The roles start each other by path.
    const isRole = /^src\/cmd\/[^/]+\.ts$/.test(path);
    if (used.has(path) || programs.includes(path) || isRole) continue;
    if (path.endsWith('/mod.ts') && (!wired || path === 'src/host/sim/mod.ts')) continue;
    findings.push({ path, message: 'Nothing but its own test imports this file: delete it' });
  }
  return findings;
}

const TIERS = /^(?:src\/.*|test|test\/(?:model|sim|crash|root|cluster))\/[^/]+\.test\.ts$/;

export function checkTestTiers(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const path of tree.keys()) {
    if (!path.endsWith('.test.ts') || TIERS.test(path)) continue;
    if (!isTestFile(path) || path.startsWith('console/')) continue;
    findings.push({ path, message: 'No tier of scripts/ok.ts runs this test' });
  }
  return findings;
}
