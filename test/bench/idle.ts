/**
 * What volumes cost that nobody uses: processor time and memory of every process of a cluster, with
 * so many three-replica volumes attached and mounted on it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { RealCluster } from '../root/real-cluster.testkit.ts';

export interface IdleOptions {
  readonly volumes: number;
  readonly seconds: number;
  /** Until what starting left behind is done: journals, threads that end when idle. */
  readonly settleSeconds: number;
}

export interface ProcessCost {
  /** controller, node, engine, up or holder. */
  readonly role: string;
  /** Of one core. */
  readonly cpuPercent: number;
  readonly pssMib: number;
}

export interface IdleFigures {
  readonly cpuPercent: number;
  readonly pssMib: number;
  readonly processes: readonly ProcessCost[];
}

/** As the kernel counts them for user space, on every machine that Node runs on. */
const TICKS_PER_SECOND = 100;

/** Makes a cluster with mounted volumes, measures, and takes all away again. */
export async function measureIdle(options: IdleOptions): Promise<IdleFigures> {
  const { volumes, seconds, settleSeconds } = options;
  const cluster = await RealCluster.start('idle');
  try {
    for (let index = 0; index < volumes; index += 1) {
      await cluster.claim(`idle-${index}`, '64Mi');
      await cluster.mount(`idle-${index}`);
    }
    await pause(settleSeconds * 1000);
    return await measureProcesses(processesOf(cluster.directory), seconds);
  } finally {
    await cluster.stop();
  }
}

async function measureProcesses(
  processes: ReadonlyMap<number, string>,
  seconds: number,
): Promise<IdleFigures> {
  const before = new Map([...processes.keys()].map((pid) => [pid, ticksOf(pid)]));
  const startMs = performance.now();
  await pause(seconds * 1000);
  const lastedSeconds = (performance.now() - startMs) / 1000;
  const costs = [...processes].map(([pid, role]) => {
    const ticks = ticksOf(pid) - (before.get(pid) ?? 0);
    const cpuPercent = (ticks / TICKS_PER_SECOND / lastedSeconds) * 100;
    return { role, cpuPercent, pssMib: pssOf(pid) };
  });
  const sum = (of: (cost: ProcessCost) => number): number =>
    costs.reduce((total, cost) => total + of(cost), 0);
  return {
    cpuPercent: sum((cost) => cost.cpuPercent),
    pssMib: sum((cost) => cost.pssMib),
    processes: costs,
  };
}

/** Roles name the cluster's directory; a holder is named by the state of its mount. */
function processesOf(directory: string): Map<number, string> {
  const found = new Map<number, string>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const args = readOrEmpty(`/proc/${name}/cmdline`).split('\0');
    const role = args.findIndex((arg) => arg.endsWith('/holdfast.ts')) + 1;
    if (role > 0 && args.includes(directory)) found.set(Number(name), args[role] ?? '');
  }
  // Only here: volumes are staged beside, and to look into one is to use it.
  for (const node of readdirSync(`${directory}/nodes`)) {
    for (const file of readdirSync(`${directory}/nodes/${node}/engine`)) {
      if (!file.endsWith('.fuse.json')) continue;
      const text = readFileSync(`${directory}/nodes/${node}/engine/${file}`, 'utf8');
      found.set((JSON.parse(text) as { readonly holderPid: number }).holderPid, 'holder');
    }
  }
  return found;
}

function ticksOf(pid: number): number {
  const text = readOrEmpty(`/proc/${pid}/stat`);
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
}

function pssOf(pid: number): number {
  const kib = /^Pss:\s+(\d+) kB/m.exec(readOrEmpty(`/proc/${pid}/smaps_rollup`))?.[1];
  return Number(kib ?? 0) / 1024;
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
