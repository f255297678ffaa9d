/** Names that callers choose, as ids of ours: also file names, sockets and object names. */
import { createHash } from 'node:crypto';

const CLAIM_VOLUME = /^pvc-([0-9a-f]{8})-([0-9a-f]{4})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * The id of the volume that is asked for by this name: what the provisioner calls a claim's volume
 * keeps the claim's uid; any other name gives a hash. The last 12 characters alone tell volumes of
 * one node apart.
 */
export function volumeIdOf(name: string): string {
  const claim = CLAIM_VOLUME.exec(name);
  if (claim !== null) return `pvc-${claim[1]}${claim[2]}`;
  return `csi-${hashOf(name)}`;
}

export function snapshotIdOf(name: string): string {
  return `snap-${hashOf(name)}`;
}

function hashOf(name: string): string {
  return createHash('sha256').update(name).digest('hex').slice(0, 20);
}
