/**
 * Three engines as processes of their own on this machine, without a controller, and one volume on
 * them: what the tests kill, stop, and take the disks from. Everything lies in one temporary
 * directory and is gone after `destroy`.
 */
import { equal } from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { openSync, closeSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type AttachmentReport,
  type AttachSpec,
  type ClusterId,
  type EngineMethods,
  type MemberStatus,
  parseId,
  type PoolId,
  type ReplicaId,
  type ReplicaPlace,
  type VolumeId,
} from '#api/mod.ts';
import { NbdClientDevice } from '#data/frontend/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { RpcClient } from '#rpc/mod.ts';

export const MIB = 1024 * 1024;
export const TRIO_CLUSTER = parseId<ClusterId>('cluster', 'trio');
export const TRIO_VOLUME = parseId<VolumeId>('volume', 'vol-trio');
export const TRIO_NODES = ['a', 'b', 'c'] as const;
export type TrioNode = (typeof TRIO_NODES)[number];

const ENTRY = new URL('../../src/cmd/holdfast.ts', import.meta.url).pathname;
const READY_MS = 60_000;
const NO_WARNINGS = '--disable-warning=ExperimentalWarning';

export interface TrioOptions {
  readonly segmentBytes?: number;
  /** Makes the directory where the pool of a node will lie; a plain one when absent. */
  readonly makeDisk?: (node: TrioNode, path: string) => Promise<void>;
  /** The program that is started as `ENTRY engine …`; the shipped one when absent. */
  readonly entryOf?: (node: TrioNode) => string | undefined;
}

export function whyNotRoot(): string | false {
  return process.getuid?.() === 0 ? false : 'needs root';
}

export class EngineTrio {
  readonly directory: string;
  readonly host = createNodeHost({ logLevel: 'silent' });
  readonly #options: TrioOptions;
  readonly #engines = new Map<TrioNode, ChildProcess>();
  readonly #clients = new Map<TrioNode, RpcClient<EngineMethods>>();
  #hasFuse = false;

  private constructor(directory: string, options: TrioOptions) {
    this.directory = directory;
    this.#options = options;
  }

  static async start(options: TrioOptions = {}): Promise<EngineTrio> {
    const trio = new EngineTrio(await mkdtemp(join(tmpdir(), 'hf-trio-')), options);
    await mkdir(join(trio.directory, 'run'));
    await mkdir(join(trio.directory, 'logs'));
    await writeFile(join(trio.directory, 'cluster.yaml'), `cluster: ${TRIO_CLUSTER}\n`);
    try {
      for (const node of TRIO_NODES) {
        await mkdir(trio.disk(node), { recursive: true });
        await options.makeDisk?.(node, trio.disk(node));
        await mkdir(trio.pool(node), { recursive: true });
      }
      await trio.startAll();
      for (const node of TRIO_NODES) {
        await trio.client(node).call('pool.ensure', {
          pool: poolOf(node),
          directory: trio.pool(node),
          create: true,
        });
      }
    } catch (error) {
      await trio.killAll();
      throw error;
    }
    return trio;
  }

  /** Where a disk of the node may be mounted. */
  disk(node: TrioNode): string {
    return join(this.directory, 'nodes', node, 'disk');
  }

  pool(node: TrioNode): string {
    return join(this.disk(node), 'pool');
  }

  replicaDirectory(node: TrioNode, volume: VolumeId = TRIO_VOLUME): string {
    return join(this.pool(node), 'replicas', replicaOf(node, volume));
  }

  client(node: TrioNode): RpcClient<EngineMethods> {
    const known = this.#clients.get(node);
    if (known) return known;
    const { net, clock } = this.host;
    const client = new RpcClient<EngineMethods>({ net, clock, address: this.#address(node) });
    this.#clients.set(node, client);
    return client;
  }

  // --- processes -------------------------------------------------------------------------------

  /** Starts an engine and waits until it answers. */
  async startEngine(node: TrioNode): Promise<void> {
    const errors = openSync(join(this.directory, 'logs', `${node}.stderr`), 'a');
    const args = [
      NO_WARNINGS,
      this.#options.entryOf?.(node) ?? ENTRY,
      'engine',
      ...['--cluster-dir', this.directory, '--node', node],
      ...['--run-dir', join(this.directory, 'run')],
    ];
    const engine = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', errors] });
    closeSync(errors);
    this.#engines.set(node, engine);
    await this.waitFor(`engine ${node}`, async () => {
      if (engine.exitCode !== null) throw new Error(`engine ${node} ended: ${engine.exitCode}`);
      await this.client(node).call('engine.describe', {}, { timeoutMs: 2_000 });
      return true;
    });
  }

  async startAll(): Promise<void> {
    await Promise.all(TRIO_NODES.map((node) => this.startEngine(node)));
  }

  async enginePid(node: TrioNode): Promise<number> {
    return (await this.client(node).call('engine.describe', {})).pid;
  }

  /** kill -9 of the child that we started, by its pid. */
  async kill(node: TrioNode): Promise<void> {
    const engine = this.#engines.get(node);
    this.#engines.delete(node);
    if (!engine || engine.exitCode !== null || engine.signalCode !== null) return;
    const gone = new Promise((resolve) => engine.once('exit', resolve));
    engine.kill('SIGKILL');
    await gone;
  }

  async killAll(): Promise<void> {
    await Promise.all(TRIO_NODES.map((node) => this.kill(node)));
  }

  /** SIGSTOP or SIGCONT. */
  signal(node: TrioNode, signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#engines.get(node)?.kill(signal);
  }

  // --- the volume ------------------------------------------------------------------------------

  /** Creates a volume with a replica on each of the nodes. */
  async createVolume(
    sizeBytes: number,
    volume: VolumeId = TRIO_VOLUME,
    places: readonly ReplicaPlace[] = this.places(volume),
  ): Promise<void> {
    for (const { replica, node, pool } of places) {
      await this.client(node as string as TrioNode).call('replica.create', {
        pool,
        identity: {
          cluster: TRIO_CLUSTER,
          volume,
          replica,
          pool,
          shard: 0,
          segmentBytes: this.#segmentBytes(),
          claim: `default/${volume}`,
        },
        sizeBytes,
        founders: places.map((place) => place.replica),
        cloneOf: null,
      });
    }
  }

  /** Attaches it on node a and waits until its frontends answer. */
  async attach(
    sizeBytes: number,
    frontends: AttachSpec['frontends'] = ['nbd'],
    volume: VolumeId = TRIO_VOLUME,
    places: readonly ReplicaPlace[] = this.places(volume),
  ): Promise<{ nbd: string; fuse: string }> {
    this.#hasFuse ||= frontends.includes('fuse');
    await this.client('a').call('volume.attach', {
      cluster: TRIO_CLUSTER,
      volume,
      claim: `default/${volume}`,
      sizeBytes,
      segmentBytes: this.#segmentBytes(),
      replicas: places,
      isolation: 'thread',
      onQuorumLoss: 'suspend',
      frontends,
      readOnly: false,
      snapshot: null,
    });
    const report = await this.waitForReport(
      (now) => now.frontends.every(({ url }) => url !== ''),
      volume,
    );
    const url = (kind: 'nbd' | 'fuse'): string =>
      report.frontends.find((frontend) => frontend.kind === kind)?.url ?? '';
    return { nbd: url('nbd'), fuse: url('fuse') };
  }

  /** In order: everything is flushed, complete and closed. */
  async detach(volume: VolumeId = TRIO_VOLUME): Promise<void> {
    await this.client('a').call('volume.detach', { volume }, { timeoutMs: 30_000 });
  }

  nbdSocket(volume: VolumeId = TRIO_VOLUME): string {
    return join(this.directory, 'run', `a.${volume.slice(-12)}.nbd`);
  }

  /** A client of the volume; waits until it is served. */
  async connect(volume: VolumeId = TRIO_VOLUME): Promise<NbdClientDevice> {
    const address = { kind: 'unix', path: this.nbdSocket(volume) } as const;
    let device: NbdClientDevice | undefined;
    await this.waitFor('the NBD server', async () => {
      device = await NbdClientDevice.connect(this.host, address, volume);
      return true;
    });
    return device as NbdClientDevice;
  }

  async describe(volume: VolumeId = TRIO_VOLUME): Promise<AttachmentReport> {
    return this.client('a').call('volume.describe', { volume }, { timeoutMs: 2_000 });
  }

  async member(node: TrioNode, volume: VolumeId = TRIO_VOLUME): Promise<MemberStatus> {
    const { status } = await this.describe(volume);
    const found = status.members.find(({ replica }) => replica === replicaOf(node, volume));
    if (!found) throw new Error(`no member on ${node}`);
    return found;
  }

  async counter(name: string): Promise<number> {
    return (await this.describe()).status.counters[name] ?? 0;
  }

  async waitForReport(
    wanted: (report: AttachmentReport) => boolean,
    volume: VolumeId = TRIO_VOLUME,
  ): Promise<AttachmentReport> {
    let last: AttachmentReport | undefined;
    try {
      await this.waitFor('the volume', async () => {
        last = await this.describe(volume);
        return wanted(last);
      });
    } catch (cause) {
      throw new Error(`Volume stays at ${JSON.stringify(last?.status)}`, { cause });
    }
    return last as AttachmentReport;
  }

  /** Until every member is in sync. */
  waitUntilWhole(volume: VolumeId = TRIO_VOLUME): Promise<AttachmentReport> {
    return this.waitForReport(
      ({ status }) =>
        status.phase === 'serving' && status.members.every(({ phase }) => phase === 'in-sync'),
      volume,
    );
  }

  places(volume: VolumeId = TRIO_VOLUME): ReplicaPlace[] {
    return TRIO_NODES.map((node) => this.place(node, volume));
  }

  place(node: TrioNode, volume: VolumeId = TRIO_VOLUME, pool: PoolId = poolOf(node)): ReplicaPlace {
    const replica = replicaOf(node, volume);
    return { replica, node: parseId('node', node), pool, engine: this.#address(node) };
  }

  // --- programs --------------------------------------------------------------------------------

  async run(argv: readonly string[], timeoutMs = 120_000): Promise<string> {
    const result = await this.host.exec.run(argv, { timeoutMs });
    if (result.exitCode !== 0) {
      throw new Error(`${argv.join(' ')}: ${result.exitCode}\n${result.stdout}\n${result.stderr}`);
    }
    return result.stdout;
  }

  /** As read by a program that shares no code with the store. The engines are down. */
  async demandEqualReplicas(): Promise<void> {
    for (const other of ['b', 'c'] as const) {
      const argv = ['compare', this.replicaDirectory('a'), this.replicaDirectory(other)];
      const { exitCode, stdout } = await this.holdfast(['store', 'check', ...argv]);
      equal(exitCode, 0, stdout);
    }
  }

  /** `holdfast ARGS`: exit code and what it said. */
  async holdfast(args: readonly string[]): Promise<{ exitCode: number; stdout: string }> {
    const argv = [process.execPath, NO_WARNINGS, ENTRY, ...args];
    const { exitCode, stdout, stderr } = await this.host.exec.run(argv, { timeoutMs: 120_000 });
    return { exitCode, stdout: stdout + stderr };
  }

  async log(node: TrioNode): Promise<string> {
    return readFile(join(this.directory, 'logs', `${node}.engine.log`), 'utf8');
  }

  /** Detaches what FUSE serves, ends the engines and removes everything. */
  async destroy(unmakeDisks?: () => Promise<void>): Promise<void> {
    for (const node of TRIO_NODES) this.signal(node, 'SIGCONT');
    if (this.#hasFuse) await this.#detachFuse().catch(() => undefined);
    await this.killAll();
    for (const client of this.#clients.values()) client.close();
    await unmakeDisks?.();
    await rm(this.directory, { recursive: true, force: true });
  }

  async #detachFuse(): Promise<void> {
    for (const node of TRIO_NODES) if (!this.#engines.has(node)) await this.startEngine(node);
    await this.detach();
  }

  async waitFor(what: string, look: () => Promise<boolean>, timeoutMs = READY_MS): Promise<void> {
    const endAt = performance.now() + timeoutMs;
    let last: unknown;
    while (performance.now() < endAt) {
      try {
        if (await look()) return;
      } catch (error) {
        last = error;
      }
      await this.host.clock.sleep(50);
    }
    throw new Error(`Waited too long for ${what}`, { cause: last });
  }

  #segmentBytes(): number {
    return this.#options.segmentBytes ?? MIB;
  }

  #address(node: TrioNode): string {
    return `unix:${join(this.directory, 'run')}/${node}.engine.sock`;
  }
}

export function poolOf(node: TrioNode): PoolId {
  return parseId('pool', `${node}-pool`);
}

export function replicaOf(node: TrioNode, volume: VolumeId = TRIO_VOLUME): ReplicaId {
  return parseId('replica', `${volume}-${node}`);
}
