import type { PersistentVolumeClaim, Volume } from '#api/kinds/mod.ts';
import { isMadeFor } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import { parseKey } from '#control/kube/mod.ts';
import type { ClusterClient } from './cluster-client.ts';
import { checkName } from './named-objects.ts';

export interface ClaimName {
  readonly namespace: string;
  readonly name: string;
}

/** `name`, `namespace/name`, `pvc/name` and `claim/name`: -n decides where none is given. */
export function parseClaimName(text: string, namespace: string | undefined): ClaimName {
  const { namespace: first, name } = parseKey(text);
  if (first === undefined || ['pvc', 'claim', 'persistentvolumeclaim'].includes(first)) {
    return checked(namespace ?? 'default', name);
  }
  return checked(first, name);
}

function checked(namespace: string, name: string): ClaimName {
  return { namespace: checkName('namespace', namespace), name: checkName('name', name) };
}

/** Through its PersistentVolume; one that is being made has none yet, but names its claim. */
export async function volumeOfClaim(
  cluster: ClusterClient,
  claim: PersistentVolumeClaim,
): Promise<Volume | undefined> {
  const bound = claim.spec.volumeName;
  if (bound !== undefined) {
    const persistentVolume = await cluster.find('PersistentVolume', { name: bound });
    const handle = persistentVolume?.spec.csi?.volumeHandle;
    return handle === undefined ? undefined : cluster.find('Volume', { name: handle });
  }
  return (await cluster.list('Volume')).find((volume) => isMadeFor(volume, claim));
}

export interface VolumeOfClaim {
  readonly claim: PersistentVolumeClaim | undefined;
  readonly volume: Volume;
  /** What to call it in messages. */
  readonly title: string;
}

/** A volume is meant by its claim (what people know) or by its own name. */
export async function findVolume(
  cluster: ClusterClient,
  text: string,
  namespace: string | undefined,
): Promise<VolumeOfClaim> {
  const name = parseClaimName(text, namespace);
  const claim = await cluster.find('PersistentVolumeClaim', name);
  if (claim === undefined) {
    const volume = await cluster.find('Volume', {
      name: text.replace(/^(vol|hfvol|volume)\//, ''),
    });
    if (volume !== undefined) return { claim: undefined, volume, title: volume.metadata.name };
    throw new HoldfastError('not-found', 'There is no such claim or volume', {
      details: {
        name: text,
        namespace: name.namespace,
        remedy: 'See what exists: holdfast get claims, holdfast get volumes',
      },
    });
  }
  const title = `${name.namespace}/${name.name}`;
  const volume = await volumeOfClaim(cluster, claim);
  if (volume !== undefined) return { claim, volume, title };
  throw new HoldfastError('not-found', 'Claim has no volume yet', {
    details: { claim: title, remedy: `holdfast explain claim ${title} says why` },
  });
}
