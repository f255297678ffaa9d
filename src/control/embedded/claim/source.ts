/** What a claim is to be made from: another claim, a VolumeSnapshot, or a Snapshot of ours. */
import type { PersistentVolumeClaim, Snapshot, VolumeSnapshot } from '#api/kinds/mod.ts';
import { API_VERSION, findCondition, parseQuantity } from '#api/kinds/mod.ts';
import { PROVISIONER } from '#api/mod.ts';
import { findObject } from '#control/kube/mod.ts';
import { findBound } from '../claim-volume.ts';
import type { EmbeddedContext } from '../context.ts';
import { isAskedInTime, SNAPSHOT_API_GROUP } from '../snapshot-names.ts';

/** Usable, or why it is not. */
export type ClaimSource =
  | {
      readonly isUsable: true;
      readonly kind: 'snapshot' | 'volume';
      readonly name: string;
      /** The id for CSI. */
      readonly handle: string;
      /** The least that a claim made from it may ask for; 0 when it is not known. */
      readonly sizeBytes: number;
      /** The only mode that it can be used in; undefined for both. */
      readonly volumeMode: 'Filesystem' | 'Block' | undefined;
    }
  | { readonly isUsable: false; readonly reason: string; readonly message: string };

type Reader = Pick<EmbeddedContext, 'client'>;
type Reference = NonNullable<PersistentVolumeClaim['spec']['dataSourceRef']>;

/** An owner of snapshots says with it that a filesystem may be read as a block device. */
const MODE_CHANGE = 'snapshot.storage.kubernetes.io/allow-volume-mode-change';
const OUR_GROUP = API_VERSION.slice(0, API_VERSION.indexOf('/'));

/** Null for a claim that begins empty. */
export async function findSource(
  context: Reader,
  claim: PersistentVolumeClaim,
): Promise<ClaimSource | null> {
  const source = claim.spec.dataSourceRef ?? claim.spec.dataSource ?? null;
  if (source === null) return null;
  const { namespace = 'default' } = claim.metadata;
  if (source.namespace !== undefined && source.namespace !== namespace) {
    const message = `A source in another namespace (${source.namespace}) is not served: copy it there first`;
    return refused('SourceElsewhere', message);
  }
  const kind = `${source.apiGroup ?? ''}/${source.kind}`;
  switch (kind) {
    case '/PersistentVolumeClaim':
      return findClaimSource(context, source, namespace);
    case `${SNAPSHOT_API_GROUP}/VolumeSnapshot`:
      return findSnapshotSource(context, claim, source, namespace);
    case `${OUR_GROUP}/Snapshot`:
      return findOwnSnapshot(context, source, namespace);
    default: {
      const message = `A claim cannot be made from ${kind}: use a VolumeSnapshot or a PersistentVolumeClaim`;
      return refused('SourceUnsupported', message);
    }
  }
}

function refused(reason: string, message: string): ClaimSource {
  return { isUsable: false, reason, message };
}

function absent({ kind, name }: Reference): ClaimSource {
  return refused('SourceMissing', `There is no ${kind} ${name} in this namespace`);
}

async function findClaimSource(
  context: Reader,
  source: Reference,
  namespace: string,
): Promise<ClaimSource> {
  const { name } = source;
  const claim = await findObject(context, 'PersistentVolumeClaim', { namespace, name });
  if (claim === undefined) return absent(source);
  const {
    csi,
    capacity,
    volumeMode = 'Filesystem',
  } = (await findBound(context, claim))?.spec ?? {};
  if (csi === undefined || capacity === undefined) {
    const why = findCondition((claim.status ?? {}).conditions, 'Ready')?.message ?? '';
    const message = `Claim ${name} has no volume yet${why === '' ? '' : `: ${why}`}`;
    return refused('SourceNotReady', message);
  }
  if (csi.driver !== PROVISIONER) return served(name, csi.driver);
  return {
    isUsable: true,
    kind: 'volume',
    name,
    handle: csi.volumeHandle,
    sizeBytes: parseQuantity('spec.capacity.storage', capacity.storage),
    volumeMode,
  };
}

function served(name: string, driver: string): ClaimSource {
  return refused('OtherDriver', `${name} is served by ${driver}, not by Holdfast`);
}

async function findSnapshotSource(
  context: Reader,
  claim: PersistentVolumeClaim,
  source: Reference,
  namespace: string,
): Promise<ClaimSource> {
  const { name } = source;
  const snapshot = await findObject(context, 'VolumeSnapshot', { namespace, name });
  if (snapshot === undefined) return absent(source);
  if (!isAskedInTime(claim, snapshot)) {
    return refused('SourceTerminating', `VolumeSnapshot ${name} is being deleted`);
  }
  const content = await findContent(context, snapshot);
  const { snapshotHandle, restoreSize } = content?.status ?? {};
  if (
    content === undefined ||
    snapshotHandle === undefined ||
    snapshot.status?.readyToUse !== true
  ) {
    const why = snapshot.status?.error?.message ?? 'it is being taken';
    return refused('SourceNotReady', `VolumeSnapshot ${name} is not ready: ${why}`);
  }
  if (content.spec.driver !== PROVISIONER) return served(name, content.spec.driver);
  const mayChange = content.metadata.annotations?.[MODE_CHANGE] === 'true';
  return {
    isUsable: true,
    kind: 'snapshot',
    name,
    handle: snapshotHandle,
    sizeBytes: restoreSize ?? 0,
    volumeMode: mayChange ? undefined : content.spec.sourceVolumeMode,
  };
}

/** Bound to it both ways: a name alone may be of another snapshot. */
async function findContent(context: Reader, { metadata, status }: VolumeSnapshot) {
  const { boundVolumeSnapshotContentName: name } = status ?? {};
  if (name === undefined) return undefined;
  const content = await findObject(context, 'VolumeSnapshotContent', { name });
  return content?.spec.volumeSnapshotRef.uid === metadata.uid ? content : undefined;
}

async function findOwnSnapshot(
  context: Reader,
  source: Reference,
  namespace: string,
): Promise<ClaimSource> {
  const { name } = source;
  const snapshot = await findObject(context, 'Snapshot', { name });
  if (snapshot === undefined || !isVisible(snapshot, namespace)) return absent(source);
  const sizeBytes = snapshot.status?.sizeBytes ?? 0;
  return {
    isUsable: true,
    kind: 'snapshot',
    name,
    handle: name,
    sizeBytes,
    volumeMode: undefined,
  };
}

/** A snapshot of another namespace's claim is not this namespace's to read. */
function isVisible({ spec: { claimRef } }: Snapshot, namespace: string): boolean {
  return claimRef === undefined || claimRef.namespace === namespace;
}
