/** doctor: what this machine can do, what is missing, how to get it. */
import { HoldfastError } from '#api/mod.ts';
import type { Host } from '#host/mod.ts';
import { chooseClusterPath } from './cluster-directory.ts';
import type { ClusterOption } from './cluster-client.ts';
import type { Colors } from './colors.ts';
import type { CliContext } from './context.ts';
import { EXIT_NOT_WELL, EXIT_OK } from './exit-codes.ts';
import { printReport } from './print-objects.ts';

export interface Finding {
  readonly name: string;
  readonly isWell: boolean;
  /** Needed for anything at all; the others only for mounting. */
  readonly isNeeded: boolean;
  readonly fact: string;
  readonly remedy: string;
}

export interface DoctorOptions extends ClusterOption {
  readonly output?: string | undefined;
}

const PROBE_BYTES = 1024 * 1024;

export async function runDoctor(context: CliContext, options: DoctorOptions): Promise<number> {
  const directory = chooseClusterPath(options.cluster, context.env, context.cwd);
  const findings = await examine(context, directory);
  printReport(context, options.output, { findings }, () => [
    ...findings.flatMap((finding) => formatFinding(context.colors, finding)),
    '',
    summarise(findings),
  ]);
  return findings.every((finding) => finding.isWell || !finding.isNeeded) ? EXIT_OK : EXIT_NOT_WELL;
}

function formatFinding(colors: Colors, finding: Finding): string[] {
  const mark = finding.isWell
    ? colors.green('ok     ')
    : finding.isNeeded
      ? colors.red('MISSING')
      : colors.yellow('missing');
  const line = `${mark}  ${finding.name.padEnd(12)}  ${finding.fact}`;
  return finding.isWell ? [line] : [line, `${' '.repeat(23)}get it: ${finding.remedy}`];
}

function summarise(findings: readonly Finding[]): string {
  if (findings.some((finding) => finding.isNeeded && !finding.isWell)) {
    return 'Volumes cannot be served here yet.';
  }
  const lacking = findings.filter((finding) => !finding.isWell).map((finding) => finding.name);
  return lacking.length === 0
    ? 'Volumes can be served over NBD and mounted.'
    : `Volumes can be served over NBD. Mounting needs: ${lacking.join(', ')}.`;
}

export async function examine(context: CliContext, directory: string): Promise<Finding[]> {
  const { host } = context;
  const parent = await existingParent(host, directory);
  return [
    {
      name: 'node',
      isWell: Number(context.nodeVersion.replace(/^v/, '').split('.')[0]) >= 24,
      isNeeded: true,
      fact: `Node ${context.nodeVersion}`,
      remedy: 'start through bin/holdfast or npm start: they bring the pinned Node',
    },
    await examineSparse(host, parent),
    {
      name: 'root',
      isWell: context.userId === 0,
      isNeeded: false,
      fact: context.userId === 0 ? 'running as root' : `running as user ${context.userId}`,
      remedy: 'run with sudo: mounting is for root',
    },
    await examineFile(
      host,
      '/dev/fuse',
      'fuse',
      'modprobe fuse; in a container, pass --device /dev/fuse and SYS_ADMIN',
    ),
    await examineFile(
      host,
      '/dev/loop-control',
      'loop',
      'modprobe loop; in a container, run it privileged',
    ),
    await examineKernel(host),
    await examineProgram(host, 'mkfs.ext4', ['-V'], 'apt-get install e2fsprogs'),
    await examineProgram(
      host,
      'mkfs.xfs',
      ['-V'],
      'apt-get install xfsprogs (only for fstype xfs)',
    ),
    await examineProgram(host, 'mount', ['--version'], 'apt-get install mount'),
    await examineProgram(host, 'losetup', ['--version'], 'apt-get install mount'),
  ];
}

async function existingParent(host: Host, directory: string): Promise<string> {
  let at = directory;
  while (at !== '/' && (await host.disk.stat(at)) === undefined) {
    at = at.slice(0, at.lastIndexOf('/')) || '/';
  }
  return at;
}

async function examineFile(
  host: Host,
  path: string,
  name: string,
  remedy: string,
): Promise<Finding> {
  const stat = await host.disk.stat(path).catch(() => undefined);
  const fact = stat === undefined ? `${path} is absent` : path;
  return { name, isWell: stat !== undefined, isNeeded: false, fact, remedy };
}

/** Before 6.9 FUSE cannot send again what a dead engine had taken (docs/design/0008-fuse.md). */
async function examineKernel(host: Host): Promise<Finding> {
  const { stdout } = await host.exec.run(['uname', '-r'], { timeoutMs: 5_000 });
  const [major = 0, minor = 0] = stdout.split('.').map(Number);
  return {
    name: 'kernel 6.9',
    isWell: major > 6 || (major === 6 && minor >= 9),
    isNeeded: false,
    fact: `Linux ${stdout.trim()}`,
    remedy: 'use Linux 6.9 or newer: before, what is in flight hangs when an engine dies',
  };
}

async function examineProgram(
  host: Host,
  name: string,
  args: readonly string[],
  remedy: string,
): Promise<Finding> {
  try {
    const result = await host.exec.run([name, ...args], { timeoutMs: 5_000 });
    const version = `${result.stdout}${result.stderr}`.trim().split('\n')[0] ?? '';
    return {
      name,
      isWell: true,
      isNeeded: false,
      fact: version === '' ? 'present' : version,
      remedy,
    };
  } catch (error) {
    if (!HoldfastError.is(error)) throw error;
    return { name, isWell: false, isNeeded: false, fact: `not there (${error.code})`, remedy };
  }
}

/** Writes behind a hole of one MiB and looks how much the filesystem took for it. */
async function examineSparse(host: Host, directory: string): Promise<Finding> {
  const path = `${directory}/.holdfast-doctor`;
  const base = { name: 'sparse files', isNeeded: true } as const;
  const remedy = 'put the cluster on ext4, xfs, btrfs or another filesystem with holes';
  try {
    await host.disk.remove(path);
    const file = await host.disk.open(path, { write: true, create: 'new' });
    try {
      await file.write(PROBE_BYTES, new Uint8Array(4096).fill(1));
      await file.flush();
      const { allocatedBytes } = await file.stat();
      const { filesystem, freeBytes } = await host.disk.space(directory);
      const fact = `${filesystem} in ${directory}, ${Math.floor(freeBytes / 2 ** 20)} MiB free`;
      return { ...base, isWell: allocatedBytes < PROBE_BYTES, fact, remedy };
    } finally {
      await file.close();
      await host.disk.remove(path);
    }
  } catch (error) {
    if (!HoldfastError.is(error)) throw error;
    const fact = `${directory} cannot be written: ${error.code}: ${error.message}`;
    return { ...base, isWell: false, fact, remedy: 'choose a directory that you may write' };
  }
}
