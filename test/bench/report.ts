/** The bench's figures for people. */
import {
  type Cell,
  type ContenderName,
  CONTENDERS,
  type Verdict,
  type WorkloadName,
  WORKLOADS,
} from './figures.ts';

export interface Circumstances {
  readonly commit: string;
  readonly when: string;
  readonly machine: string;
  readonly filesystem: string;
  readonly sizeBytes: number;
  readonly runMs: number;
  readonly rounds: number;
}

const COLUMN = 27;
const FIRST_COLUMN = 19;

export function printable(
  circumstances: Circumstances,
  cells: readonly Cell[],
  verdicts: readonly Verdict[],
): string {
  const { commit, when, machine, filesystem, sizeBytes, runMs, rounds } = circumstances;
  const measured = CONTENDERS.filter((name) => cells.some(({ contender }) => contender === name));
  const lines = [
    `commit ${commit}, ${when}`,
    machine,
    `${filesystem}; ${sizeBytes / 2 ** 20} MiB, fully written; fio over NBD on a unix socket`,
    `requests per second, median of ${rounds} runs of ${runMs} ms, ± half the spread, ` +
      'ratio to nbdkit-file',
    '',
    ''.padEnd(FIRST_COLUMN) + measured.map((name) => name.padStart(COLUMN)).join(''),
  ];
  for (const workload of Object.keys(WORKLOADS) as WorkloadName[]) {
    const row = measured.map((name) => cellText(cells, name, workload).padStart(COLUMN));
    lines.push(workload.padEnd(FIRST_COLUMN) + row.join(''));
  }
  lines.push('');
  for (const verdict of verdicts) lines.push(verdictText(verdict));
  return lines.join('\n');
}

function cellText(
  cells: readonly Cell[],
  contender: ContenderName,
  workload: WorkloadName,
): string {
  const cell = cells.find((each) => each.contender === contender && each.workload === workload);
  if (cell === undefined) return '-';
  const iops = Math.round(cell.medianIops).toLocaleString('en-US');
  const half = Math.round(cell.spread * 50);
  return `${iops} ±${half}%  ${ratioText(cell.toNbdkit)}`;
}

function verdictText(verdict: Verdict): string {
  const { contender, workload, against, ratio, measured, met } = verdict;
  const mark = met ? 'ok  ' : 'MISS';
  return `${mark}  ${contender} ≥ ${ratio} × ${against} at ${workload}: ${ratioText(measured)}`;
}

function ratioText(ratio: number): string {
  return Number.isNaN(ratio) ? '-' : ratio.toFixed(2);
}
