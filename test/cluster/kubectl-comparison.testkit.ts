/** Compares what the scripts printed with two servers. */
import { DIFFERENCES_MAX, type KubectlDifference } from './kubectl-differences.ts';
import type { ReplayFinding } from './replay.testkit.ts';

/** Transcripts by title. Empty when nothing differs but what is listed, and all that is listed. */
export function compareTranscripts(
  real: ReadonlyMap<string, string>,
  ours: ReadonlyMap<string, string>,
  listed: readonly KubectlDifference[],
): string[] {
  const findings: string[] = [];
  const known = new Set(listed.flatMap(({ commands }) => commands));
  if (listed.length > DIFFERENCES_MAX) {
    findings.push(`${listed.length} differences are listed: at most ${DIFFERENCES_MAX}`);
  }
  for (const [title, expected] of real) {
    const actual = ours.get(title) ?? 'The command did not run\n';
    if (actual !== expected && !known.has(title)) {
      findings.push(`${title}\n--- expected\n${expected}--- got\n${actual}`);
    }
    if (actual === expected && known.has(title)) {
      findings.push(`${title}\nno longer differs: take it out of kubectl-differences.ts`);
    }
  }
  for (const title of [...known, ...listed.flatMap(({ unseen = [] }) => unseen)]) {
    if (!real.has(title)) findings.push(`${title}\nis listed as different, and no command`);
  }
  return findings;
}

/** Of a replay: what differs is listed, and what is listed as unseen differs still. */
export function compareReplay(
  found: readonly ReplayFinding[],
  listed: readonly KubectlDifference[],
): string[] {
  const unseen = listed.flatMap((one) => one.unseen ?? []);
  const known = new Set([...unseen, ...listed.flatMap(({ commands }) => commands)]);
  const findings: string[] = [];
  for (const { titles, request, differences } of found) {
    if (titles.every((title) => known.has(title))) continue;
    findings.push(`${titles.join(', ')}\n${request}\n  ${differences.join('\n  ')}`);
  }
  const differing = new Set(found.flatMap(({ titles }) => titles));
  for (const title of unseen) {
    if (differing.has(title)) continue;
    findings.push(`${title}\nno longer differs: take it out of kubectl-differences.ts`);
  }
  return findings;
}
