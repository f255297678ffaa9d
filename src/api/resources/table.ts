/** Every kind that the API server serves. */
import { CLAIM_RESOURCES } from './claim.ts';
import { COORDINATION_RESOURCES } from './coordination.ts';
import { CORE_RESOURCES } from './core.ts';
import { CSI_RESOURCES } from './csi.ts';
import { EVENT_RESOURCES } from './events.ts';
import { HOLDFAST_RESOURCES } from './holdfast.ts';
import { NODE_RESOURCES } from './node.ts';
import type { Resource } from './resource.ts';
import { SNAPSHOT_RESOURCES } from './snapshot.ts';
import { STORAGE_RESOURCES } from './storage.ts';
import { VOLUME_RESOURCES } from './volume.ts';

export const RESOURCES: readonly Resource[] = [
  ...CORE_RESOURCES,
  ...NODE_RESOURCES,
  ...CLAIM_RESOURCES,
  ...VOLUME_RESOURCES,
  ...EVENT_RESOURCES,
  ...COORDINATION_RESOURCES,
  ...STORAGE_RESOURCES,
  ...CSI_RESOURCES,
  ...SNAPSHOT_RESOURCES,
  ...HOLDFAST_RESOURCES,
];

export function findResource(group: string, version: string, plural: string): Resource | undefined {
  return RESOURCES.find(
    (one) => one.group === group && one.version === version && one.plural === plural,
  );
}
