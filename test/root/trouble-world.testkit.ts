/** The running cluster in which troubles are planted, and short ways to make what they need. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { ControllerMethods, Explanation } from '#api/mod.ts';
import { hasCode, HoldfastError } from '#api/mod.ts';
import type {
  KindName,
  Mount,
  ObjectOf,
  PersistentVolumeClaim,
  StorageClass,
  Volume,
} from '#api/kinds/mod.ts';
import { API_VERSION, findCondition } from '#api/kinds/mod.ts';
import { createApiClient } from '#cmd/cli-context.testkit.ts';
import type { KubeClient } from '#control/kube/mod.ts';
import { NbdClientDevice } from '#data/frontend/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { RpcClient } from '#rpc/mod.ts';
import { RealCluster, run } from './real-cluster.testkit.ts';

export const NODES = ['node-1', 'node-2', 'node-3'] as const;
const STEP_MS = 60_000;
const LOOK_MS = 150;
/** Of the pools that the cluster makes itself; troubles with pools of their own use other tags. */
const MAIN = 'main';
/** The pool of the node that is never off. */
const FIRST = 'first';
export const DEFAULT_CLASS = 'storageclass.kubernetes.io/is-default-class';

export interface Subject {
  readonly kind: KindName;
  readonly name: string;
}

export class TroubleWorld {
  readonly cluster: RealCluster;
  readonly client: KubeClient;
  /** For what troubles need beside the cluster. */
  readonly scratch: string;
  readonly #host = createNodeHost({ logLevel: 'silent' });
  readonly #controller: RpcClient<ControllerMethods>;
  readonly #mounted: string[] = [];
  readonly #ends: (() => Promise<void>)[] = [];
  readonly #frozen = new Set<number>();

  private constructor(cluster: RealCluster, scratch: string) {
    this.cluster = cluster;
    this.scratch = scratch;
    const run = join(cluster.directory, 'run');
    this.client = createApiClient(this.#host, join(run, 'apiserver.sock'), 'test');
    const { net, clock } = this.#host;
    this.#controller = new RpcClient({ net, clock, address: `unix:${run}/controller.sock` });
  }

  static async start(): Promise<TroubleWorld> {
    const scratch = await mkdtemp(join(tmpdir(), 'hf-troubles-'));
    const world = new TroubleWorld(await RealCluster.start('troubles'), scratch);
    for (const node of NODES) {
      const tags = node === NODES[0] ? [MAIN, FIRST] : [MAIN];
      await world.client.patch('DiskPool', { name: `${node}-pool` }, { spec: { tags } });
    }
    await world.makeClass('one', { replicas: '1' });
    await world.makeClass('three', { replicas: '3' });
    await world.makeClass('first', { replicas: '1', poolSelector: FIRST });
    return world;
  }

  async stop(): Promise<void> {
    for (const pid of this.#frozen) tryKill(pid, 'SIGCONT');
    try {
      this.#controller.close();
      await this.cluster.stop();
    } finally {
      for (const end of this.#ends) await end();
      for (const path of this.#mounted.toReversed()) await run('umount', ['-l', path], 20_000);
      await rm(this.scratch, { recursive: true, force: true });
    }
  }

  // --- asking ------------------------------------------------------------------------------------

  explain({ kind, name }: Subject): Promise<Explanation> {
    return this.call('cluster.explain', { ...scoped(kind, name), kind });
  }

  call: RpcClient<ControllerMethods>['call'] = (method, params, options) =>
    this.#controller.call(method, params, options);

  /** As a user asks: what is printed first. */
  async firstLine(subject: Subject): Promise<string> {
    return (await this.say(subject)).split('\n', 1)[0] ?? '';
  }

  /** All that is printed. */
  async say({ kind, name }: Subject): Promise<string> {
    const said = await this.cluster.holdfast('explain', kind.toLowerCase(), name).then(
      (text) => text,
      // It ends with another code where something is not well.
      (error: Error) => error.message.slice(error.message.indexOf('failed:\n') + 8),
    );
    return said.trimStart();
  }

  async until(what: string, check: () => Promise<boolean>, timeoutMs = STEP_MS): Promise<void> {
    const endMs = performance.now() + timeoutMs;
    for (;;) {
      let said = '';
      try {
        if (await check()) return;
      } catch (error) {
        if (!HoldfastError.is(error)) throw error;
        said = ` (${error.code}: ${error.message})`;
      }
      if (performance.now() > endMs) throw new Error(`never: ${what}${said}`);
      await pause(LOOK_MS);
    }
  }

  get<Kind extends KindName>(kind: Kind, name: string): Promise<ObjectOf<Kind>> {
    return this.client.get(kind, scoped(kind, name));
  }

  async isGone({ kind, name }: Subject): Promise<boolean> {
    try {
      await this.client.get(kind, scoped(kind, name));
      return false;
    } catch (error) {
      if (hasCode(error, 'not-found')) return true;
      throw error;
    }
  }

  // --- objects -----------------------------------------------------------------------------------

  /** Only one class can be the default one. */
  async setDefault(name: string, isDefault: boolean): Promise<void> {
    const annotations = { [DEFAULT_CLASS]: String(isDefault) };
    await this.client.patch('StorageClass', { name }, { metadata: { annotations } });
  }

  async makeClass(
    name: string,
    parameters: Readonly<Record<string, string>>,
    more: Partial<StorageClass> = {},
  ): Promise<void> {
    await this.client.create('StorageClass', {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      metadata: { name },
      provisioner: 'csi.holdfast.dev',
      parameters: { poolSelector: MAIN, ...parameters },
      allowVolumeExpansion: true,
      ...more,
    });
  }

  async makeClaim(
    name: string,
    storageClassName: string | undefined,
    spec: Partial<PersistentVolumeClaim['spec']> = {},
  ): Promise<void> {
    await this.client.create('PersistentVolumeClaim', {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { namespace: 'default', name },
      spec: {
        ...(storageClassName === undefined ? {} : { storageClassName }),
        accessModes: ['ReadWriteOnce'],
        resources: { requests: { storage: '32Mi' } },
        ...spec,
      },
    });
  }

  /** With its volume made. */
  async makeBound(
    name: string,
    storageClassName: string,
    spec: Partial<PersistentVolumeClaim['spec']> = {},
  ): Promise<void> {
    await this.makeClaim(name, storageClassName, spec);
    await this.until(`claim ${name} is bound`, async () => {
      return (await this.get('PersistentVolumeClaim', name)).status?.phase === 'Bound';
    });
  }

  async volumeOf(claim: string): Promise<Volume> {
    const { spec } = await this.get('PersistentVolumeClaim', claim);
    const bound = await this.get('PersistentVolume', spec.volumeName ?? '');
    return this.get('Volume', bound.spec.csi?.volumeHandle ?? '');
  }

  pathOf(mount: string): string {
    return join(this.cluster.directory, 'mnt', mount);
  }

  async makeMount(name: string, spec: Partial<Mount['spec']> = {}): Promise<void> {
    await this.client.create('Mount', {
      apiVersion: API_VERSION,
      kind: 'Mount',
      metadata: { namespace: 'default', name },
      spec: { claimName: name, nodeName: 'node-1', path: this.pathOf(name), ...spec },
    });
  }

  async makeMounted(name: string, spec: Partial<Mount['spec']> = {}): Promise<void> {
    await this.makeMount(name, spec);
    const mounted = this.until(`${name} is mounted`, () => this.isMounted(name));
    await mounted.catch(async (error: Error) => {
      const { summary } = await this.explain({ kind: 'Mount', name });
      throw new Error(`${error.message}: ${summary}`);
    });
  }

  async isMounted(name: string): Promise<boolean> {
    const { status } = await this.get('Mount', name);
    return findCondition(status?.conditions, 'Ready')?.status === 'True';
  }

  async makePool(name: string, node: string, directory: string, tag: string): Promise<void> {
    await mkdir(directory, { recursive: true });
    await this.client.create('DiskPool', {
      apiVersion: API_VERSION,
      kind: 'DiskPool',
      metadata: { name },
      spec: { nodeName: node, directory, tags: [tag] },
    });
  }

  async makeOpenPool(name: string, node: string, directory: string, tag: string): Promise<void> {
    await this.makePool(name, node, directory, tag);
    await this.until(`pool ${name} is open`, async () => {
      const { status } = await this.get('DiskPool', name);
      return findCondition(status?.conditions, 'Ready')?.status === 'True';
    });
  }

  async makeSnapshot(name: string, claim: string): Promise<void> {
    const { metadata } = await this.volumeOf(claim);
    await this.client.create('Snapshot', {
      apiVersion: API_VERSION,
      kind: 'Snapshot',
      metadata: { name },
      spec: { volumeName: metadata.name },
    });
  }

  /** Asks for its end; what holds it may take a while. */
  async drop(kind: KindName, name: string): Promise<void> {
    try {
      await this.client.delete(kind, scoped(kind, name));
    } catch (error) {
      if (!hasCode(error, 'not-found')) throw error;
    }
  }

  async remove(kind: KindName, name: string): Promise<void> {
    await this.drop(kind, name);
    await this.until(`${kind} ${name} is gone`, () => this.isGone({ kind, name }));
  }

  // --- devices and processes ---------------------------------------------------------------------

  /** When no process of the cluster lives any more. */
  atEnd(end: () => Promise<void>): void {
    this.#ends.push(end);
  }

  /** Of a filesystem in memory, mounted here until the end. */
  async memory(name: string, options: string): Promise<string> {
    const path = join(this.scratch, name);
    await mkdir(path);
    await run('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path], 20_000);
    this.#mounted.push(path);
    return path;
  }

  /** The claim's block device over NBD. */
  async withDevice(claim: string, use: (device: NbdClientDevice) => Promise<void>): Promise<void> {
    const url = new URL(await this.cluster.attach(claim));
    const address = { kind: 'unix' as const, path: url.searchParams.get('socket') ?? '' };
    const name = url.pathname.replace(/^\/+/, '');
    const device = await NbdClientDevice.connect(this.#host, address, name);
    try {
      await use(device);
    } finally {
      await device.close();
    }
  }

  pidOf(role: string): number {
    const text = readFileSync(join(this.cluster.directory, 'run', `${role}.pid`), 'utf8');
    return (JSON.parse(text) as { readonly pid: number }).pid;
  }

  /** It does not answer from now on, and starts nothing. */
  freeze(role: string): void {
    const pid = this.pidOf(role);
    process.kill(pid, 'SIGSTOP');
    this.#frozen.add(pid);
  }

  thaw(role: string): void {
    const pid = this.pidOf(role);
    process.kill(pid, 'SIGCONT');
    this.#frozen.delete(pid);
  }

  /** A machine that is off: nothing of it answers until it is brought back. */
  takeDown(node: string): void {
    this.freeze(node);
    process.kill(this.pidOf(`${node}.engine`), 'SIGKILL');
  }

  bringBack(node: string): void {
    this.thaw(node);
  }
}

function scoped(kind: KindName, name: string): { name: string; namespace?: string } {
  const isScoped = kind === 'PersistentVolumeClaim' || kind === 'Mount';
  return isScoped ? { name, namespace: 'default' } : { name };
}

function tryKill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended meanwhile.
  }
}
