/**
 * The operator: one queue per concern, informers that feed them. Level-based: every reconciler
 * looks at everything it needs and acts on the difference, so a lost event costs time, never
 * correctness.
 */
import type { AnyObject, KindName, ObjectOf, ReplicaPlacement } from '#api/kinds/mod.ts';
import { findCondition } from '#api/kinds/mod.ts';
import { CONTROL_PLANE, type ClusterId, HoldfastError } from '#api/mod.ts';
import type { KubeClient, ReconcileResult } from '#control/kube/mod.ts';
import { EventRecorder, Informer, parseKey, WorkQueue } from '#control/kube/mod.ts';
import type { Clock, Log, Rng } from '#host/mod.ts';
import { isDeepStrictEqual } from 'node:util';
import { reconcileAttachment } from './attachment/apply.ts';
import { ClusterObserver } from './cluster-observer.ts';
import type { NodeAccess, NodeView } from './cluster-observer.ts';
import { reconcileNode } from './node/apply.ts';
import { reconcilePool } from './pool/apply.ts';
import { POOL_AGE_MS } from './pool/observe.ts';
import { MOVING_REASONS } from './reconcile.ts';
import type { OperatorContext } from './reconcile.ts';
import { reconcileReplica } from './replica/apply.ts';
import { reconcileSnapshot } from './snapshot/apply.ts';
import { PoolGrowth } from './space/pool-growth.ts';
import { ViewDigest } from './view-digest.ts';
import { reconcileVolume } from './volume/apply.ts';

export interface OperatorOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly cluster: ClusterId;
  /** Undefined for a node that there is no address of. */
  readonly access: (node: string) => NodeAccess | undefined;
}

type QueueName = 'volume' | 'attachment' | 'replica' | 'snapshot' | 'pool' | 'node';

const RECONCILERS: Readonly<
  Record<QueueName, (context: OperatorContext, key: string) => Promise<ReconcileResult>>
> = {
  volume: reconcileVolume,
  attachment: reconcileAttachment,
  replica: reconcileReplica,
  snapshot: reconcileSnapshot,
  pool: reconcilePool,
  node: reconcileNode,
};

export class Operator {
  readonly context: OperatorContext;
  readonly #options: OperatorOptions;
  readonly #queues: Readonly<Record<QueueName, WorkQueue>>;
  readonly #informers: {
    readonly volumes: Informer<'Volume'>;
    readonly replicas: Informer<'Replica'>;
    readonly snapshots: Informer<'Snapshot'>;
    readonly pools: Informer<'DiskPool'>;
    readonly nodes: Informer<'StorageNode'>;
    readonly persistentVolumes: Informer<'PersistentVolume'>;
  };
  readonly #digest = new ViewDigest();
  #quiesced = false;
  /** While a change of nothing but a status is told: a failing reconciler may have made it. */
  #isGentle = false;

  constructor(options: OperatorOptions) {
    this.#options = options;
    const { client, clock, rng, log, cluster, access } = options;
    this.context = {
      client,
      clock,
      rng,
      log,
      cluster,
      growth: new PoolGrowth(),
      observer: new ClusterObserver({
        clock,
        cluster,
        access,
        onView: (view, volume) => this.#onView(view, volume),
      }),
      events: new EventRecorder({ client, clock, rng, log, instance: CONTROL_PLANE }),
      isQuiesced: () => this.#quiesced,
      movingReasons: MOVING_REASONS,
      known: () => ({
        nodes: this.#informers.nodes.all(),
        pools: this.#informers.pools.all(),
        volumes: this.#informers.volumes.all(),
        replicas: this.#informers.replicas.all(),
        snapshots: this.#informers.snapshots.all(),
        persistentVolumes: this.#informers.persistentVolumes.all(),
      }),
    };
    this.#queues = {
      volume: this.#createQueue('volume'),
      attachment: this.#createQueue('attachment'),
      replica: this.#createQueue('replica'),
      snapshot: this.#createQueue('snapshot'),
      pool: this.#createQueue('pool'),
      node: this.#createQueue('node'),
    };
    // In this order they are filled: a volume is placed only when the pools are known.
    this.#informers = {
      pools: this.#createInformer('DiskPool', (key, object, before) =>
        this.#onPool(key, object, before),
      ),
      nodes: this.#createInformer('StorageNode', (key, object, before) =>
        this.#onNode(key, object, before),
      ),
      // The claim that has a volume can be another one than before.
      persistentVolumes: this.#createInformer('PersistentVolume', (_key, object) => {
        const volume = object?.spec.csi?.volumeHandle;
        if (volume !== undefined && object?.spec.claimRef?.uid !== undefined) {
          this.#add('volume', volume);
        }
      }),
      replicas: this.#createInformer('Replica', (key, object) => this.#onReplica(key, object)),
      snapshots: this.#createInformer('Snapshot', (key, object) => this.#onSnapshot(key, object)),
      volumes: this.#createInformer('Volume', (key, object) => this.#onVolume(key, object)),
    };
  }

  /** Resolves when the caches are filled and work has begun. */
  async start(): Promise<void> {
    for (const informer of Object.values(this.#informers)) await informer.start();
  }

  /** Waits for what runs; nothing is undone. */
  async stop(): Promise<void> {
    for (const informer of Object.values(this.#informers)) informer.stop();
    await Promise.all(Object.values(this.#queues).map((queue) => queue.stop()));
  }

  /** Detaches everything, the specs stay: names what is still attached after `timeoutMs`. */
  async quiesce(timeoutMs: number): Promise<string[]> {
    this.#quiesced = true;
    const { clock } = this.#options;
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    await this.#quiesceNodes(timeoutMs);
    for (;;) {
      // Looked at first: an attachment that is being made is listed only when it is there.
      const isIdle = this.#queues.attachment.isIdle();
      const attached = await this.#listAttached();
      const isDone = isIdle && attached.length === 0;
      if (isDone || clock.monotonicMs() >= deadlineMs) return attached;
      for (const volume of attached) this.#add('attachment', volume);
      await clock.sleep(100);
    }
  }

  /** Nothing is detached that is still mounted. A node that does not answer has its own end. */
  async #quiesceNodes(timeoutMs: number): Promise<void> {
    const { observer, log } = this.context;
    const nodes = this.#informers.nodes.all().map((node) => node.metadata.name);
    const quiesce = async (node: string): Promise<void> => {
      try {
        const { agent } = observer.access(node);
        const { busy } = await agent.call('node.quiesce', {}, { timeoutMs });
        for (const why of busy) log.warn('cannot be unmounted', { node, why });
      } catch (error) {
        if (!HoldfastError.is(error)) throw error;
        log.warn('node does not unmount', { node, code: error.code });
      }
      observer.forget(node);
    };
    await Promise.all(nodes.map(quiesce));
  }

  async #listAttached(): Promise<string[]> {
    const nodes = this.#informers.nodes.all().map((node) => node.metadata.name);
    const views = await this.context.observer.views(nodes, 0);
    const names = [...views.values()].flatMap((view) => [
      ...(view.engine?.attachments ?? []).map((entry) => entry.volume as string),
      ...(view.agent?.mounts ?? []).map((entry) => entry.volume as string),
    ]);
    return [...new Set(names)].sort();
  }

  #createQueue(name: QueueName): WorkQueue {
    const { clock, rng, log } = this.#options;
    return new WorkQueue({
      name,
      clock,
      rng,
      log,
      concurrency: 8,
      reconcile: (key) => RECONCILERS[name](this.context, key),
      onFailure: (key, error, attempt) => this.#onFailure(name, key, error, attempt),
    });
  }

  #createInformer<Kind extends KindName>(
    kind: Kind,
    onChange: (
      key: string,
      object: ObjectOf<Kind> | undefined,
      before: ObjectOf<Kind> | undefined,
    ) => void,
  ): Informer<Kind> {
    const { client, clock, log } = this.#options;
    return new Informer({
      kind,
      client,
      clock,
      log,
      onChange: (key, before, after) => {
        this.#isGentle = isStatusOnly(before, after);
        onChange(key, after, before);
        this.#isGentle = false;
      },
    });
  }

  #add(queue: QueueName, key: string): void {
    if (this.#isGentle) this.#queues[queue].addGently(key);
    else this.#queues[queue].add(key);
  }

  #onVolume(key: string, volume: ObjectOf<'Volume'> | undefined): void {
    this.#add('volume', key);
    this.#add('attachment', key);
    const isGoing = volume === undefined || volume.metadata.deletionTimestamp !== undefined;
    if (!isGoing) return;
    for (const replica of this.#informers.replicas.all()) {
      if (replica.spec.volumeName === key) this.#add('replica', replica.metadata.name);
    }
    for (const snapshot of this.#informers.snapshots.all()) {
      if (snapshot.spec.volumeName === key) this.#add('snapshot', snapshot.metadata.name);
    }
  }

  #onReplica(key: string, replica: ObjectOf<'Replica'> | undefined): void {
    this.#add('replica', key);
    if (replica === undefined) {
      for (const volume of this.#informers.volumes.all()) {
        const isPlaced = volume.spec.placement?.some((entry) => entry.replicaName === key);
        const isGoing = volume.metadata.deletionTimestamp !== undefined;
        if (isPlaced === true || isGoing) this.#add('volume', volume.metadata.name);
      }
      return;
    }
    this.#add('volume', replica.spec.volumeName);
    this.#add('attachment', replica.spec.volumeName);
  }

  #onSnapshot(key: string, snapshot: ObjectOf<'Snapshot'> | undefined): void {
    this.#add('snapshot', key);
    if (snapshot !== undefined) this.#add('attachment', snapshot.spec.volumeName);
    for (const volume of this.#informers.volumes.all()) {
      const isSource =
        volume.spec.source !== undefined &&
        findCondition(volume.status?.conditions, 'Ready')?.status !== 'True';
      const isGoing = volume.metadata.deletionTimestamp !== undefined;
      if (isSource || isGoing) this.#add('volume', volume.metadata.name);
    }
  }

  #onPool(
    key: string,
    pool: ObjectOf<'DiskPool'> | undefined,
    before: ObjectOf<'DiskPool'> | undefined,
  ): void {
    this.#add('pool', key);
    if (
      readyOf(pool) === readyOf(before) &&
      pool?.metadata.generation === before?.metadata.generation
    ) {
      return;
    }
    for (const replica of this.#informers.replicas.all()) {
      if (replica.spec.poolName === key) this.#add('replica', replica.metadata.name);
    }
    this.#addUnplaced();
    this.#addPlaced((entry) => entry.poolName === key);
  }

  #onNode(
    key: string,
    node: ObjectOf<'StorageNode'> | undefined,
    before: ObjectOf<'StorageNode'> | undefined,
  ): void {
    this.#add('node', key);
    if (
      readyOf(node) === readyOf(before) &&
      node?.metadata.generation === before?.metadata.generation
    ) {
      return;
    }
    for (const pool of this.#informers.pools.all()) {
      if (pool.spec.nodeName === key) this.#add('pool', pool.metadata.name);
    }
    for (const replica of this.#informers.replicas.all()) {
      if (replica.spec.nodeName === key) this.#add('replica', replica.metadata.name);
    }
    for (const volume of this.#informers.volumes.all())
      this.#add('attachment', volume.metadata.name);
    this.#addUnplaced();
    this.#addPlaced((entry) => entry.nodeName === key);
  }

  /** Nodes are asked every few seconds; everything else is looked at when an answer is new. */
  #onView(view: NodeView, volume?: string): void {
    if (volume === undefined) this.#noteGrowth(view);
    const news =
      volume === undefined ? this.#digest.note(view) : this.#digest.noteVolume(view, volume);
    if (!news.node && news.volumes.length === 0) return;
    // Its figures change with every replica.
    const afterMs = this.context.observer.oldestMs(view.node, POOL_AGE_MS);
    for (const pool of this.#informers.pools.all()) {
      if (pool.spec.nodeName === view.node) this.#queues.pool.addAfter(pool.metadata.name, afterMs);
    }
    const changed = new Set(news.volumes);
    for (const replica of this.#informers.replicas.all()) {
      const { nodeName, volumeName } = replica.spec;
      if (nodeName !== view.node || !(news.node || changed.has(volumeName))) continue;
      this.#queues.replica.addGently(replica.metadata.name);
      changed.add(volumeName);
    }
    if (news.node) {
      for (const { volume: attached } of view.engine?.attachments ?? []) changed.add(attached);
    }
    for (const name of changed) {
      this.#queues.attachment.addGently(name);
      this.#queues.volume.addGently(name);
    }
  }

  #noteGrowth({ engine }: NodeView): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const { pool, totalBytes, freeBytes, error } of engine?.pools ?? []) {
      if (error === '') this.context.growth.note(pool, totalBytes - freeBytes, nowMs);
    }
  }

  #addUnplaced(): void {
    for (const volume of this.#informers.volumes.all()) {
      const placed = volume.spec.placement?.length ?? 0;
      if (placed < volume.spec.replicas) this.#add('volume', volume.metadata.name);
    }
  }

  /** A node or pool that is drained, lost or back. */
  #addPlaced(isThere: (entry: ReplicaPlacement) => boolean): void {
    for (const volume of this.#informers.volumes.all()) {
      if (volume.spec.placement?.some(isThere)) this.#add('volume', volume.metadata.name);
    }
  }

  #onFailure(queue: QueueName, key: string, error: HoldfastError, attempt: number): void {
    if (attempt !== 3) return;
    const { name } = parseKey(key);
    this.#options.log.error('reconcile keeps failing', { queue, name, code: error.code });
  }
}

function isStatusOnly(before: AnyObject | undefined, after: AnyObject | undefined): boolean {
  if (before === undefined || after === undefined) return false;
  const strip = ({ metadata, ...object }: AnyObject): unknown => ({
    ...object,
    status: undefined,
    metadata: { ...metadata, resourceVersion: undefined },
  });
  return isDeepStrictEqual(strip(before), strip(after)) && readyOf(before) === readyOf(after);
}

function readyOf(object: AnyObject | undefined): string | undefined {
  const status = (object as { status?: { conditions?: never } } | undefined)?.status;
  return findCondition(status?.conditions, 'Ready')?.status;
}
