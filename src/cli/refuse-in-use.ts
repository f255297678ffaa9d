/** What may not be deleted while others need it, told to people before anything is asked. */
import type { AnyObject, Volume } from '#api/kinds/mod.ts';
import { titleOfSnapshot } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import { formatKey } from '#control/kube/mod.ts';
import type { ClusterClient } from './cluster-client.ts';
import { volumeOfClaim } from './find-volume.ts';

/** `in-use` at once: the API itself would wait in Terminating with a condition. */
export async function refuseInUse(cluster: ClusterClient, object: AnyObject): Promise<void> {
  if (object.kind === 'DiskPool' || object.kind === 'StorageNode') {
    const holders = await holdersOf(cluster, object);
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
  if (object.kind === 'Snapshot') {
    const { name } = object.metadata;
    const title = titleOfSnapshot(name, await cluster.list('VolumeSnapshotContent'));
    if (title === undefined) return;
    throw new HoldfastError('in-use', 'Snapshot belongs to a VolumeSnapshot', {
      details: { name, owner: title, remedy: 'Delete that: holdfast delete volumesnapshot NAME' },
    });
  }
  const volume = await volumeOf(cluster, object);
  if (volume === undefined) return;
  const { claimRef } = volume.spec;
  const mount = (await cluster.list('Mount', claimRef?.namespace ?? 'default')).find(
    ({ spec }) => spec.claimName === claimRef?.name,
  );
  if (mount !== undefined && claimRef !== undefined) {
    throw new HoldfastError('in-use', 'Volume is mounted', {
      details: {
        volume: volume.metadata.name,
        path: mount.spec.path,
        node: mount.spec.nodeName,
        remedy: `Unmount it first: holdfast umount ${formatKey(claimRef)}`,
      },
    });
  }
  const snapshots = (await cluster.list('Snapshot')).filter(
    (snapshot) =>
      snapshot.spec.volumeName === volume.metadata.name &&
      snapshot.metadata.labels?.['holdfast.dev/clone'] === undefined,
  );
  if (snapshots.length === 0) return;
  const contents = await cluster.list('VolumeSnapshotContent');
  const titles = snapshots.map(({ metadata: { name } }) => titleOfSnapshot(name, contents) ?? name);
  throw new HoldfastError('in-use', 'Volume has snapshots', {
    details: {
      volume: volume.metadata.name,
      snapshots: titles.join(', '),
      remedy: 'Delete them first: holdfast delete volumesnapshot NAME',
    },
  });
}

async function holdersOf(cluster: ClusterClient, object: AnyObject): Promise<string[]> {
  const { name } = object.metadata;
  if (object.kind === 'StorageNode') {
    const pools = await cluster.list('DiskPool');
    return pools.filter((pool) => pool.spec.nodeName === name).map((pool) => pool.metadata.name);
  }
  const replicas = await cluster.list('Replica');
  return replicas
    .filter((replica) => replica.spec.poolName === name)
    .map((replica) => replica.metadata.name);
}

async function volumeOf(cluster: ClusterClient, object: AnyObject): Promise<Volume | undefined> {
  if (object.kind === 'Volume') return object;
  return object.kind === 'PersistentVolumeClaim' ? volumeOfClaim(cluster, object) : undefined;
}
