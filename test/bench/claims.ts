/**
 * What many claims cost: times from claim to Bound, to mounted and to gone, and what the API
 * server's memory and database grow by. Each step is done by so many workers at once, as a
 * scheduler would; each then waits for its own object.
 */
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { API_VERSION, findCondition, type KindName, type ObjectOf } from '#api/kinds/mod.ts';
import { createApiClient } from '#cmd/cli-context.testkit.ts';
import { Informer, type KubeClient } from '#control/kube/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { RealCluster } from '../root/real-cluster.testkit.ts';

export interface ClaimsOptions {
  readonly claims: number;
  /** At once. */
  readonly mounted: number;
  /** Together, with isolation `shared`. */
  readonly attached: number;
  readonly onProgress: (what: string) => void;
  /** A step was done: a long run says where it is, also to a file. */
  readonly onStep: (times: Times) => void;
}

export interface Times {
  readonly what: string;
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface ServerSize {
  readonly when: string;
  readonly pssMib: number;
  /** The database and its log. */
  readonly databaseMib: number;
}

export interface ClaimsFigures {
  readonly times: readonly Times[];
  readonly sizes: readonly ServerSize[];
}

const CLASS = 'bench-claims';
const CREATORS = 16;
const STEP_MS = 300_000;
/** Until what was done has settled: statuses, history, memory given back at rest. */
const SETTLE_MS = 45_000;

export async function measureClaims(options: ClaimsOptions): Promise<ClaimsFigures> {
  const cluster = await RealCluster.start('claims');
  const bench = new ClaimsBench(cluster, options);
  try {
    return await bench.run();
  } finally {
    await bench.close();
    await cluster.stop();
  }
}

/** Objects of one kind as they change, and who waits for one of them. */
class Watcher<Kind extends KindName> {
  readonly #informer: Informer<Kind>;
  readonly #waiting = new Set<() => void>();

  constructor(client: KubeClient, kind: Kind) {
    const { clock, log } = host;
    const onChange = (): void => {
      for (const look of this.#waiting) look();
    };
    this.#informer = new Informer({ kind, client, clock, log, onChange });
  }

  start(): Promise<void> {
    return this.#informer.start();
  }

  stop(): void {
    this.#informer.stop();
  }

  all(): readonly ObjectOf<Kind>[] {
    return this.#informer.all();
  }

  until(name: string, isSo: (object: ObjectOf<Kind> | undefined) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (!isSo(this.all().find(({ metadata }) => metadata.name === name))) return;
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        const found = this.all().find(({ metadata }) => metadata.name === name);
        reject(new Error(`${name} waits too long: ${JSON.stringify(found)}`));
      }, STEP_MS);
      this.#waiting.add(look);
      look();
    });
  }
}

const host = createNodeHost({ logLevel: 'fatal' });

class ClaimsBench {
  readonly #cluster: RealCluster;
  readonly #options: ClaimsOptions;
  readonly #client: KubeClient;
  readonly #claims: Watcher<'PersistentVolumeClaim'>;
  readonly #persistentVolumes: Watcher<'PersistentVolume'>;
  readonly #mounts: Watcher<'Mount'>;
  readonly #volumes: Watcher<'Volume'>;
  readonly #sizes: ServerSize[] = [];

  constructor(cluster: RealCluster, options: ClaimsOptions) {
    this.#cluster = cluster;
    this.#options = options;
    const socket = path.join(cluster.directory, 'run', 'apiserver.sock');
    this.#client = createApiClient(host, socket, 'bench');
    this.#claims = new Watcher(this.#client, 'PersistentVolumeClaim');
    this.#persistentVolumes = new Watcher(this.#client, 'PersistentVolume');
    this.#mounts = new Watcher(this.#client, 'Mount');
    this.#volumes = new Watcher(this.#client, 'Volume');
  }

  async run(): Promise<ClaimsFigures> {
    const { claims, mounted, attached, onProgress, onStep } = this.#options;
    await Promise.all(this.#watchers().map((watcher) => watcher.start()));
    await this.#createClass();
    await this.#size('before');
    const names = Array.from({ length: claims }, (_, index) => `claim-${index}`);
    const times: Times[] = [];
    const step = async (
      what: string,
      some: readonly string[],
      workers: number,
      act: (name: string) => Promise<number>,
    ): Promise<void> => {
      let done = 0;
      const took = await forAll(some, workers, async (name) => {
        const ms = await act(name);
        onProgress(`${what}: ${++done} of ${some.length}`);
        return ms;
      });
      const [p50Ms, p99Ms] = [share(took, 0.5), share(took, 0.99)];
      times.push({ what, count: some.length, p50Ms, p99Ms });
      onStep({ what, count: some.length, p50Ms, p99Ms });
    };
    await step('claim to Bound', names, CREATORS, (name) => this.#bind(name));
    await this.#size(`with ${claims} claims`);
    await step('Mount to mounted', names, mounted, (name) => this.#mountOnce(name));
    const some = names.slice(0, attached);
    await step('wish to attached', some, attached, (name) => this.#attach(name));
    await this.#demandTogether(some);
    await this.#size(`${attached} attached`);
    await step('claim to gone', names, CREATORS, (name) => this.#remove(name));
    await this.#size('after');
    return { times, sizes: this.#sizes };
  }

  async close(): Promise<void> {
    for (const watcher of this.#watchers()) watcher.stop();
  }

  #watchers(): readonly { start(): Promise<void>; stop(): void }[] {
    return [this.#claims, this.#persistentVolumes, this.#mounts, this.#volumes];
  }

  async #createClass(): Promise<void> {
    await this.#client.create('StorageClass', {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      metadata: { name: CLASS },
      provisioner: 'csi.holdfast.dev',
      parameters: { replicas: '3', isolation: 'shared' },
    });
  }

  async #bind(name: string): Promise<number> {
    const fromMs = performance.now();
    await this.#client.create('PersistentVolumeClaim', {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { namespace: 'default', name },
      spec: {
        storageClassName: CLASS,
        accessModes: ['ReadWriteOnce'],
        resources: { requests: { storage: '64Mi' } },
      },
    });
    await this.#claims.until(name, (claim) => claim?.status?.phase === 'Bound');
    return performance.now() - fromMs;
  }

  /** Mounts, and unmounts before it ends: what is measured is the mounting. */
  async #mountOnce(name: string): Promise<number> {
    const fromMs = performance.now();
    const nodeName = `node-${1 + (Number(name.split('-')[1]) % 3)}`;
    const directory = path.join(this.#cluster.directory, 'mnt', name);
    await this.#client.create('Mount', {
      apiVersion: API_VERSION,
      kind: 'Mount',
      metadata: { namespace: 'default', name },
      spec: { claimName: name, nodeName, path: directory },
    });
    await this.#mounts.until(
      name,
      (mount) => findCondition(mount?.status?.conditions, 'Ready')?.status === 'True',
    );
    const tookMs = performance.now() - fromMs;
    await this.#client.delete('Mount', { namespace: 'default', name });
    await this.#mounts.until(name, (mount) => mount === undefined);
    // Detaching comes after: the next step attaches the volume itself.
    const { metadata } = this.#volumeOf(name);
    await this.#volumes.until(
      metadata.name,
      (volume) => volume?.spec.attachment === undefined && !isAttached(volume),
    );
    return tookMs;
  }

  async #attach(name: string): Promise<number> {
    const fromMs = performance.now();
    const volume = this.#volumeOf(name);
    const nodeName = volume.spec.placement?.[0]?.nodeName;
    await this.#client.patch(
      'Volume',
      { name: volume.metadata.name },
      { spec: { attachment: { nodeName, frontends: ['nbd'] } } },
    );
    await this.#volumes.until(volume.metadata.name, isAttached);
    return performance.now() - fromMs;
  }

  async #demandTogether(names: readonly string[]): Promise<void> {
    const attached = names.filter((name) => isAttached(this.#volumeOf(name)));
    if (attached.length === names.length) return;
    throw new Error(`${attached.length} of ${names.length} are attached together`);
  }

  async #remove(name: string): Promise<number> {
    const fromMs = performance.now();
    const volume = this.#volumeOf(name);
    const { metadata, spec } = volume;
    if (spec.attachment !== undefined) {
      await this.#client.patch('Volume', { name: metadata.name }, { spec: { attachment: null } });
    }
    const { spec: claim } = await this.#client.get('PersistentVolumeClaim', {
      namespace: 'default',
      name,
    });
    await this.#client.delete('PersistentVolumeClaim', { namespace: 'default', name });
    await this.#persistentVolumes.until(claim.volumeName ?? '', (found) => found === undefined);
    await this.#volumes.until(metadata.name, (found) => found === undefined);
    return performance.now() - fromMs;
  }

  #volumeOf(claim: string): ObjectOf<'Volume'> {
    const found = this.#volumes.all().find(({ spec }) => spec.claimRef?.name === claim);
    if (found === undefined) throw new Error(`${claim} has no volume`);
    return found;
  }

  async #size(when: string): Promise<void> {
    this.#options.onProgress('settling');
    await pause(SETTLE_MS);
    const run = path.join(this.#cluster.directory, 'run', 'apiserver.pid');
    const { pid } = JSON.parse(readFileSync(run, 'utf8')) as { readonly pid: number };
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    const pssMib = Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) / 1024;
    const database = path.join(this.#cluster.directory, 'apiserver', 'objects.db');
    const bytes = [database, `${database}-wal`].map(
      (file) => statSync(file, { throwIfNoEntry: false })?.size ?? 0,
    );
    const databaseMib = bytes.reduce((sum, size) => sum + size, 0) / 2 ** 20;
    this.#sizes.push({ when, pssMib, databaseMib });
  }
}

function isAttached(volume: ObjectOf<'Volume'> | undefined): boolean {
  return findCondition(volume?.status?.conditions, 'Attached')?.status === 'True';
}

async function forAll(
  names: readonly string[],
  workers: number,
  act: (name: string) => Promise<number>,
): Promise<number[]> {
  const left = [...names];
  const took: number[] = [];
  const work = async (): Promise<void> => {
    for (let name = left.shift(); name !== undefined; name = left.shift()) {
      took.push(await act(name));
    }
  };
  await Promise.all(Array.from({ length: workers }, work));
  return took.sort((one, other) => one - other);
}

/** The value below which this share of them lies. */
function share(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

export function printableClaims({ times, sizes }: ClaimsFigures): string {
  const lines = ['                    count    p50 ms    p99 ms'];
  for (const { what, count, p50Ms, p99Ms } of times) {
    lines.push(
      `${what.padEnd(20)}${String(count).padStart(5)}` +
        `${p50Ms.toFixed(0).padStart(10)}${p99Ms.toFixed(0).padStart(10)}`,
    );
  }
  lines.push('', 'API server          memory MiB (PSS)   database MiB');
  for (const { when, pssMib, databaseMib } of sizes) {
    lines.push(
      `${when.padEnd(20)}${pssMib.toFixed(0).padStart(16)}${databaseMib.toFixed(1).padStart(15)}`,
    );
  }
  return lines.join('\n');
}
