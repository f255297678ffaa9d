/**
 * What the kubelet does with volumes, for the Mounts of one node: stages, publishes, grows, and
 * takes down again, each by a call of the CSI node service that may be repeated.
 *
 * Invariants
 * - A Mount carries our finalizer before anything of it is mounted, and until nothing is.
 * - What is mounted here and wanted by no Mount is taken down, however often that is tried: it was
 *   left by an earlier life of this node, or given up while the node was silent.
 */
import type {
  CommonStatus,
  Mount,
  MountStatus,
  PersistentVolume,
  VolumeAttachment,
} from '#api/kinds/mod.ts';
import { parseQuantity } from '#api/kinds/mod.ts';
import { HoldfastError, hasCode, type NodeId } from '#api/mod.ts';
import type { NodeCalls, Service, VolumeCapability } from '#control/csi/mod.ts';
import type { KubeClient, ReconcileContext, ReconcileResult } from '#control/kube/mod.ts';
import {
  changeStatus,
  describeError,
  EventRecorder,
  findObject,
  formatKey,
  hasFinalizer,
  Informer,
  isDeleting,
  keyOf,
  parseKey,
  reasonOf,
  setFinalizer,
  WorkQueue,
  writeStatus,
} from '#control/kube/mod.ts';
import type { Clock, Log, Rng, Timer } from '#host/mod.ts';
import { KeyedMutex } from '#lib/mod.ts';
import type { MountedClaim } from '../claim-volume.ts';
import { findRival, observeMountedClaim } from '../claim-volume.ts';
import { capabilityOf, isMountOf, MOUNT_FINALIZER } from '../context.ts';

type NodeMountObservation = MountedClaim & { readonly mount: Mount };

/** What is mounted on this node by the CSI node service. */
export interface StagedVolume {
  readonly volume: string;
  /** Where it is staged. */
  readonly path: string;
  readonly fsType: string;
  readonly device: string;
}

export interface NodeLoopOptions {
  readonly client: KubeClient;
  readonly node: Service<NodeCalls>;
  readonly nodeName: NodeId;
  /** Where volumes are staged; made when it is needed. */
  readonly stagingDirectory: string;
  readonly staged: () => readonly StagedVolume[];
  /** Where a staged volume is published. */
  readonly targetsOf: (staged: StagedVolume) => Promise<readonly string[]>;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
}

const BACK_OFF_MAX_MS = 5_000;
/** Programs that use what nobody wants may end, and an engine that is away comes back. */
const SWEEP_MS = 5_000;
const MOVING: ReadonlySet<string> = new Set(['Mounting', 'NotCurrent', 'NotFound']);

export class NodeLoop {
  readonly #options: NodeLoopOptions;
  readonly #context: ReconcileContext;
  readonly #queue: WorkQueue;
  readonly #informers: readonly { start(): Promise<void>; stop(): void }[];
  readonly #mounts: Informer<'Mount'>;
  readonly #persistentVolumes: Informer<'PersistentVolume'>;
  /** The capacity that the filesystem of a volume was told of. */
  readonly #grownTo = new Map<string, string>();
  readonly #volumes = new KeyedMutex();
  #isQuiesced = false;
  #nextSweep: Timer | null = null;

  constructor(options: NodeLoopOptions) {
    this.#options = options;
    const { client, clock, rng, log, nodeName } = options;
    this.#context = {
      client,
      clock,
      events: new EventRecorder({ client, clock, rng, log, instance: nodeName }),
      movingReasons: MOVING,
    };
    this.#queue = new WorkQueue({
      name: 'mount',
      clock,
      rng,
      log,
      backOffMaxMs: BACK_OFF_MAX_MS,
      reconcile: (key) => this.#reconcile(key),
    });
    this.#mounts = new Informer({
      kind: 'Mount',
      client,
      clock,
      log,
      onChange: (key, before, after) => this.#onMount(key, before, after),
    });
    this.#persistentVolumes = new Informer({
      kind: 'PersistentVolume',
      client,
      clock,
      log,
      onChange: (_key, before, after) => this.#addMountsOf(after ?? before),
    });
    const attachments = new Informer({
      kind: 'VolumeAttachment',
      client,
      clock,
      log,
      onChange: (_key, before, after) => this.#onAttachment(after ?? before),
    });
    this.#informers = [this.#mounts, attachments, this.#persistentVolumes];
  }

  /** Resolves when work has begun. */
  async start(): Promise<void> {
    await Promise.all(this.#informers.map((informer) => informer.start()));
    await this.#trySweep();
  }

  async stop(): Promise<void> {
    for (const informer of this.#informers) informer.stop();
    this.#nextSweep?.cancel();
    await this.#queue.stop();
  }

  /**
   * Takes everything down and mounts nothing more; the Mounts stay, so that the next start mounts
   * them again. Answers what cannot be taken down, in words.
   */
  async quiesce(): Promise<string[]> {
    this.#isQuiesced = true;
    while (!this.#queue.isIdle()) await this.#options.clock.sleep(10);
    const busy: string[] = [];
    const attempt = async (act: () => Promise<unknown>): Promise<void> => {
      try {
        await act();
      } catch (error) {
        if (!HoldfastError.is(error)) throw error;
        busy.push(describeError(error));
      }
    };
    // Block devices are staged nowhere: their Mounts say where they are.
    for (const { spec, status } of this.#mounts.all()) {
      const volumeId = status?.volumeName;
      if (spec.nodeName !== this.#options.nodeName || volumeId === undefined) continue;
      const request = { volumeId, targetPath: spec.path };
      await attempt(() => this.#options.node.NodeUnpublishVolume(request));
    }
    for (const staged of this.#options.staged()) await attempt(() => this.#takeDown(staged));
    return busy;
  }

  #onMount(key: string, before: Mount | undefined, after: Mount | undefined): void {
    const mount = after ?? before;
    if (mount?.spec.nodeName !== this.#options.nodeName) return;
    // Our own words about it are no news.
    const isSame =
      before?.metadata.generation === after?.metadata.generation &&
      before?.metadata.deletionTimestamp === after?.metadata.deletionTimestamp;
    if (!isSame) this.#queue.add(key);
    if (after !== undefined) return;
    // One that waited for it goes on.
    const { claimName } = mount.spec;
    const { namespace } = mount.metadata;
    this.#addMounts((other) => {
      return other.spec.claimName === claimName && other.metadata.namespace === namespace;
    });
    void this.#trySweep();
  }

  #onAttachment(attachment: VolumeAttachment | undefined): void {
    if (attachment?.spec.nodeName !== this.#options.nodeName) return;
    const name = attachment.spec.source.persistentVolumeName;
    this.#addMountsOf(this.#persistentVolumes.find({ name }));
  }

  /** All of this node when nobody knows what the volume is bound to. */
  #addMountsOf(persistentVolume: PersistentVolume | undefined): void {
    this.#addMounts(
      (mount) => persistentVolume === undefined || isMountOf(mount, persistentVolume),
    );
  }

  #addMounts(isMeant: (mount: Mount) => boolean): void {
    for (const mount of this.#mounts.all()) {
      if (mount.spec.nodeName !== this.#options.nodeName || !isMeant(mount)) continue;
      this.#queue.addGently(formatKey(keyOf(mount)));
    }
  }

  async #reconcile(text: string): Promise<ReconcileResult> {
    const { namespace = 'default', name } = parseKey(text);
    const mount = await findObject(this.#context, 'Mount', { namespace, name });
    if (mount === undefined || this.#isQuiesced) return {};
    if (mount.spec.nodeName !== this.#options.nodeName) return {};
    // Mounts of one volume share its staging: which of them is the last is decided one by one.
    await this.#volumes.run(`${namespace}/${mount.spec.claimName}`, () => this.#settle(mount));
    return {};
  }

  async #settle(mount: Mount): Promise<void> {
    const seen = { mount, ...(await observeMountedClaim(this.#context, mount)) };
    try {
      if (isDeleting(mount)) await this.#unmount(seen);
      else await this.#mount(seen);
    } catch (error) {
      if (!HoldfastError.is(error) || error.code === 'conflict') throw error;
      await this.#say(seen, error);
      throw error;
    }
  }

  async #mount(seen: NodeMountObservation): Promise<void> {
    const { mount, claim, persistentVolume, attachment } = seen;
    const { csi } = persistentVolume?.spec ?? {};
    const isAttached = attachment?.status?.attached === true && !isDeleting(attachment);
    if (claim === undefined || csi === undefined || !isAttached) return;
    // The controller says for whom it waits.
    if (findRival(mount, seen) !== undefined) return;
    const { client, node } = this.#options;
    await setFinalizer(client, 'Mount', keyOf(mount), MOUNT_FINALIZER, true);
    const volumeId = csi.volumeHandle;
    // Before anything of it is mounted: who sweeps must know that it is wanted.
    await changeStatus(client, 'Mount', keyOf(mount), (status) =>
      status.volumeName === volumeId ? status : { ...status, volumeName: volumeId },
    );
    const stagingTargetPath = this.#stagingOf(volumeId);
    const request = {
      volumeId,
      publishContext: attachment.status?.attachmentMetadata ?? {},
      stagingTargetPath,
      volumeCapability: withFlags(
        capabilityOf(claim, csi.fsType ?? ''),
        persistentVolume?.spec.mountOptions ?? [],
      ),
      volumeContext: csi.volumeAttributes ?? {},
    };
    await node.NodeStageVolume(request);
    const readonly = mount.spec.readOnly ?? false;
    await node.NodePublishVolume({ ...request, targetPath: mount.spec.path, readonly });
    const growth = await this.#grow(seen, volumeId, stagingTargetPath);
    const staged = this.#options.staged().find((entry) => entry.path === stagingTargetPath);
    const what = staged === undefined ? 'block device' : `${staged.fsType} on ${staged.device}`;
    const message = `${what} at ${mount.spec.path}`;
    const grownTo = this.#grownTo.get(volumeId);
    const values: Partial<MountStatus> = {
      ...(staged === undefined ? { devicePath: mount.spec.path } : {}),
      ...(grownTo === undefined
        ? {}
        : { filesystemBytes: parseQuantity('spec.capacity.storage', grownTo) }),
    };
    await writeStatus(this.#context, 'Mount', keyOf(mount), {
      conditions: [
        { type: 'Ready', status: 'True', reason: 'Mounted', message },
        ...(growth === undefined ? [] : [growth]),
      ],
      drop: growth === undefined ? ['FilesystemGrown'] : [],
      values: values as Partial<CommonStatus>,
    });
  }

  /** A filesystem that cannot grow stays mounted, and says so. */
  async #grow(
    { persistentVolume, claim }: NodeMountObservation,
    volumeId: string,
    volumePath: string,
  ): Promise<
    | {
        readonly type: string;
        readonly status: 'False';
        readonly reason: string;
        readonly message: string;
      }
    | undefined
  > {
    const capacity = persistentVolume?.spec.capacity.storage ?? '';
    if (claim?.spec.volumeMode === 'Block' || this.#grownTo.get(volumeId) === capacity) {
      return undefined;
    }
    try {
      await this.#options.node.NodeExpandVolume({
        volumeId,
        volumePath,
        capacityRange: null,
        stagingTargetPath: volumePath,
        volumeCapability: null,
      });
      this.#grownTo.set(volumeId, capacity);
      return undefined;
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      const message = describeError(error);
      return { type: 'FilesystemGrown', status: 'False', reason: reasonOf(error.code), message };
    }
  }

  async #unmount({ mount, persistentVolume, others }: NodeMountObservation): Promise<void> {
    if (!hasFinalizer(mount, MOUNT_FINALIZER)) return;
    const { client, node } = this.#options;
    const volumeId = mount.status?.volumeName ?? persistentVolume?.spec.csi?.volumeHandle;
    if (volumeId !== undefined) {
      await node.NodeUnpublishVolume({ volumeId, targetPath: mount.spec.path });
      // The last one takes the staging with it.
      const isShared = others.some(
        (other) =>
          other.spec.nodeName === mount.spec.nodeName && hasFinalizer(other, MOUNT_FINALIZER),
      );
      if (!isShared) {
        await this.#unstage(volumeId, this.#stagingOf(volumeId));
      }
    }
    try {
      await setFinalizer(client, 'Mount', keyOf(mount), MOUNT_FINALIZER, false);
    } catch (error) {
      if (!hasCode(error, 'not-found')) throw error;
    }
  }

  async #unstage(volumeId: string, stagingTargetPath: string): Promise<void> {
    this.#grownTo.delete(volumeId);
    await this.#options.node.NodeUnstageVolume({ volumeId, stagingTargetPath });
  }

  async #takeDown(staged: StagedVolume): Promise<void> {
    for (const targetPath of await this.#options.targetsOf(staged)) {
      await this.#options.node.NodeUnpublishVolume({ volumeId: staged.volume, targetPath });
    }
    await this.#unstage(staged.volume, staged.path);
  }

  /** Takes down what no Mount wants: it was given up while this node was away. */
  async #sweep(): Promise<void> {
    const all = this.#options.staged();
    // Asked afterwards: a Mount names its volume before that is staged.
    const { items } = await this.#options.client.list('Mount');
    const wanted = new Set(
      items
        .filter((mount) => mount.spec.nodeName === this.#options.nodeName)
        .flatMap((mount) => mount.status?.volumeName ?? [])
        .map((volume) => this.#stagingOf(volume)),
    );
    for (const staged of all) {
      const isOurs = staged.path.startsWith(`${this.#options.stagingDirectory}/`);
      if (!isOurs || wanted.has(staged.path)) continue;
      try {
        await this.#takeDown(staged);
      } catch (error) {
        if (!HoldfastError.is(error)) throw error;
        this.#options.log.warn('what nobody wants cannot be unmounted', {
          volume: staged.volume,
          code: error.code,
        });
        this.#sweepLater();
      }
    }
  }

  #sweepLater(): void {
    this.#nextSweep?.cancel();
    this.#nextSweep = this.#options.clock.after(SWEEP_MS, () => void this.#trySweep());
  }

  async #trySweep(): Promise<void> {
    if (this.#isQuiesced) return;
    try {
      await this.#sweep();
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      this.#options.log.warn('sweeping failed', { code: error.code });
      this.#sweepLater();
    }
  }

  async #say({ mount }: NodeMountObservation, error: HoldfastError): Promise<void> {
    const reason = reasonOf(error.code);
    const message = describeError(error);
    const type = isDeleting(mount) ? 'Terminating' : 'Ready';
    // What is mounted stays so, whatever an engine that is being restarted answers now.
    const isMounted = this.#options
      .staged()
      .some((entry) => entry.path === this.#stagingOf(mount.status?.volumeName ?? ''));
    if (type === 'Ready' && isMounted) return;
    const status = type === 'Ready' ? 'False' : 'True';
    await writeStatus(this.#context, 'Mount', keyOf(mount), {
      conditions: [{ type, status, reason, message }],
      drop: [],
      values: {},
    });
  }

  #stagingOf(volumeId: string): string {
    return `${this.#options.stagingDirectory}/${volumeId}`;
  }
}

function withFlags(capability: VolumeCapability, flags: readonly string[]): VolumeCapability {
  const { mount } = capability;
  if (mount === undefined || mount === null) return capability;
  return { ...capability, mount: { ...mount, mountFlags: flags } };
}
