/**
 * VolumeSnapshot, its class and its content, with the fields and rules of the CRDs of
 * external-snapshotter 8.6.0.
 */
import {
  apiVersionField,
  flag,
  int64,
  kindField,
  METADATA_TEXT,
  objectMeta,
  part,
  text,
  textMap,
  time,
} from './fields.ts';
import type { PrinterColumn, Resource, Schema, ValidationRule } from './resource.ts';

const GROUP = 'snapshot.storage.k8s.io';

function struct(
  description: string,
  properties: Readonly<Record<string, Schema>>,
  more: Schema = {},
): Schema {
  return { type: 'object', description, properties, ...more };
}

function custom(
  kind: string,
  plural: string,
  given: Pick<Resource, 'shortNames' | 'isNamespaced' | 'hasStatus' | 'schema' | 'columns'>,
): Resource {
  return {
    group: GROUP,
    version: 'v1',
    kind,
    listKind: `${kind}List`,
    plural,
    singular: kind.toLowerCase(),
    categories: [],
    isCustom: true,
    hasGeneration: true,
    ...given,
  };
}

function rooted(
  description: string,
  properties: Readonly<Record<string, Schema>>,
  required: readonly string[],
): Schema {
  return struct(
    description,
    {
      apiVersion: apiVersionField,
      kind: kindField,
      metadata: part(objectMeta, METADATA_TEXT),
      ...properties,
    },
    { required },
  );
}

function shown(
  name: string,
  jsonPath: string,
  description: string,
  type: PrinterColumn['type'] = 'string',
): PrinterColumn {
  return { name, type, description, priority: 0, jsonPath };
}

const AGE = shown('Age', '.metadata.creationTimestamp', '', 'date');

function fixed(field: string): ValidationRule {
  return { rule: 'self == oldSelf', message: `${field} is immutable` };
}

function kept(field: string): ValidationRule {
  const rule = `!has(oldSelf.${field}) || has(self.${field})`;
  return { rule, message: `${field} is required once set` };
}

function oneOf(first: string, second: string): ValidationRule {
  const only = (one: string, other: string): string => `(has(self.${one}) && !has(self.${other}))`;
  const neither = `(!has(self.${first}) && has(self.${second}))`;
  return {
    rule: `${only(first, second)} || ${neither}`,
    message: `exactly one of ${first} and ${second} must be set`,
  };
}

function ruled(schema: Schema, ...rules: readonly ValidationRule[]): Schema {
  return { ...schema, 'x-kubernetes-validations': rules };
}

const snapshotError = struct('Why it did not work; taken away when it did.', {
  message: text('For people.'),
  time: time('When it was met.'),
});

const POLICIES = ['Delete', 'Retain'];
const QUANTITY_PATTERN =
  '^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))' +
  '(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$';

const volumeSnapshot = custom('VolumeSnapshot', 'volumesnapshots', {
  shortNames: ['vs'],
  isNamespaced: true,
  hasStatus: true,
  schema: rooted(
    'A wish for a snapshot of a volume, or for one that exists already.',
    {
      spec: struct(
        'What is asked for.',
        {
          source: ruled(
            struct('What the snapshot is of.', {
              persistentVolumeClaimName: ruled(
                text('Name of a claim in the same namespace, to make a snapshot of.'),
                fixed('persistentVolumeClaimName'),
              ),
              volumeSnapshotContentName: ruled(
                text('Name of a VolumeSnapshotContent that stands for an existing snapshot.'),
                fixed('volumeSnapshotContentName'),
              ),
            }),
            kept('persistentVolumeClaimName'),
            kept('volumeSnapshotContentName'),
            oneOf('volumeSnapshotContentName', 'persistentVolumeClaimName'),
          ),
          volumeSnapshotClassName: ruled(
            text('Name of the VolumeSnapshotClass; the default class when absent.'),
            {
              rule: 'size(self) > 0',
              message: 'volumeSnapshotClassName must not be the empty string when set',
            },
          ),
        },
        { required: ['source'] },
      ),
      status: struct('What was made.', {
        boundVolumeSnapshotContentName: text('Name of the VolumeSnapshotContent that it has.'),
        creationTime: time('The point in time that it holds.'),
        error: snapshotError,
        readyToUse: flag('Volumes can be made from it.'),
        restoreSize: {
          type: 'string',
          description: 'Size of the smallest volume that can be made from it.',
          pattern: QUANTITY_PATTERN,
          'x-kubernetes-int-or-string': true,
        },
        volumeGroupSnapshotName: text('Name of the group snapshot that it belongs to.'),
      }),
    },
    ['spec'],
  ),
  columns: [
    shown('ReadyToUse', '.status.readyToUse', 'Volumes can be made from it.', 'boolean'),
    shown('SourcePVC', '.spec.source.persistentVolumeClaimName', 'The claim that it is of.'),
    shown(
      'SourceSnapshotContent',
      '.spec.source.volumeSnapshotContentName',
      'The existing snapshot that it stands for.',
    ),
    shown('RestoreSize', '.status.restoreSize', 'Size of the smallest volume made from it.'),
    shown('SnapshotClass', '.spec.volumeSnapshotClassName', 'Name of the VolumeSnapshotClass.'),
    shown(
      'SnapshotContent',
      '.status.boundVolumeSnapshotContentName',
      'Name of the VolumeSnapshotContent that it has.',
    ),
    shown('CreationTime', '.status.creationTime', 'The point in time that it holds.', 'date'),
    AGE,
  ],
});

const volumeSnapshotClass = custom('VolumeSnapshotClass', 'volumesnapshotclasses', {
  shortNames: ['vsclass', 'vsclasses'],
  isNamespaced: false,
  hasStatus: false,
  schema: rooted(
    'How snapshots of this class are made.',
    {
      deletionPolicy: text('What becomes of the snapshot when its VolumeSnapshot goes.', {
        enum: POLICIES,
      }),
      driver: text('Name of the CSI driver.'),
      parameters: textMap('What the driver needs to know.'),
    },
    ['deletionPolicy', 'driver'],
  ),
  columns: [
    shown('Driver', '.driver', ''),
    shown('DeletionPolicy', '.deletionPolicy', 'What becomes of the snapshot.'),
    AGE,
  ],
});

const reference = ruled(
  struct(
    'The VolumeSnapshot that has it.',
    {
      apiVersion: text('API version of the object.'),
      fieldPath: text('A part of the object.'),
      kind: text('Kind of the object.'),
      name: text('Name of the object.'),
      namespace: text('Namespace of the object.'),
      resourceVersion: text('Version of the object.'),
      uid: text('UID of the object.'),
    },
    { 'x-kubernetes-map-type': 'atomic' },
  ),
  {
    rule: 'has(self.name) && has(self.__namespace__)',
    message: 'both spec.volumeSnapshotRef.name and spec.volumeSnapshotRef.namespace must be set',
  },
);

const contentSpec = ruled(
  struct(
    'The snapshot.',
    {
      deletionPolicy: text('What becomes of the snapshot when its VolumeSnapshot goes.', {
        enum: POLICIES,
      }),
      driver: text('Name of the CSI driver.'),
      source: ruled(
        struct('What the snapshot is of.', {
          snapshotHandle: ruled(
            text('What the driver calls a snapshot that exists already.'),
            fixed('snapshotHandle'),
          ),
          volumeHandle: ruled(
            text('What the driver calls the volume to make a snapshot of.'),
            fixed('volumeHandle'),
          ),
        }),
        kept('volumeHandle'),
        kept('snapshotHandle'),
        oneOf('volumeHandle', 'snapshotHandle'),
      ),
      sourceVolumeMode: ruled(text('Filesystem or Block.'), fixed('sourceVolumeMode')),
      volumeSnapshotClassName: text('Name of the VolumeSnapshotClass.'),
      volumeSnapshotRef: reference,
    },
    { required: ['deletionPolicy', 'driver', 'source', 'volumeSnapshotRef'] },
  ),
  kept('sourceVolumeMode'),
);

const volumeSnapshotContent = custom('VolumeSnapshotContent', 'volumesnapshotcontents', {
  shortNames: ['vsc', 'vscs'],
  isNamespaced: false,
  hasStatus: true,
  schema: rooted(
    'A snapshot in a storage system.',
    {
      spec: contentSpec,
      status: struct('What was made.', {
        creationTime: int64('The point in time that it holds, in nanoseconds since 1970.'),
        error: snapshotError,
        readyToUse: flag('Volumes can be made from it.'),
        restoreSize: { ...int64('Size of the smallest volume made from it.'), minimum: 0 },
        snapshotHandle: text('What the driver calls the snapshot.'),
        volumeGroupSnapshotHandle: text('What the driver calls the group snapshot.'),
      }),
    },
    ['spec'],
  ),
  columns: [
    shown('ReadyToUse', '.status.readyToUse', 'Volumes can be made from it.', 'boolean'),
    shown('RestoreSize', '.status.restoreSize', 'Size in bytes.', 'integer'),
    shown('DeletionPolicy', '.spec.deletionPolicy', 'What becomes of the snapshot.'),
    shown('Driver', '.spec.driver', 'Name of the CSI driver.'),
    shown(
      'VolumeSnapshotClass',
      '.spec.volumeSnapshotClassName',
      'Name of the VolumeSnapshotClass.',
    ),
    shown('VolumeSnapshot', '.spec.volumeSnapshotRef.name', 'The VolumeSnapshot that has it.'),
    shown(
      'VolumeSnapshotNamespace',
      '.spec.volumeSnapshotRef.namespace',
      'Namespace of the VolumeSnapshot.',
    ),
    AGE,
  ],
});

export const SNAPSHOT_RESOURCES: readonly Resource[] = [
  volumeSnapshot,
  volumeSnapshotClass,
  volumeSnapshotContent,
];
