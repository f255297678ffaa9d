/** What the controller answers to the CLI. Every name and object from outside is checked here. */
import {
  HoldfastError,
  parseId,
  type ControllerMethods,
  type Handlers,
  type ObjectName,
  type ReplicaId,
  type VolumeId,
} from '#api/mod.ts';
import {
  KINDS,
  isKindName,
  parseObject,
  type AnyObject,
  type KindName,
  type ObjectOf,
  type Volume,
} from '#api/kinds/mod.ts';
import type { KubeClient, ObjectKey } from '#control/kube/mod.ts';
import { applyObject, formatKey, parseManifestObjects } from '#control/kube/mod.ts';
import { explain } from './graph/explain.ts';
import { findWhere } from './graph/where.ts';
import type { Operator } from './operator.ts';
import { findObject } from './reconcile.ts';

export interface ControllerInfo {
  readonly cluster: string;
  readonly version: string;
  readonly pid: number;
  readonly manifestErrors: readonly {
    readonly path: string;
    readonly code: string;
    readonly message: string;
    readonly details: HoldfastError['details'];
  }[];
}

const SCRUB_TIMEOUT_MS = 24 * 3_600_000;

export function createControllerHandlers(
  operator: Operator,
  info: ControllerInfo,
): Handlers<ControllerMethods> {
  const { context } = operator;
  const { client } = context;
  return {
    'cluster.describe': async () => {
      const nodes = await client.list('StorageNode');
      return { ...info, nodes: nodes.items.map((node) => node.metadata.name) };
    },
    'object.get': async (name) => client.get(kindOf(name), keyOfName(name)),
    'object.list': async ({ kind, namespace }) => {
      const list = await client.list(checkKind(kind), namespace === undefined ? {} : { namespace });
      return { items: list.items };
    },
    'object.apply': async ({ objects }) => {
      const parsed = parseManifestObjects(objects);
      const results = [];
      for (const object of parsed) {
        const outcome = await applyObject(client, object);
        results.push({ kind: object.kind, outcome, ...nameOf(object) });
      }
      return results;
    },
    'object.create': async ({ object }) => {
      const parsed = parseObject(object);
      return client.create(parsed.kind, parsed as ObjectOf<KindName>);
    },
    'object.patch': async ({ patch, ...name }) =>
      client.patch(kindOf(name), keyOfName(name), patch),
    'object.delete': async (name) => {
      const kind = kindOf(name);
      const key = keyOfName(name);
      await refuseInUse(client, await client.get(kind, key));
      await client.delete(kind, key);
      const left = await findObject(context, kind, key);
      return { outcome: left === undefined ? 'deleted' : 'terminating' };
    },
    'cluster.where': async (subject) => ({ paths: await findWhere(context, subject) }),
    'cluster.explain': async (name) => explain(context, { ...name, kind: kindOf(name) }),
    'cluster.quiesce': async ({ timeoutMs }) => ({ attached: await operator.quiesce(timeoutMs) }),
    'volume.scrub': async ({ volume }) => {
      const engine = await servingEngine(operator, volume);
      const params = { volume: parseId<VolumeId>('volume', volume) };
      return engine.call('volume.scrub', params, { timeoutMs: SCRUB_TIMEOUT_MS });
    },
    'volume.rebuild': async ({ volume, replica, full }) => {
      const engine = await servingEngine(operator, volume);
      const params = {
        volume: parseId<VolumeId>('volume', volume),
        replica: parseId<ReplicaId>('replica', replica),
        full,
      };
      return engine.call('volume.rebuild', params, { timeoutMs: 60_000 });
    },
    'volume.trace': async ({ volume, timeoutMs }) => {
      const engine = await servingEngine(operator, volume);
      const params = { volume: parseId<VolumeId>('volume', volume), timeoutMs };
      return engine.call('volume.trace', params, { timeoutMs: timeoutMs + 5_000 });
    },
  };
}

function checkKind(kind: unknown): KindName {
  if (isKindName(kind)) return kind;
  throw new HoldfastError('invalid-argument', 'Kind is unknown', {
    details: {
      field: 'kind',
      value: String(kind).slice(0, 80),
      remedy: 'Ask `holdfast get --help`',
    },
  });
}

function kindOf(name: ObjectName): KindName {
  return checkKind(name.kind);
}

function keyOfName(name: ObjectName): ObjectKey {
  const text = String(name.name);
  if (!KINDS[kindOf(name)].isNamespaced) return { name: text };
  return { name: text, namespace: name.namespace ?? 'default' };
}

function nameOf(object: AnyObject): { name: string; namespace?: string } {
  const { name, namespace } = object.metadata;
  return namespace === undefined ? { name } : { name, namespace };
}

async function servingEngine(operator: Operator, volume: string) {
  const { client, observer } = operator.context;
  const object = await client.get('Volume', { name: parseId<VolumeId>('volume', volume) });
  const attachment = object.status?.attachment ?? null;
  if (attachment !== null) return observer.access(attachment.nodeName).engine;
  throw new HoldfastError('not-found', 'Volume is not attached', {
    details: { volume, remedy: 'Attach it first: holdfast mount CLAIM, or volume attach' },
  });
}

/** People are told at once; the API itself would wait in Terminating with a condition. */
async function refuseInUse(client: KubeClient, object: AnyObject): Promise<void> {
  if (object.kind === 'DiskPool' || object.kind === 'StorageNode') {
    const holders = await holdersOf(client, object);
    if (holders.length === 0) return;
    throw new HoldfastError('in-use', 'It holds what others need', {
      details: {
        kind: object.kind,
        name: object.metadata.name,
        holds: holders.join(', '),
        remedy: 'Delete or move these first; cordon it with unschedulable: true meanwhile',
      },
    });
  }
  const volume = await volumeOf(client, object);
  if (volume === undefined) return;
  const { attachment } = volume.spec;
  if (attachment?.mountPath !== undefined) {
    const { claimRef } = volume.spec;
    const claim = claimRef === undefined ? volume.metadata.name : formatKey(claimRef);
    throw new HoldfastError('in-use', 'Volume is mounted', {
      details: {
        volume: volume.metadata.name,
        path: attachment.mountPath,
        node: attachment.nodeName,
        remedy: `Unmount it first: holdfast umount ${claim}`,
      },
    });
  }
  const snapshots = (await client.list('Snapshot')).items.filter(
    (snapshot) =>
      snapshot.spec.volumeName === volume.metadata.name &&
      snapshot.metadata.labels?.['holdfast.dev/clone'] === undefined,
  );
  if (snapshots.length === 0) return;
  throw new HoldfastError('in-use', 'Volume has snapshots', {
    details: {
      volume: volume.metadata.name,
      snapshots: snapshots.map((snapshot) => snapshot.metadata.name).join(', '),
      remedy: 'Delete them first: holdfast delete snapshot NAME',
    },
  });
}

async function holdersOf(client: KubeClient, object: AnyObject): Promise<string[]> {
  const { name } = object.metadata;
  if (object.kind === 'StorageNode') {
    const { items } = await client.list('DiskPool');
    return items.filter((pool) => pool.spec.nodeName === name).map((pool) => pool.metadata.name);
  }
  const { items } = await client.list('Replica');
  return items
    .filter((replica) => replica.spec.poolName === name)
    .map((replica) => replica.metadata.name);
}

async function volumeOf(client: KubeClient, object: AnyObject): Promise<Volume | undefined> {
  if (object.kind === 'Volume') return object;
  if (object.kind !== 'PersistentVolumeClaim' || object.spec.volumeName === undefined)
    return undefined;
  return findObject({ client }, 'Volume', { name: object.spec.volumeName });
}
