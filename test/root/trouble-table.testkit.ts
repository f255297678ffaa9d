/** Every trouble that is planted; docs/operating/troubleshooting.md has a line for each. */
import { CLAIM_TROUBLES } from './claim-troubles.testkit.ts';
import { DISK_TROUBLES, RESTART_TROUBLES, restartWithDamage } from './disk-troubles.testkit.ts';
import { MOUNT_TROUBLES } from './mount-troubles.testkit.ts';
import { NODE_GROUPS } from './node-troubles.testkit.ts';
import type { TroubleGroup } from './trouble.testkit.ts';

export const TROUBLE_GROUPS: readonly TroubleGroup[] = [
  { name: 'claims', troubles: CLAIM_TROUBLES },
  { name: 'mounts', troubles: MOUNT_TROUBLES },
  { name: 'disks', troubles: DISK_TROUBLES },
  { name: 'an engine starts and finds', troubles: RESTART_TROUBLES, begin: restartWithDamage },
  ...NODE_GROUPS,
];
