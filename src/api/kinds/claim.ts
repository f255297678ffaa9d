/** The kinds of Kubernetes itself that we read: PersistentVolumeClaim, StorageClass, Event. */
import { z } from 'zod';
import type { Condition } from './conditions.ts';
import type { ObjectMeta } from './object-meta.ts';
import { labelName, subdomainName, volumeSize } from './object-meta.ts';

const dataSource = z.strictObject({
  apiGroup: z.string().nullable().optional(),
  kind: z.enum(['Snapshot', 'VolumeSnapshot', 'PersistentVolumeClaim']),
  name: subdomainName,
  namespace: labelName.optional(),
});

export const claimSpec = z.strictObject({
  accessModes: z
    .array(
      z.enum(['ReadWriteOnce', 'ReadWriteOncePod', 'ReadOnlyMany'], {
        error:
          'must be ReadWriteOnce, ReadWriteOncePod or ReadOnlyMany: volumes that several nodes write are not served',
      }),
      { error: 'must name an access mode, as [ReadWriteOnce]' },
    )
    .min(1, 'must name an access mode'),
  resources: z.strictObject({
    requests: z.strictObject({ storage: volumeSize }),
    limits: z.strictObject({ storage: volumeSize }).optional(),
  }),
  storageClassName: subdomainName.optional(),
  volumeMode: z.enum(['Filesystem', 'Block']).optional(),
  volumeName: labelName.optional(),
  dataSource: dataSource.nullable().optional(),
  dataSourceRef: dataSource.nullable().optional(),
});

export const classBody = {
  provisioner: z.string().min(1, 'must name a provisioner'),
  parameters: z.record(z.string(), z.string()).optional(),
  reclaimPolicy: z.enum(['Delete', 'Retain']).optional(),
  volumeBindingMode: z.enum(['Immediate', 'WaitForFirstConsumer']).optional(),
  allowVolumeExpansion: z.boolean().optional(),
  mountOptions: z.array(z.string()).optional(),
};

export type PersistentVolumeClaimSpec = z.infer<typeof claimSpec>;

export interface PersistentVolumeClaimStatus {
  readonly phase?: 'Pending' | 'Bound' | 'Lost' | undefined;
  readonly accessModes?: readonly string[] | undefined;
  readonly capacity?: { readonly storage: string } | undefined;
  readonly conditions?: readonly Condition[] | undefined;
}

export interface PersistentVolumeClaim {
  readonly apiVersion: string;
  readonly kind: 'PersistentVolumeClaim';
  readonly metadata: ObjectMeta;
  readonly spec: PersistentVolumeClaimSpec;
  readonly status?: PersistentVolumeClaimStatus | undefined;
}

export interface StorageClass {
  readonly apiVersion: string;
  readonly kind: 'StorageClass';
  readonly metadata: ObjectMeta;
  readonly provisioner: string;
  readonly parameters?: Readonly<Record<string, string>> | undefined;
  readonly reclaimPolicy?: 'Delete' | 'Retain' | undefined;
  readonly volumeBindingMode?: 'Immediate' | 'WaitForFirstConsumer' | undefined;
  readonly allowVolumeExpansion?: boolean | undefined;
  readonly mountOptions?: readonly string[] | undefined;
}

export interface ObjectReference {
  readonly kind: string;
  readonly namespace?: string | undefined;
  readonly name: string;
  readonly uid?: string | undefined;
}

export interface Event {
  readonly apiVersion: string;
  readonly kind: 'Event';
  readonly metadata: ObjectMeta;
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly note: string;
  readonly action: string;
  readonly eventTime: string;
  readonly regarding: ObjectReference;
  readonly reportingController: string;
  readonly reportingInstance: string;
}
