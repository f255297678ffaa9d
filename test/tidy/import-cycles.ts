/**
 * No file depends on itself at run time, through however many others. Type-only imports are
 * erased and do not count: a layer may take the interface it implements from its folder's mod.ts.
 */
import { type Import, importsOfTree } from './import-graph.ts';
import type { Finding, Tree } from './tree.ts';

export function checkImportCycles(tree: Tree): Finding[] {
  const edges = new Map<string, Import[]>();
  for (const one of importsOfTree(tree)) {
    if (one.typeOnly || one.target === undefined || !tree.has(one.target)) continue;
    const list = edges.get(one.from) ?? [];
    list.push(one);
    edges.set(one.from, list);
  }
  const findings: Finding[] = [];
  const finished = new Set<string>();
  const trail: string[] = [];
  const visit = (path: string): void => {
    trail.push(path);
    for (const one of edges.get(path) ?? []) {
      const target = one.target ?? '';
      const start = trail.indexOf(target);
      if (start !== -1) {
        const cycle = [...trail.slice(start), target].join(' -> ');
        findings.push({ path, line: one.line, message: `Import cycle: ${cycle}` });
      } else if (!finished.has(target)) visit(target);
    }
    trail.pop();
    finished.add(path);
  };
  for (const path of edges.keys()) if (!finished.has(path)) visit(path);
  return findings;
}
