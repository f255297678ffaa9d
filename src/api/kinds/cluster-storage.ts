/**
 * The kinds with which Kubernetes itself keeps volumes: read and written by the embedded loops.
 * Types say what those use; the API server's schemas say what is allowed, so objects are taken here
 * as they come.
 */
import { z } from 'zod';
import type { PersistentVolumeClaim } from './claim.ts';
import type { ObjectMeta } from './object-meta.ts';
import { metaSchema, subdomainName } from './object-meta.ts';
import type { Volume } from './volume.ts';

export type AccessModeName =
  | 'ReadWriteOnce'
  | 'ReadOnlyMany'
  | 'ReadWriteMany'
  | 'ReadWriteOncePod';

export interface ClaimReference {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid?: string | undefined;
}

export interface PersistentVolume {
  readonly apiVersion: 'v1';
  readonly kind: 'PersistentVolume';
  readonly metadata: ObjectMeta;
  readonly spec: {
    readonly capacity: { readonly storage: string };
    readonly accessModes: readonly AccessModeName[];
    readonly persistentVolumeReclaimPolicy?: 'Delete' | 'Retain' | 'Recycle';
    readonly storageClassName?: string | undefined;
    readonly volumeMode?: 'Filesystem' | 'Block';
    readonly mountOptions?: readonly string[];
    readonly claimRef?: ClaimReference | undefined;
    readonly csi?: {
      readonly driver: string;
      readonly volumeHandle: string;
      readonly fsType?: string;
      readonly volumeAttributes?: Readonly<Record<string, string>>;
    };
  };
  readonly status?: {
    readonly phase?: 'Pending' | 'Available' | 'Bound' | 'Released' | 'Failed';
    readonly reason?: string;
    readonly message?: string;
  };
}

export interface VolumeAttachment {
  readonly apiVersion: 'storage.k8s.io/v1';
  readonly kind: 'VolumeAttachment';
  readonly metadata: ObjectMeta;
  readonly spec: {
    readonly attacher: string;
    readonly nodeName: string;
    readonly source: { readonly persistentVolumeName: string };
  };
  readonly status?: {
    readonly attached: boolean;
    readonly attachmentMetadata?: Readonly<Record<string, string>> | undefined;
    readonly attachError?: AttachProblem | undefined;
    readonly detachError?: AttachProblem | undefined;
  };
}

export interface AttachProblem {
  /** RFC 3339. */
  readonly time?: string;
  readonly message: string;
}

/** One of the two sources. */
export interface VolumeSnapshot {
  readonly apiVersion: 'snapshot.storage.k8s.io/v1';
  readonly kind: 'VolumeSnapshot';
  readonly metadata: ObjectMeta;
  readonly spec: {
    readonly source: {
      readonly persistentVolumeClaimName?: string | undefined;
      readonly volumeSnapshotContentName?: string | undefined;
    };
    readonly volumeSnapshotClassName?: string | undefined;
  };
  readonly status?: {
    readonly boundVolumeSnapshotContentName?: string;
    readonly creationTime?: string;
    readonly readyToUse?: boolean;
    readonly restoreSize?: string;
    readonly error?: SnapshotProblem | undefined;
  };
}

export interface SnapshotProblem {
  readonly time?: string;
  readonly message: string;
}

export interface VolumeSnapshotClass {
  readonly apiVersion: 'snapshot.storage.k8s.io/v1';
  readonly kind: 'VolumeSnapshotClass';
  readonly metadata: ObjectMeta;
  readonly driver: string;
  readonly deletionPolicy: 'Delete' | 'Retain';
  readonly parameters?: Readonly<Record<string, string>>;
}

export interface VolumeSnapshotContent {
  readonly apiVersion: 'snapshot.storage.k8s.io/v1';
  readonly kind: 'VolumeSnapshotContent';
  readonly metadata: ObjectMeta;
  readonly spec: {
    readonly driver: string;
    readonly deletionPolicy: 'Delete' | 'Retain';
    /** One of the two. */
    readonly source: {
      readonly volumeHandle?: string | undefined;
      readonly snapshotHandle?: string | undefined;
    };
    readonly sourceVolumeMode?: 'Filesystem' | 'Block';
    readonly volumeSnapshotClassName?: string | undefined;
    readonly volumeSnapshotRef: ClaimReference;
  };
  readonly status?: {
    readonly snapshotHandle?: string;
    /** Nanoseconds since 1970. */
    readonly creationTime?: number;
    readonly readyToUse?: boolean;
    /** Bytes. */
    readonly restoreSize?: number;
    readonly error?: SnapshotProblem | undefined;
  };
}

export interface Namespace {
  readonly apiVersion: 'v1';
  readonly kind: 'Namespace';
  readonly metadata: ObjectMeta;
  readonly status?: { readonly phase?: string };
}

/** Whether the volume is being made for the claim, which has none yet. */
export function isMadeFor(volume: Volume, { metadata }: PersistentVolumeClaim): boolean {
  const { claimRef } = volume.spec;
  return (
    volume.metadata.deletionTimestamp === undefined &&
    claimRef?.name === metadata.name &&
    claimRef?.namespace === metadata.namespace
  );
}

/** What people know a snapshot by: the VolumeSnapshot that has it, else the snapshot itself. */
export function titleOfSnapshot(
  name: string,
  contents: readonly VolumeSnapshotContent[],
): string | undefined {
  const content = contents.find(({ status }) => status?.snapshotHandle === name);
  if (content === undefined) return undefined;
  const { namespace, name: own } = content.spec.volumeSnapshotRef;
  return `VolumeSnapshot ${namespace}/${own}`;
}

/** As it comes, but for what names are made of. */
export function foreignKind(apiVersion: string, kind: string, isNamespaced: boolean): z.ZodType {
  return z.looseObject({
    apiVersion: z.literal(apiVersion),
    kind: z.literal(kind),
    metadata: metaSchema(subdomainName, isNamespaced),
  });
}

/** What a claim's volume is called: the provisioner's and the binder's agreement. */
export function persistentVolumeNameOf(claim: PersistentVolumeClaim): string {
  return `pvc-${claim.metadata.uid ?? ''}`;
}
