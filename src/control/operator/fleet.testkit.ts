/**
 * Scripted engines and nodes for tests of the operator: they keep pools, replicas and attachments
 * as values and misbehave on demand: an error before the act, an error after it (the caller cannot
 * know), silence. Every call that changes something is written down.
 */
import type {
  AttachmentReport,
  AttachSpec,
  ClusterId,
  EngineReport,
  ErrorCode,
  Incarnation,
  MemberStatus,
  MountReport,
  NodeId,
  PoolId,
  PoolReport,
  PoolSpace,
  ReplicaReport,
  VolumeId,
} from '#api/mod.ts';
import { type Check, ENGINE_CHECKS, NODE_CHECKS } from '#api/checks/mod.ts';
import { GENERATION_ZERO, HoldfastError } from '#api/mod.ts';
import { API_VERSION, SHIPPED_CLASSES } from '#api/kinds/mod.ts';
import { ControllerService } from '#control/csi/controller/mod.ts';
import type { NodeCalls, RequestOf, Service } from '#control/csi/mod.ts';
import { viewIdOf } from '#control/csi/mod.ts';
import { EmbeddedControllers, NodeLoop } from '#control/embedded/mod.ts';
import { createTestApi } from '#control/apiserver/test-api.testkit.ts';
import type { KubeClient } from '#control/kube/mod.ts';
import type { Host } from '#host/mod.ts';
import { SimWorld } from '#host/sim/mod.ts';
import { FakeCopies } from './fake-copies.testkit.ts';
import type { Caller, NodeAccess } from './mod.ts';
import { Operator } from './mod.ts';

export const CLUSTER = 'test-cluster' as ClusterId;

export interface Fault {
  readonly method: string;
  readonly code: ErrorCode;
  /** Done all the same: the answer was lost. */
  readonly isApplied: boolean;
  times: number;
}

type Params = Record<string, unknown>;
type StageRequest = RequestOf<NodeCalls, 'NodeStageVolume'> & {
  readonly volumeCapability: NonNullable<
    RequestOf<NodeCalls, 'NodeStageVolume'>['volumeCapability']
  >;
};

const CHECKS: Readonly<Record<string, Check<unknown>>> = { ...ENGINE_CHECKS, ...NODE_CHECKS };

export class FakeNode {
  readonly name: string;
  readonly calls: string[] = [];
  readonly faults: Fault[] = [];
  readonly pools = new Map<string, { directory: string; replicas: Map<string, ReplicaReport> }>();
  readonly attachments = new Map<string, AttachmentReport>();
  /** What is staged. */
  readonly mounts: MountReport[] = [];
  /** Paths. */
  readonly published = new Set<string>();
  missing: string[] = [];
  poolError = '';
  isSilent = false;
  /** The members of a nexus, where they were changed since it was started. */
  readonly members = new Map<string, AttachSpec['replicas']>();
  /** Members that the nexuses here report as absent. */
  readonly absent = new Set<string>();
  /** Members that the nexuses here report as in sync and without a vote. */
  readonly voteless = new Set<string>();
  readonly #fleet: Fleet;

  constructor(fleet: Fleet, name: string) {
    this.#fleet = fleet;
    this.name = name;
  }

  failNext(method: string, code: ErrorCode, isApplied = false, times = 1): void {
    this.faults.push({ method, code, isApplied, times });
  }

  async call(method: string, params: Params): Promise<unknown> {
    await this.#fleet.host.clock.sleep(1);
    if (this.isSilent) throw new HoldfastError('refused', 'Nothing listens there');
    const fault = this.faults.find((entry) => entry.method === method && entry.times > 0);
    if (fault !== undefined) fault.times -= 1;
    if (fault !== undefined && !fault.isApplied) throw new HoldfastError(fault.code, 'Planted');
    if (!method.includes('describe')) this.calls.push(method);
    // As the real server does: what the operator sends must pass.
    CHECKS[method]?.(params, '');
    const result = this.#act(method, params);
    if (fault !== undefined) throw new HoldfastError(fault.code, 'Planted', { effect: 'unknown' });
    return result;
  }

  #act(method: string, params: Params): unknown {
    switch (method) {
      case 'engine.describe':
        return this.#describe();
      case 'engine.describeVolume':
        return this.#describe(params['volume'] as string);
      case 'node.describe':
        return {
          node: this.name,
          pid: 2,
          engineAddress: this.name,
          enginePid: 1,
          engineRestarts: 0,
          mounts: this.mounts,
          missing: this.missing,
        };
      case 'node.quiesce':
        return this.#fleet.quiesceNode(this.name).then((busy) => ({ busy }));
      case 'pool.ensure': {
        const pool = params['pool'] as string;
        const directory = params['directory'] as string;
        if (!this.pools.has(pool)) this.pools.set(pool, { directory, replicas: new Map() });
        return this.#poolReport(pool);
      }
      case 'pool.space':
        return this.#poolSpace(params['pool'] as string);
      case 'node.space':
        return { mounts: [] };
      case 'replica.create':
        return this.#createReplica(params);
      case 'replica.delete':
        this.#fleet.copies.watchDeletion(params['replica'] as string);
        for (const pool of this.pools.values()) pool.replicas.delete(params['replica'] as string);
        return {};
      default:
        return this.#actOnVolume(method, params);
    }
  }

  /** Of one volume alone where it is given. */
  #describe(volume?: string): EngineReport {
    const isWanted = (of: string): boolean => volume === undefined || of === volume;
    const pools = [...this.pools.keys()].map((pool) => this.#poolReport(pool));
    return {
      node: this.name as NodeId,
      cluster: CLUSTER,
      version: '0',
      pid: 1,
      pools: pools.map((pool) => ({
        ...pool,
        replicas: pool.replicas.filter(({ identity }) => isWanted(identity.volume)),
      })),
      attachments: [...this.attachments.values()]
        .map((entry) => this.#attachment(entry))
        .filter((report) => isWanted(report.volume)),
    };
  }

  #actOnVolume(method: string, params: Params): unknown {
    const volume = params['volume'] as string;
    switch (method) {
      case 'volume.attach': {
        const spec = params as unknown as AttachSpec;
        const before = this.attachments.get(volume);
        if (before === undefined) this.attachments.set(volume, freshAttachment(spec));
        return this.attachments.get(volume);
      }
      case 'volume.detach':
        this.members.delete(volume);
        this.attachments.delete(volume);
        return {};
      case 'volume.setReplicas':
      case 'volume.grow': {
        const before = this.#mustFind(volume);
        // As a real engine: the report has the spec that the volume was started with.
        const sizeBytes = (params['sizeBytes'] as number | undefined) ?? before.status.sizeBytes;
        const after = { ...before, status: { ...before.status, sizeBytes } };
        this.attachments.set(volume, after);
        const places = params['replicas'] as AttachSpec['replicas'] | undefined;
        if (places !== undefined) this.members.set(volume, places);
        return after;
      }
      case 'volume.createSnapshot':
        this.#mustFind(volume);
        this.#fleet.addSnapshot(volume, params['snapshot'] as string);
        return { epoch: 1, n: 1 };
      case 'volume.deleteSnapshot':
        this.#fleet.dropSnapshot(volume, params['snapshot'] as string);
        return {};
      default:
        throw new HoldfastError('unsupported', 'Method is unknown', { details: { method } });
    }
  }

  /** The CSI node service, as far as the node loop calls it; each call may fail as the others. */
  get service(): Service<NodeCalls> {
    const answer = async (method: string, act: () => void): Promise<Record<string, never>> => {
      await this.#fleet.host.clock.sleep(1);
      const fault = this.faults.find((entry) => entry.method === method && entry.times > 0);
      if (fault !== undefined) fault.times -= 1;
      this.calls.push(method);
      if (fault?.isApplied !== false) act();
      if (fault === undefined) return {};
      throw new HoldfastError(fault.code, 'Planted', { effect: 'unknown' });
    };
    const service = {
      NodeStageVolume: (request: StageRequest) =>
        answer('NodeStageVolume', () => this.#stage(request)),
      NodeUnstageVolume: ({ stagingTargetPath }: StageRequest) =>
        answer('NodeUnstageVolume', () => this.#forgetMount(stagingTargetPath)),
      NodePublishVolume: ({ targetPath }: { targetPath: string }) =>
        answer('NodePublishVolume', () => void this.published.add(targetPath)),
      NodeUnpublishVolume: ({ targetPath }: { targetPath: string }) =>
        answer('NodeUnpublishVolume', () => void this.published.delete(targetPath)),
      NodeExpandVolume: () => answer('NodeExpandVolume', () => {}),
    };
    return service as unknown as Service<NodeCalls>;
  }

  #stage({ volumeId: asked, stagingTargetPath: path, volumeCapability }: StageRequest): void {
    const isRead = volumeCapability.accessMode?.mode === 'MULTI_NODE_READER_ONLY';
    const volumeId = isRead ? viewIdOf(asked, this.name) : asked;
    if (!this.attachments.has(volumeId)) {
      throw new HoldfastError('not-found', 'Volume is not attached here');
    }
    if (this.mounts.some((entry) => entry.path === path)) return;
    const fsType = volumeCapability.mount?.fsType ?? 'ext4';
    const device = '/dev/loop0';
    this.mounts.push({ volume: volumeId as VolumeId, path, fsType, device, error: '' });
  }

  #forgetMount(path: string): void {
    const left = this.mounts.filter((entry) => entry.path !== path);
    this.mounts.splice(0, this.mounts.length, ...left);
  }

  #mustFind(volume: string): AttachmentReport {
    const found = this.attachments.get(volume);
    if (found !== undefined) return found;
    throw new HoldfastError('not-found', 'Volume is not attached here');
  }

  #createReplica(params: Params): ReplicaReport {
    const { identity, sizeBytes } = params as unknown as ReplicaReport;
    const pool = this.pools.get(params['pool'] as string);
    if (pool === undefined) throw new HoldfastError('not-found', 'No such pool');
    const before = pool.replicas.get(identity.replica);
    if (before !== undefined) return before;
    const report: ReplicaReport = {
      identity,
      sizeBytes,
      directory: `${pool.directory}/${identity.replica}`,
      address: 'unix:/x',
      state: {
        identity,
        incarnation: 'i' as Incarnation,
        condition: 'clean',
        sizeBytes,
        promised: 0,
        promisedTo: '',
        record: null,
        completed: GENERATION_ZERO,
        snapshots: [],
        rebuild: '',
        failed: null,
      },
      usage: { headBytes: 0, snapshotBytes: 0, metadataBytes: 0 },
      error: '',
      errorCode: '',
    };
    pool.replicas.set(identity.replica, report);
    const isBlank = params['founders'] === null && params['cloneOf'] === null;
    if (isBlank) this.#fleet.copies.blank.set(identity.replica, null);
    return report;
  }

  /** One layer each, as large as the replica says. */
  #poolSpace(name: string): PoolSpace {
    const { totalBytes, freeBytes, replicas } = this.#poolReport(name);
    const usages = replicas.map(({ usage }) => usage ?? NOTHING_USED);
    return {
      pool: name as PoolId,
      totalBytes,
      freeBytes,
      usedBytes: totalBytes - freeBytes,
      replicas: replicas.map(({ identity, sizeBytes }, index) => {
        const { replica, volume, claim } = identity;
        return { replica, volume, claim, sizeBytes, metadataBytes: usages[index]!.metadataBytes };
      }),
      layers: replicas.map(({ identity: { replica, volume } }, index) => ({
        layer: `layer-of-${replica}`,
        volume,
        dataBytes: usages[index]!.headBytes,
        mapBytes: 0,
        holders: [{ replica, volume, isHead: true, snapshot: null }],
      })),
      poolBytes: 4096,
      leftoverBytes: 0,
      strangeBytes: 0,
      uses: [],
    };
  }

  #poolReport(name: string): PoolReport {
    const pool = this.pools.get(name);
    return {
      pool: name as PoolId,
      directory: pool?.directory ?? '',
      totalBytes: 2 ** 40,
      freeBytes: 2 ** 39,
      filesystem: 'ext4',
      deviceName: '/dev/sda',
      deviceSerial: `serial-${this.name}`,
      error: this.poolError,
      errorCode: '',
      replicas: [...(pool?.replicas.values() ?? [])],
    };
  }

  #attachment(entry: AttachmentReport): AttachmentReport {
    const places = this.members.get(entry.volume) ?? entry.spec.replicas;
    const members = places.map(({ replica, node }) => {
      const isAbsent = this.absent.has(replica) || !this.#fleet.copies.holds(node, replica);
      const rebuild = isAbsent ? null : this.#fleet.copies.rebuildOf(entry.volume, replica);
      const phase = isAbsent ? 'absent' : rebuild === null ? 'in-sync' : 'joining';
      return {
        replica,
        phase: phase as MemberStatus['phase'],
        sinceMs: 0,
        reason: isAbsent ? 'cannot be reached' : '',
        errorCode: isAbsent ? 'refused' : '',
        rebuild,
        latencyMs: { p50: 1, p99: 2 },
        repairedBlocks: 0,
      };
    });
    const isServing = members.some((member) => member.phase === 'in-sync');
    const phase = isServing ? entry.status.phase : 'suspended';
    const voters = places.map(({ replica }) => replica).filter((name) => !this.voteless.has(name));
    const record = this.voteless.size === 0 ? null : { ...RECORD, voters };
    return { ...entry, status: { ...entry.status, phase, members, record } };
  }
}

const NOTHING_USED = { headBytes: 0, snapshotBytes: 0, metadataBytes: 0 };

const RECORD = {
  epoch: 1,
  seq: 1,
  members: [],
  formerVoters: null,
  closed: false,
  loss: 0,
  floor: { epoch: 0, seq: 0 },
  held: [],
} as const;

function freshAttachment(spec: AttachSpec): AttachmentReport {
  return {
    volume: spec.volume,
    spec,
    status: {
      phase: 'serving',
      reason: '',
      waitingFor: [],
      epoch: 1,
      generation: GENERATION_ZERO,
      completed: GENERATION_ZERO,
      record: null,
      members: [],
      sizeBytes: spec.sizeBytes,
      snapshots: [],
      damagedBlocks: 0,
      longestStallMs: 0,
      counters: {},
      error: null,
    },
    frontends: spec.frontends.map((kind) => ({
      kind,
      url: kind === 'nbd' ? `nbd+unix:///${spec.volume}` : '/dev/loop0',
      error: '',
    })),
  };
}

/** A cluster of scripted nodes with the real operator over the in-memory twin. */
export class Fleet {
  readonly world: SimWorld;
  readonly host: Host;
  readonly client: KubeClient;
  /** What was asked of the API server. */
  readonly requests: string[];
  readonly operator: Operator;
  readonly csi: ControllerService;
  readonly embedded: EmbeddedControllers;
  readonly loops = new Map<string, NodeLoop>();
  readonly nodes = new Map<string, FakeNode>();
  readonly copies: FakeCopies;

  constructor(seed: number, nodeCount: number) {
    this.world = new SimWorld(seed);
    this.host = this.world.addNode('controller');
    ({ client: this.client, requests: this.requests } = createTestApi(this.world, this.host));
    for (let index = 1; index <= nodeCount; index += 1) {
      this.nodes.set(`node-${index}`, new FakeNode(this, `node-${index}`));
    }
    this.copies = new FakeCopies(this.nodes, this.host.clock);
    this.operator = this.createOperator();
    const { clock, rng, log } = this.host;
    const { client } = this;
    this.csi = new ControllerService({ client, clock, log });
    const controller = this.csi.calls;
    this.embedded = new EmbeddedControllers({ client, controller, clock, rng, log });
    for (const name of this.nodes.keys()) this.loops.set(name, this.createLoop(name));
  }

  createOperator(): Operator {
    const { clock, rng, log } = this.host;
    return new Operator({
      client: this.client,
      clock,
      rng,
      log,
      cluster: CLUSTER,
      access: (node) => this.#access(node),
    });
  }

  createLoop(name: string): NodeLoop {
    const { clock, rng, log } = this.host;
    const node = this.node(name);
    return new NodeLoop({
      client: this.client,
      node: node.service,
      nodeName: name as NodeId,
      stagingDirectory: '/staging',
      staged: () => node.mounts,
      targetsOf: async () => [...node.published],
      clock,
      rng,
      log,
    });
  }

  async quiesceNode(name: string): Promise<string[]> {
    return (await this.loops.get(name)?.quiesce()) ?? [];
  }

  node(name: string): FakeNode {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Error(`no ${name}`);
    return node;
  }

  calls(method: string): number {
    return [...this.nodes.values()].flatMap((node) => node.calls).filter((name) => name === method)
      .length;
  }

  /** Runs `action` in the world with the operator started. */
  async run(action: (fleet: Fleet) => Promise<void>, withinMs?: number): Promise<void> {
    await this.world.finish(
      (async () => {
        await this.seed();
        await this.operator.start();
        await this.csi.start();
        await this.embedded.start();
        for (const loop of this.loops.values()) await loop.start();
        await action(this);
        for (const loop of this.loops.values()) await loop.stop();
        await this.embedded.stop();
        this.csi.stop();
        await this.operator.stop();
      })(),
      withinMs,
    );
  }

  async seed(): Promise<void> {
    for (const name of this.nodes.keys()) {
      await this.client.create('StorageNode', {
        apiVersion: API_VERSION,
        kind: 'StorageNode',
        metadata: { name },
        spec: {},
      });
      await this.client.create('DiskPool', {
        apiVersion: API_VERSION,
        kind: 'DiskPool',
        metadata: { name: `${name}-pool` },
        spec: { nodeName: name, directory: `/data/${name}` },
      });
    }
    await this.client.create('StorageClass', {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      metadata: {
        name: 'simple',
        annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' },
      },
      provisioner: 'csi.holdfast.dev',
      allowVolumeExpansion: true,
      parameters: { replicas: '3' },
    });
    for (const one of SHIPPED_CLASSES) {
      if (one.kind === 'VolumeSnapshotClass') await this.client.create(one.kind, one);
    }
  }

  async createClaim(name: string, change: object = {}): Promise<void> {
    await this.client.create('PersistentVolumeClaim', {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { namespace: 'default', name },
      spec: {
        accessModes: ['ReadWriteOnce'],
        resources: { requests: { storage: '1Gi' } },
        ...change,
      },
    });
  }

  async createMount(claimName: string, path: string, nodeName = 'node-1'): Promise<void> {
    await this.client.create('Mount', {
      apiVersion: API_VERSION,
      kind: 'Mount',
      metadata: { namespace: 'default', name: `${claimName}-mount` },
      spec: { claimName, nodeName, path },
    });
    await this.until('mounted', async () => {
      const key = { namespace: 'default', name: `${claimName}-mount` };
      const { status } = await this.client.get('Mount', key);
      const ready = status?.conditions?.find((entry) => entry.type === 'Ready');
      return ready?.status === 'True';
    });
  }

  /** Looks ten times a second until `check` passes; fails with its last complaint after `ms`. */
  async until(what: string, check: () => Promise<unknown>, ms = 60_000): Promise<void> {
    const deadlineMs = this.host.clock.monotonicMs() + ms;
    for (;;) {
      try {
        if ((await check()) !== false) return;
      } catch (error) {
        if (!HoldfastError.is(error) && !(error instanceof Error)) throw error;
        if (this.host.clock.monotonicMs() > deadlineMs) throw error;
      }
      if (this.host.clock.monotonicMs() > deadlineMs) throw new Error(`never: ${what}`);
      await this.host.clock.sleep(100);
    }
  }

  /** `already-exists`, as an engine says of an id that it has. */
  addSnapshot(volume: string, snapshot: string): void {
    this.#changeSnapshots(volume, (snapshots, sizeBytes) => {
      if (snapshots.some((entry) => entry.id === snapshot)) {
        throw new HoldfastError('already-exists', 'Snapshot exists already');
      }
      const id = snapshot as never;
      const generation = GENERATION_ZERO;
      return [...snapshots, { id, generation, sizeBytes, sealed: true, allocatedBytes: 0 }];
    });
  }

  dropSnapshot(volume: string, snapshot: string): void {
    this.#changeSnapshots(volume, (snapshots) =>
      snapshots.filter((entry) => entry.id !== snapshot),
    );
  }

  #changeSnapshots(
    volume: string,
    change: (
      snapshots: NonNullable<ReplicaReport['state']>['snapshots'],
      sizeBytes: number,
    ) => NonNullable<ReplicaReport['state']>['snapshots'],
  ): void {
    this.copies.change(volume, (report) => {
      if (report.state === null) return report;
      const snapshots = change(report.state.snapshots, report.sizeBytes);
      return { ...report, state: { ...report.state, snapshots } };
    });
  }

  #access(name: string): NodeAccess | undefined {
    const node = this.nodes.get(name);
    if (node === undefined) return undefined;
    const caller = {
      call: (method: string, params: Params) => node.call(method, params),
    };
    return {
      engine: caller as unknown as NodeAccess['engine'],
      agent: caller as unknown as Caller<never> as NodeAccess['agent'],
      engineAddress: `unix:/run/${name}.engine.sock`,
    };
  }
}
