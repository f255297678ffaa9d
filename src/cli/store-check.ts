/**
 * `holdfast store check`: reads a pool or a replica by docs/format/store.md alone, with no code of
 * the store that wrote it, and writes nothing. A mistake that the store makes both ways is seen
 * here.
 */
import { type ErrorCode, HoldfastError } from '#api/mod.ts';
import type { Disk } from '#host/mod.ts';
import { resolve } from 'node:path/posix';
import type { Finding } from './store-check/findings.ts';
import { formatComparison, formatReport } from './store-check/report-text.ts';
import {
  checkStore,
  type ComparisonReport,
  compareReplicas,
  type StoreReport,
} from './store-check/store-report.ts';

const USAGE = 'DIR [--quick] [--digest] [--live] [-o json], or: compare DIR DIR [--live] [-o json]';

export interface StoreCheckArgs {
  /** A directory, or `compare` and two of them. */
  readonly words: readonly string[];
  readonly quick?: boolean;
  readonly digest?: boolean;
  readonly live?: boolean;
  readonly output?: string;
  readonly disk: Disk;
  readonly cwd: string;
  readonly onLine: (text: string) => void;
}

/**
 * The exit code, as in docs/errors.md: 0 nothing is wrong, 7 something is open elsewhere and was
 * not checked or was seen in motion, 8 corruption, damage or (compare) different contents. Throws
 * `invalid-argument` (2), `not-found` (3), and for compare `store-locked` (4) and `store-corrupt`
 * (8).
 */
export async function runStoreCheck(args: StoreCheckArgs): Promise<number> {
  const { disk, onLine } = args;
  const { words, quick = false, digest = false, live = false } = args;
  const json = args.output === 'json';
  const print = (report: StoreReport | ComparisonReport, lines: string[]): void => {
    if (json) onLine(JSON.stringify(report, null, 2));
    else for (const line of lines) onLine(line);
  };
  const [first, second, third] = words;
  if (first === 'compare' && second !== undefined && third !== undefined && words.length === 3) {
    if (quick || digest) throw usage(words);
    const paths = [resolve(args.cwd, second), resolve(args.cwd, third)] as const;
    const report = await compareReplicas({ disk, live }, ...paths);
    print(report, formatComparison(report));
    return report.equal && !isWrong([...report.leftFindings, ...report.rightFindings]) ? 0 : 8;
  }
  if (first === undefined || words.length !== 1 || (quick && digest)) throw usage(words);
  const options = { disk, directory: resolve(args.cwd, first), quick, digest, live };
  const report = await checkStore(options);
  print(report, formatReport(report));
  return exitCodeOf(report);
}

function exitCodeOf({ pool, replicas }: StoreReport): number {
  const verdicts = new Set(replicas.map((replica) => replica.verdict));
  if (isWrong(pool?.findings ?? []) || verdicts.has('corrupt') || verdicts.has('damaged')) return 8;
  return verdicts.has('unknown') ? 7 : 0;
}

function isWrong(findings: readonly Finding[]): boolean {
  return findings.some((finding) => finding.severity !== 'note');
}

function usage(words: readonly string[]): HoldfastError {
  const code: ErrorCode = 'invalid-argument';
  const details = { field: 'store check', value: words.join(' '), remedy: `Usage: ${USAGE}` };
  return new HoldfastError(code, 'Arguments do not fit', { details });
}
