/** Compares what the scripts printed with two servers. */
import { DIFFERENCES_MAX, type KubectlDifference } from './kubectl-differences.ts';

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
  for (const title of known) {
    if (!real.has(title)) findings.push(`${title}\nis listed as different, and no command`);
  }
  return findings;
}
