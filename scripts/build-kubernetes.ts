/**
 * Builds the Kubernetes programs that tests talk to, from the Go modules of tools/kubernetes.
 *
 *   npm run kubernetes [-- PROGRAM...]   builds what is missing, prints where each program is
 *
 * They are kept outside the checkout, in `$HOLDFAST_KUBERNETES`, or else
 * `${XDG_CACHE_HOME:-~/.cache}/holdfast/kubernetes`, in a folder named for everything that went
 * into them. A program appears there by rename, so a build that was interrupted is never taken
 * for a whole one, and two builds at once do no harm.
 */
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const exec = promisify(execFile);

const MODULE = join(import.meta.dirname, '..', 'tools', 'kubernetes');
const SNAPSHOT_CLIENT = 'github.com/kubernetes-csi/external-snapshotter/client/v8';
const SNAPSHOT_CRDS = 'snapshot-crds';
const VERSION = 'k8s.io/component-base/version';

interface Program {
  /** The main package. */
  readonly from: string;
  /** Module whose version the program reports. */
  readonly module: string;
  readonly reports: 'kubernetes' | 'sidecar' | 'nothing';
}

function kubernetes(name: string): Program {
  const module = 'k8s.io/kubernetes';
  return { from: `${module}/cmd/${name}`, module, reports: 'kubernetes' };
}

function sidecar(module: string, name: string): Program {
  return { from: `${module}/cmd/${name}`, module, reports: 'sidecar' };
}

const CSI = 'github.com/kubernetes-csi';
const ETCD = 'go.etcd.io/etcd/server/v3';

const PROGRAMS = {
  kubectl: kubernetes('kubectl'),
  etcd: { from: ETCD, module: ETCD, reports: 'nothing' },
  'kube-apiserver': kubernetes('kube-apiserver'),
  'csi-sanity': {
    from: `${CSI}/csi-test/v5/cmd/csi-sanity`,
    module: `${CSI}/csi-test/v5`,
    reports: 'nothing',
  },
  'kube-controller-manager': kubernetes('kube-controller-manager'),
  'kube-scheduler': kubernetes('kube-scheduler'),
  kubelet: kubernetes('kubelet'),
  'csi-provisioner': sidecar(`${CSI}/external-provisioner/v6`, 'csi-provisioner'),
  'csi-attacher': sidecar(`${CSI}/external-attacher/v4`, 'csi-attacher'),
  'csi-resizer': sidecar(`${CSI}/external-resizer/v2`, 'csi-resizer'),
  'csi-snapshotter': sidecar(`${CSI}/external-snapshotter/v8`, 'csi-snapshotter'),
  'snapshot-controller': sidecar(`${CSI}/external-snapshotter/v8`, 'snapshot-controller'),
} as const satisfies Record<string, Program>;

export type ProgramName = keyof typeof PROGRAMS;

/** What tests of the API server need. */
const BASIC: readonly ProgramName[] = ['kubectl', 'etcd', 'kube-apiserver', 'csi-sanity'];

export interface KubernetesCache {
  readonly directory: string;
  /** Absolute, whether it is there yet or not. */
  path(name: ProgramName): string;
  /** The CRDs of VolumeSnapshot and its kin; there once anything was built. */
  readonly snapshotCrds: string;
}

/** The version that a program's module is pinned to, with its `v`. */
export function pinnedVersion(module: string): string {
  const text = readFileSync(join(MODULE, 'go.mod'), 'utf8');
  const line = text.split('\n').find((one) => one.trim().startsWith(`${module} v`));
  const version = line?.trim().split(/\s+/)[1];
  if (version === undefined) throw new Error(`tools/kubernetes/go.mod does not pin ${module}`);
  return version;
}

export function kubernetesCache(environment: NodeJS.ProcessEnv = process.env): KubernetesCache {
  const key = createHash('sha256');
  for (const name of ['go.mod', 'go.sum']) key.update(readFileSync(join(MODULE, name)));
  key.update(JSON.stringify(PROGRAMS));
  const version = pinnedVersion('k8s.io/kubernetes').slice(1);
  const caches = environment['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  const parent = environment['HOLDFAST_KUBERNETES'] || join(caches, 'holdfast', 'kubernetes');
  const name = `${version}-${process.arch}-${key.digest('hex').slice(0, 12)}`;
  const directory = join(parent, name);
  return {
    directory,
    path: (program) => join(directory, program),
    snapshotCrds: join(directory, SNAPSHOT_CRDS),
  };
}

/**
 * Why the programs cannot be had here, in words for a skipped test; undefined when they are built,
 * or can be.
 */
export async function whyNoKubernetes(
  names: readonly ProgramName[] = BASIC,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<string | undefined> {
  const missing = missingOf(kubernetesCache(environment), names);
  if (missing.length === 0) return undefined;
  try {
    await exec('go', ['version'], { env: environment });
    return undefined;
  } catch {
    return (
      `${missing.join(', ')} not built, and there is no Go to build with: install Go 1.26 or ` +
      'newer (https://go.dev/dl), put its bin folder on PATH, and run: npm run kubernetes'
    );
  }
}

/** Builds what is missing of `names`, in their order, and the snapshot CRDs. */
export async function ensureKubernetes(
  names: readonly ProgramName[] = BASIC,
  environment: NodeJS.ProcessEnv = process.env,
  say: (line: string) => void = (line) => console.error(line),
): Promise<KubernetesCache> {
  const cache = kubernetesCache(environment);
  const why = await whyNoKubernetes(names, environment);
  if (why !== undefined) throw new Error(why);
  await mkdir(cache.directory, { recursive: true });
  const missing = missingOf(cache, names);
  for (const name of missing) {
    const startedMs = performance.now();
    say(`building ${name} ${pinnedVersion(PROGRAMS[name].module)}`);
    await build(cache, name, environment);
    say(`built ${name} in ${Math.round((performance.now() - startedMs) / 1000)} s`);
  }
  if (!existsSync(cache.snapshotCrds)) await copySnapshotCrds(cache, environment);
  return cache;
}

function missingOf(cache: KubernetesCache, names: readonly ProgramName[]): ProgramName[] {
  return names.filter((name) => !existsSync(cache.path(name)));
}

function linkFlags({ module, reports }: Program): string {
  const version = pinnedVersion(module);
  const flags = ['-s', '-w'];
  if (reports === 'sidecar') flags.push(`-X main.version=${version}`);
  if (reports === 'kubernetes') {
    const [major, minor] = version.slice(1).split('.');
    flags.push(`-X ${VERSION}.gitVersion=${version}`);
    flags.push(`-X ${VERSION}.gitMajor=${major}`, `-X ${VERSION}.gitMinor=${minor}`);
  }
  return flags.join(' ');
}

async function build(
  cache: KubernetesCache,
  name: ProgramName,
  environment: NodeJS.ProcessEnv,
): Promise<void> {
  const program = PROGRAMS[name];
  const work = await mkdtemp(join(cache.directory, '.new-'));
  try {
    const flags = ['-mod=readonly', '-trimpath', '-ldflags', linkFlags(program)];
    const output = join(work, name);
    const env = { ...environment, CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false', GOWORK: 'off' };
    await nice('go', ['build', ...flags, '-o', output, program.from], env);
    await chmod(output, 0o755);
    await rename(output, cache.path(name));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** A compiler that fills the machine may not slow what people do on it. */
async function nice(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const child = spawn('nice', ['-n', '19', command, ...args], {
    cwd: MODULE,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.on('error', reject);
  child.on('close', resolve);
  const code = await promise;
  if (code === 0) return;
  const lines = Buffer.concat(chunks).toString().trim().split('\n');
  throw new Error(`${command} ${args.join(' ')} failed:\n${lines.slice(-20).join('\n')}`);
}

async function copySnapshotCrds(
  cache: KubernetesCache,
  environment: NodeJS.ProcessEnv,
): Promise<void> {
  const work = await mkdtemp(join(cache.directory, '.new-'));
  try {
    const env = { ...environment, GOFLAGS: '-mod=readonly', GOWORK: 'off' };
    const options = { cwd: MODULE, env };
    await exec('go', ['mod', 'download', SNAPSHOT_CLIENT], options);
    const list = ['list', '-m', '-f', '{{.Dir}}', SNAPSHOT_CLIENT];
    const { stdout } = await exec('go', list, options);
    const from = join(stdout.trim(), 'config', 'crd');
    for (const name of await readdir(from)) {
      if (name === 'kustomization.yaml' || !name.endsWith('.yaml')) continue;
      await copyFile(join(from, name), join(work, name));
    }
    await rename(work, cache.snapshotCrds).catch((error: NodeJS.ErrnoException) => {
      // Another build was quicker.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function isProgram(name: string): name is ProgramName {
  return Object.hasOwn(PROGRAMS, name);
}

async function main(): Promise<void> {
  const asked = process.argv.slice(2);
  const unknown = asked.filter((name) => !isProgram(name));
  if (unknown.length > 0) {
    console.error(`No such program: ${unknown.join(' ')}. There are: ${programNames().join(' ')}`);
    process.exit(2);
  }
  const names = asked.length === 0 ? BASIC : asked.filter(isProgram);
  try {
    const cache = await ensureKubernetes(names);
    for (const name of names) console.log(cache.path(name));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  }
}

function programNames(): string[] {
  return Object.keys(PROGRAMS);
}

if (import.meta.main) await main();
