import type { KindName, ObjectOf } from '#api/kinds/mod.ts';
import { persistentVolumeNameOf } from '#api/kinds/mod.ts';
import { CONTROL_PLANE } from '#api/mod.ts';
import type { ControllerCalls, Service } from '#control/csi/mod.ts';
import type { KubeClient, ReconcileResult } from '#control/kube/mod.ts';
import { EventRecorder, formatKey, Informer, keyOf, WorkQueue } from '#control/kube/mod.ts';
import type { Clock, Log, Rng } from '#host/mod.ts';
import { reconcileAttachment } from './attachment/apply.ts';
import { reconcileClaim } from './claim/apply.ts';
import type { EmbeddedContext } from './context.ts';
import { attachmentNameOf, isMountOf } from './context.ts';
import { reconcileMount } from './mount/apply.ts';
import { reconcilePersistentVolume } from './persistent-volume/apply.ts';
import { reconcileSnapshotContent } from './snapshot-content/apply.ts';
import { sourceSnapshotOf } from './snapshot-names.ts';
import { reconcileVolumeSnapshot } from './volume-snapshot/apply.ts';

export interface EmbeddedOptions {
  readonly client: KubeClient;
  /** Called as the sidecars call it. */
  readonly controller: Service<ControllerCalls>;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
}

/** Calls wait for what they began: as many volumes can be made at once. */
const CONCURRENCY = 32;
/** Callers of CSI come again with back-off; people wait for these. */
const BACK_OFF_MAX_MS = 5_000;
const MOVING: ReadonlySet<string> = new Set([
  'Provisioning',
  'SourceNotReady',
  'WaitForFirstConsumer',
  'Growing',
  'ReplicasMissing',
  'Attaching',
]);

export class EmbeddedControllers {
  readonly #options: EmbeddedOptions;
  readonly #context: EmbeddedContext;
  readonly #claims: WorkQueue;
  readonly #persistentVolumes: WorkQueue;
  readonly #mounts: WorkQueue;
  readonly #attachments: WorkQueue;
  readonly #snapshots: WorkQueue;
  readonly #contents: WorkQueue;
  readonly #informers: readonly { start(): Promise<void>; stop(): void }[];
  readonly #claimInformer: Informer<'PersistentVolumeClaim'>;
  readonly #persistentVolumeInformer: Informer<'PersistentVolume'>;
  readonly #mountInformer: Informer<'Mount'>;
  readonly #snapshotInformer: Informer<'VolumeSnapshot'>;

  constructor(options: EmbeddedOptions) {
    this.#options = options;
    const { client, clock, rng, log, controller } = options;
    this.#context = {
      client,
      clock,
      controller,
      events: new EventRecorder({ client, clock, rng, log, instance: CONTROL_PLANE }),
      movingReasons: MOVING,
    };
    this.#claims = this.#createQueue('claim', reconcileClaim);
    this.#persistentVolumes = this.#createQueue('persistent-volume', reconcilePersistentVolume);
    this.#mounts = this.#createQueue('mount', reconcileMount);
    this.#attachments = this.#createQueue('attachment', reconcileAttachment);
    this.#snapshots = this.#createQueue('volume-snapshot', reconcileVolumeSnapshot);
    this.#contents = this.#createQueue('snapshot-content', reconcileSnapshotContent);
    this.#persistentVolumeInformer = this.#createInformer('PersistentVolume', (pv) =>
      this.#onPersistentVolume(pv),
    );
    this.#mountInformer = this.#createInformer('Mount', (mount) => this.#onMount(mount));
    this.#claimInformer = this.#createInformer('PersistentVolumeClaim', (claim) =>
      this.#onClaim(claim),
    );
    this.#snapshotInformer = this.#createInformer('VolumeSnapshot', (snapshot) =>
      this.#onVolumeSnapshot(snapshot),
    );
    this.#informers = [
      this.#claimInformer,
      this.#persistentVolumeInformer,
      this.#mountInformer,
      this.#snapshotInformer,
      this.#createInformer('VolumeSnapshotContent', (content) => this.#onContent(content)),
      this.#createInformer('VolumeSnapshotClass', () => this.#addSnapshots(() => true)),
      this.#createInformer('VolumeAttachment', (entry) => this.#onAttachment(entry)),
      this.#createInformer('StorageNode', () => this.#addMounts(() => true)),
      this.#createInformer('StorageClass', () => this.#onNews()),
      this.#createInformer('Volume', (volume) => this.#onVolume(volume)),
      this.#createInformer('Snapshot', () => this.#onNews()),
    ];
  }

  /** Resolves when the caches are filled and work has begun. */
  async start(): Promise<void> {
    await Promise.all(this.#informers.map((informer) => informer.start()));
  }

  /** Waits for what runs; nothing is undone. */
  async stop(): Promise<void> {
    for (const informer of this.#informers) informer.stop();
    const queues = [
      this.#claims,
      this.#persistentVolumes,
      this.#mounts,
      this.#attachments,
      this.#snapshots,
      this.#contents,
    ];
    await Promise.all(queues.map((queue) => queue.stop()));
  }

  #createQueue(
    name: string,
    reconcile: (context: EmbeddedContext, key: string) => Promise<ReconcileResult>,
  ): WorkQueue {
    const { clock, rng, log } = this.#options;
    return new WorkQueue({
      name,
      clock,
      rng,
      log,
      concurrency: CONCURRENCY,
      backOffMaxMs: BACK_OFF_MAX_MS,
      reconcile: (key) => reconcile(this.#context, key),
    });
  }

  #createInformer<Kind extends KindName>(
    kind: Kind,
    onChange: (object: ObjectOf<Kind>) => void,
  ): Informer<Kind> {
    const { client, clock, log } = this.#options;
    return new Informer({
      kind,
      client,
      clock,
      log,
      onChange: (_key, before, after) => {
        const object = after ?? before;
        if (object !== undefined) onChange(object);
      },
    });
  }

  #onClaim(claim: ObjectOf<'PersistentVolumeClaim'>): void {
    this.#claims.addGently(formatKey(keyOf(claim)));
    const name = claim.spec.volumeName ?? persistentVolumeNameOf(claim);
    this.#persistentVolumes.addGently(name);
    this.#addMounts(({ metadata, spec }) => {
      return (
        metadata.namespace === claim.metadata.namespace && spec.claimName === claim.metadata.name
      );
    });
    const sourceName = sourceSnapshotOf(claim);
    this.#addSnapshots(({ metadata, spec }) => {
      if (metadata.namespace !== claim.metadata.namespace) return false;
      const { persistentVolumeClaimName } = spec.source;
      return metadata.name === sourceName || persistentVolumeClaimName === claim.metadata.name;
    });
  }

  #onVolumeSnapshot(snapshot: ObjectOf<'VolumeSnapshot'>): void {
    this.#snapshots.addGently(formatKey(keyOf(snapshot)));
    // The claim that it is of may be waiting for the last of its snapshots, or be free again.
    const { namespace } = snapshot.metadata;
    const { persistentVolumeClaimName } = snapshot.spec.source;
    this.#addSnapshots(
      ({ metadata, spec }) =>
        metadata.namespace === namespace &&
        spec.source.persistentVolumeClaimName === persistentVolumeClaimName,
    );
    const { boundVolumeSnapshotContentName: content } = snapshot.status ?? {};
    if (content !== undefined) this.#contents.addGently(content);
    if (persistentVolumeClaimName !== undefined) {
      this.#claims.addGently(formatKey({ namespace, name: persistentVolumeClaimName }));
    }
    this.#onNews();
  }

  #onContent({ metadata, spec }: ObjectOf<'VolumeSnapshotContent'>): void {
    this.#contents.addGently(metadata.name);
    const { namespace, name } = spec.volumeSnapshotRef;
    this.#snapshots.addGently(formatKey({ namespace, name }));
  }

  #addSnapshots(isMeant: (snapshot: ObjectOf<'VolumeSnapshot'>) => boolean): void {
    for (const snapshot of this.#snapshotInformer.all()) {
      if (isMeant(snapshot)) this.#snapshots.addGently(formatKey(keyOf(snapshot)));
    }
  }

  #onMount(mount: ObjectOf<'Mount'>): void {
    const { namespace = 'default' } = mount.metadata;
    const { claimName, nodeName } = mount.spec;
    // One that waits for another goes on when that is gone.
    this.#addMounts(({ spec }) => spec.claimName === claimName);
    this.#mounts.addGently(formatKey(keyOf(mount)));
    this.#claims.addGently(formatKey({ namespace, name: claimName }));
    const bound = this.#persistentVolumeInformer.all().find((pv) => isMountOf(mount, pv));
    if (bound !== undefined) this.#attachments.addGently(attachmentNameOf(bound, nodeName));
  }

  #onAttachment({ metadata, spec }: ObjectOf<'VolumeAttachment'>): void {
    this.#attachments.addGently(metadata.name);
    const { nodeName, source } = spec;
    const persistentVolume = this.#persistentVolumeInformer.find({
      name: source.persistentVolumeName,
    });
    this.#addMounts((mount) => {
      const isOfIt = persistentVolume === undefined || isMountOf(mount, persistentVolume);
      return mount.spec.nodeName === nodeName && isOfIt;
    });
  }

  #addMounts(isMeant: (mount: ObjectOf<'Mount'>) => boolean): void {
    for (const mount of this.#mountInformer.all()) {
      if (isMeant(mount)) this.#mounts.addGently(formatKey(keyOf(mount)));
    }
  }

  #onPersistentVolume(persistentVolume: ObjectOf<'PersistentVolume'>): void {
    this.#persistentVolumes.addGently(persistentVolume.metadata.name);
    const { claimRef } = persistentVolume.spec;
    if (claimRef !== undefined) this.#claims.addGently(formatKey(claimRef));
  }

  #onVolume(volume: ObjectOf<'Volume'>): void {
    const { claimRef } = volume.spec;
    if (claimRef !== undefined) this.#claims.addGently(formatKey(claimRef));
  }

  /** A class or a source may be what somebody waits for. */
  #onNews(): void {
    for (const claim of this.#claimInformer.all()) {
      if (claim.status?.phase !== 'Bound') this.#claims.addGently(formatKey(keyOf(claim)));
    }
  }
}
