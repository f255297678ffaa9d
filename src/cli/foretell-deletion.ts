/** What a deletion would do, in lines, and whether data goes with it. */
import type { AnyObject, KindName } from '#api/kinds/mod.ts';
import type { Forecast } from '#api/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import { keyOf } from '#control/kube/mod.ts';
import type { ClusterClient } from './cluster-client.ts';
import { formatStep } from './maintenance.ts';

/** Of these the controller knows what happens. */
const PLANNED: ReadonlySet<KindName> = new Set([
  'PersistentVolumeClaim',
  'Volume',
  'Replica',
  'DiskPool',
  'StorageNode',
]);

export interface Foretold {
  readonly lines: readonly string[];
  readonly destroysData: boolean;
}

const NOTHING: Foretold = { lines: [], destroysData: false };

export async function foretellDeletion(
  cluster: ClusterClient,
  object: AnyObject,
): Promise<Foretold> {
  if (PLANNED.has(object.kind)) return planOf(cluster, object);
  const lines = await lossesOf(cluster, object);
  return { lines, destroysData: lines.length > 0 };
}

async function lossesOf(cluster: ClusterClient, object: AnyObject): Promise<readonly string[]> {
  const { name } = object.metadata;
  switch (object.kind) {
    case 'Snapshot': {
      const { volumeName } = object.spec;
      return [`delete ${name}: ${volumeName} as it was then is lost; as it is now it stays`];
    }
    case 'VolumeSnapshot': {
      const content = await cluster.find('VolumeSnapshotContent', {
        name: object.status?.boundVolumeSnapshotContentName ?? '',
      });
      if (content?.spec.deletionPolicy !== 'Delete') return [];
      const source = object.spec.source.persistentVolumeClaimName ?? 'its claim';
      return [`delete ${name}: ${source} as it was then is lost; as it is now it stays`];
    }
    case 'VolumeSnapshotContent':
      if (object.spec.deletionPolicy !== 'Delete') return [];
      return [`delete ${name}: the snapshot behind it is lost; the volume stays`];
    case 'PersistentVolume': {
      const { csi, persistentVolumeReclaimPolicy: policy } = object.spec;
      if (policy !== 'Delete') return [];
      return [`delete ${name}: its volume ${csi?.volumeHandle ?? ''} and all data on it go`];
    }
    default:
      return [];
  }
}

/** A claim that has no volume yet destroys nothing. */
async function planOf(cluster: ClusterClient, object: AnyObject): Promise<Foretold> {
  const { kind } = object;
  try {
    const plan = await cluster.call('cluster.plan', { verb: 'delete', kind, ...keyOf(object) });
    if (plan.steps.length > 0) return { lines: linesOf(plan), destroysData: true };
    return { lines: plan.remains, destroysData: false };
  } catch (error) {
    if (!HoldfastError.is(error)) throw error;
    if (error.code === 'not-current' || error.code === 'not-found') return NOTHING;
    // Nobody can say what happens: that is worth a question too.
    const line = `delete ${object.metadata.name}: what would happen is not known: ${error.message}`;
    return { lines: [line], destroysData: true };
  }
}

function linesOf({ summary, steps, blockers, remains }: Forecast): string[] {
  return [
    summary,
    ...steps.map((step) => `  ${formatStep(step)}`),
    ...blockers.map((blocker) => `  cannot: ${blocker}`),
    ...remains.map((line) => `  afterwards: ${line}`),
  ];
}
