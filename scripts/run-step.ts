/** Runs one command of a check to its end, with its whole process group under control. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

export interface StepOutcome {
  readonly ok: boolean;
  readonly output: string;
  readonly elapsedMs: number;
}

const LEFTOVER_GRACE_MS = 2_000;
const running = new Set<number>();

/** On a signal the groups die with us: they are sessions of their own, out of Ctrl-C's reach. */
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    for (const pid of running) killGroup(pid);
    process.exit(1);
  });
}

/** Fails also when the command outlives `timeoutMs` or leaves a process of its group behind. */
export async function runStep(
  args: readonly string[],
  options: { readonly cwd: string; readonly timeoutMs: number },
): Promise<StepOutcome> {
  const startedMs = performance.now();
  const child = spawn(process.execPath, args, {
    cwd: options.cwd,
    detached: true,
    // Or node:test would take a run started from within a test for one of its own files.
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const pid = child.pid ?? 0;
  running.add(pid);
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
  let problem = '';
  const timer = setTimeout(() => {
    problem = `Stopped after ${options.timeoutMs / 1000} s, while these ran:\n${listGroup(pid)}`;
    killGroup(pid);
  }, options.timeoutMs);
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.on('error', reject);
  // Not 'close': a process left behind may hold the pipe open for ever.
  child.on('exit', (code) => resolve(code));
  const code = await promise;
  clearTimeout(timer);
  if (problem === '' && !(await hasGroupEnded(pid))) {
    problem = `Left processes behind:\n${listGroup(pid)}`;
  }
  killGroup(pid);
  running.delete(pid);
  await new Promise((done) => setImmediate(done));
  const output = Buffer.concat(chunks).toString() + problem;
  return { ok: code === 0 && problem === '', output, elapsedMs: performance.now() - startedMs };
}

async function hasGroupEnded(pid: number): Promise<boolean> {
  for (let waitedMs = 0; waitedMs <= LEFTOVER_GRACE_MS; waitedMs += 50) {
    if (listGroup(pid) === '') return true;
    await new Promise((done) => setTimeout(done, 50));
  }
  return false;
}

/** One line for each living process of the group; zombies wait for init and do not count. */
function listGroup(group: number): string {
  const lines: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (Number(fields[2]) !== group || fields[0] === 'Z') continue;
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      lines.push(`  ${pid} ${command}\n`);
    } catch {
      // It ended between the listing and the look.
    }
  }
  return lines.join('');
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // The group is gone already.
  }
}
