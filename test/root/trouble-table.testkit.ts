/** Every trouble that is planted; docs/operating/troubleshooting.md has a line for each. */
import { CLAIM_TROUBLES } from './claim-troubles.testkit.ts';
import { MOUNT_TROUBLES } from './mount-troubles.testkit.ts';
import type { TroubleGroup } from './trouble.testkit.ts';

export const TROUBLE_GROUPS: readonly TroubleGroup[] = [
  { name: 'claims', troubles: CLAIM_TROUBLES },
  { name: 'mounts', troubles: MOUNT_TROUBLES },
];
