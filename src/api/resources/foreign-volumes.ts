/**
 * The kinds of volumes that other systems have and a PersistentVolume can name. They are carried,
 * not understood: fields and defaults only. A line reads `field`, `field:type`, with `!` for what
 * is required and `=value` for a default.
 */
import {
  choice,
  flag,
  int32,
  needed,
  object,
  objectReference,
  about,
  secretReference,
  text,
  textMap,
  texts,
} from './fields.ts';
import type { Schema } from './resource.ts';

interface Foreign {
  /** The field of PersistentVolumeSpec in JSON and in Go. */
  readonly name: string;
  readonly goName: string;
  readonly type: string;
  readonly fields: string;
}

function foreign(name: string, goName: string, type: string, fields: string): Foreign {
  return { name, goName, type, fields };
}

const FOREIGN: readonly Foreign[] = [
  foreign(
    'awsElasticBlockStore',
    'AWSElasticBlockStore',
    'AWSElasticBlockStoreVolumeSource',
    'fsType partition:int readOnly:flag volumeID!',
  ),
  foreign(
    'azureDisk',
    'AzureDisk',
    'AzureDiskVolumeSource',
    'cachingMode:None|ReadOnly|ReadWrite=ReadWrite diskName! diskURI! fsType=ext4 ' +
      'kind:Dedicated|Managed|Shared=Shared readOnly:flag=false',
  ),
  foreign(
    'azureFile',
    'AzureFile',
    'AzureFilePersistentVolumeSource',
    'readOnly:flag secretName! secretNamespace shareName!',
  ),
  foreign(
    'cephfs',
    'CephFS',
    'CephFSPersistentVolumeSource',
    'monitors:list! path readOnly:flag secretFile secretRef:secret user',
  ),
  foreign(
    'cinder',
    'Cinder',
    'CinderPersistentVolumeSource',
    'fsType readOnly:flag secretRef:secret volumeID!',
  ),
  foreign('fc', 'FC', 'FCVolumeSource', 'fsType lun:int readOnly:flag targetWWNs:list wwids:list'),
  foreign(
    'flexVolume',
    'FlexVolume',
    'FlexPersistentVolumeSource',
    'driver! fsType options:map readOnly:flag secretRef:secret',
  ),
  foreign('flocker', 'Flocker', 'FlockerVolumeSource', 'datasetName datasetUUID'),
  foreign(
    'gcePersistentDisk',
    'GCEPersistentDisk',
    'GCEPersistentDiskVolumeSource',
    'fsType partition:int pdName! readOnly:flag',
  ),
  foreign(
    'glusterfs',
    'Glusterfs',
    'GlusterfsPersistentVolumeSource',
    'endpoints! endpointsNamespace path! readOnly:flag',
  ),
  foreign(
    'iscsi',
    'ISCSI',
    'ISCSIPersistentVolumeSource',
    'chapAuthDiscovery:flag chapAuthSession:flag fsType initiatorName iqn! ' +
      'iscsiInterface=default lun:int! portals:list readOnly:flag secretRef:secret targetPortal!',
  ),
  foreign(
    'photonPersistentDisk',
    'PhotonPersistentDisk',
    'PhotonPersistentDiskVolumeSource',
    'fsType pdID!',
  ),
  foreign(
    'portworxVolume',
    'PortworxVolume',
    'PortworxVolumeSource',
    'fsType readOnly:flag volumeID!',
  ),
  foreign(
    'quobyte',
    'Quobyte',
    'QuobyteVolumeSource',
    'group readOnly:flag registry! tenant user volume!',
  ),
  foreign(
    'rbd',
    'RBD',
    'RBDPersistentVolumeSource',
    'fsType image! keyring=/etc/ceph/keyring monitors:list! pool=rbd readOnly:flag ' +
      'secretRef:secret user=admin',
  ),
  foreign(
    'scaleIO',
    'ScaleIO',
    'ScaleIOPersistentVolumeSource',
    'fsType=xfs gateway! protectionDomain readOnly:flag secretRef:secret! sslEnabled:flag ' +
      'storageMode=ThinProvisioned storagePool system! volumeName',
  ),
  foreign(
    'storageos',
    'StorageOS',
    'StorageOSPersistentVolumeSource',
    'fsType readOnly:flag secretRef:object volumeName volumeNamespace',
  ),
  foreign(
    'vsphereVolume',
    'VsphereVolume',
    'VsphereVirtualDiskVolumeSource',
    'fsType storagePolicyID storagePolicyName volumePath!',
  ),
];

const FIELD = /^(\w+)(?::([\w|]+))?(!)?(?:=(.+))?$/;

interface ReadField {
  readonly name: string;
  readonly schema: Schema;
  readonly isRequired: boolean;
}

function readField(line: string): ReadField {
  const [, name = '', type = 'text', mark, value] = FIELD.exec(line) ?? [];
  const isRequired = mark === '!';
  return { name, isRequired, schema: schemaOf(type, isRequired, value) };
}

const DESCRIPTION = 'What the other system calls so.';

function schemaOf(type: string, isRequired: boolean, value: string | undefined): Schema {
  switch (type) {
    case 'flag':
      return {
        ...flag(DESCRIPTION),
        ...(value === undefined ? {} : { default: value === 'true' }),
      };
    case 'int':
      return { ...int32(DESCRIPTION), ...(isRequired ? { default: 0 } : {}) };
    case 'list':
      return texts(DESCRIPTION);
    case 'map':
      return textMap(DESCRIPTION);
    case 'secret':
      return about(secretReference, DESCRIPTION);
    case 'object':
      return about(objectReference, DESCRIPTION);
    default: {
      const plain = isRequired
        ? needed(DESCRIPTION)
        : text(DESCRIPTION, value === undefined ? {} : { default: value });
      return type === 'text' ? plain : choice(plain, ...type.split('|'));
    }
  }
}

function toSource({ fields, type }: Foreign): Schema {
  const read = fields.split(' ').map(readField);
  const required = read.filter(({ isRequired }) => isRequired).map(({ name }) => name);
  return object(
    type,
    'A volume of another system, as that system knows it.',
    Object.fromEntries(read.map(({ name, schema }) => [name, schema])),
    required.length === 0 ? {} : { required },
  );
}

export const FOREIGN_SOURCES: Readonly<Record<string, Schema>> = Object.fromEntries(
  FOREIGN.map((one) => [one.name, toSource(one)]),
);

export const FOREIGN_GO_NAMES: Readonly<Record<string, string>> = Object.fromEntries(
  FOREIGN.map(({ goName, name }) => [name, goName]),
);
