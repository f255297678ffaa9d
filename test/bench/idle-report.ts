/** What mounted volumes may cost at rest, and the figures for people. */
import type { IdleFigures } from './idle.ts';

export interface IdleVerdict {
  readonly what: string;
  readonly limit: number;
  readonly measured: number;
  readonly met: boolean;
}

export const CPU_PERCENT_MAX = 0.5;
export const PSS_MIB_MAX = 800;

export function judgeIdle({ cpuPercent, pssMib }: IdleFigures): IdleVerdict[] {
  return [
    {
      what: 'percent of a core',
      limit: CPU_PERCENT_MAX,
      measured: cpuPercent,
      met: cpuPercent < CPU_PERCENT_MAX,
    },
    {
      what: 'MiB of memory (PSS)',
      limit: PSS_MIB_MAX,
      measured: pssMib,
      met: pssMib <= PSS_MIB_MAX,
    },
  ];
}

export function printableIdle(figures: IdleFigures, verdicts: readonly IdleVerdict[]): string {
  const lines = ['role        processes   % of a core   MiB'];
  for (const role of new Set(figures.processes.map((cost) => cost.role))) {
    const own = figures.processes.filter((cost) => cost.role === role);
    const cpu = own.reduce((sum, { cpuPercent }) => sum + cpuPercent, 0).toFixed(2);
    const pss = own.reduce((sum, { pssMib }) => sum + pssMib, 0).toFixed(0);
    lines.push(
      `${role.padEnd(12)}${String(own.length).padStart(9)}${cpu.padStart(14)}${pss.padStart(6)}`,
    );
  }
  lines.push('');
  for (const { what, limit, measured, met } of verdicts) {
    lines.push(`${met ? 'ok  ' : 'MISS'}  at most ${limit} ${what}: ${measured.toFixed(2)}`);
  }
  return lines.join('\n');
}
