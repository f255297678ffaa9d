/** Every trouble that is planted; docs/operating/troubleshooting.md has a line for each. */
import { CLAIM_TROUBLES } from './claim-troubles.testkit.ts';
import {
  DISK_TROUBLES,
  RESTART_TROUBLES,
  restartWithDamage,
  slowDisk,
} from './disk-troubles.testkit.ts';
import { MOUNT_TROUBLES } from './mount-troubles.testkit.ts';
import { NODE_GROUPS } from './node-troubles.testkit.ts';
import type { TroubleGroup } from './trouble.testkit.ts';

/** Who is asked hangs: the command line says who. */
export interface Silence {
  readonly symptom: string;
  readonly role: 'controller' | 'apiserver';
  /** The first line. */
  readonly cause: RegExp;
  readonly remedy: RegExp;
}

export const SILENCES: readonly Silence[] = [
  {
    symptom: 'nothing is answered: the controller hangs',
    role: 'controller',
    cause: /The controller does not answer \(timed-out\)/,
    remedy: /logs\/controller\.log/,
  },
  {
    symptom: 'nothing is answered: the API server hangs',
    role: 'apiserver',
    cause: /The API server does not answer \(timed-out\)/,
    remedy: /logs\/apiserver\.log/,
  },
];

export const TROUBLE_GROUPS: readonly TroubleGroup[] = [
  { name: 'claims', troubles: CLAIM_TROUBLES },
  { name: 'mounts', troubles: MOUNT_TROUBLES },
  { name: 'disks', troubles: DISK_TROUBLES },
  { name: 'an engine starts and finds', troubles: RESTART_TROUBLES, begin: restartWithDamage },
  slowDisk(),
  ...NODE_GROUPS,
];
