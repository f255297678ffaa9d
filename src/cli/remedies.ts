/**
 * What to do about each code, where an error does not say it better: as docs/errors.md has it, word
 * for word (remedies.test.ts compares them).
 */
import type { ErrorCode } from '#api/mod.ts';

export const REMEDIES = {
  'invalid-argument': 'Correct the field that the details name',
  'invalid-object': 'Correct the path that the details name',
  'out-of-range': 'Ask within the size; expand the volume first',
  unaligned: 'Use multiples of the unit in the details',
  unsupported: 'Use another way; compare the versions on both sides',
  'not-found': 'Check the name and the namespace with `holdfast get`',
  'already-exists': 'Choose another name, or delete the other one',
  'in-use': 'Unmount or detach it first; `holdfast explain` says who uses it',
  conflict: 'Read it again, and repeat the change',
  'operation-pending': 'Ask again in a moment',
  'no-placement':
    'The details say why for each pool: add a node or space, or ask for fewer replicas',
  'capability-missing': 'The details say how to get it; `holdfast doctor` checks all of them',
  'address-in-use': 'Stop the other program, or choose another address',
  'io-error':
    "Look at the kernel's log and the disk's health; replace the disk, the replica is rebuilt",
  'no-space': 'Free space, grow the filesystem, or move a replica to another pool',
  'read-only':
    "Find out why in the kernel's log (a filesystem turns read-only after errors); mount it writable",
  'no-holes': 'Put the pool on ext4, xfs or btrfs',
  'permission-denied': 'Run as root, or give the user of the process the right',
  'checksum-mismatch':
    'Without one: restore the range from a snapshot or backup. Check the disk and the memory',
  'store-corrupt':
    'Delete the replica, it is rebuilt from the others. If it is the last: `holdfast store check` says what is readable',
  'store-newer-format': 'Run the version that wrote it, or a newer one',
  'store-foreign': 'Give the pool a directory of its own, or move the foreign one away',
  'store-locked': 'Stop the other process; a lock of a dead one is gone with it',
  'store-rolled-back':
    'Nothing to do while another replica is current: it is rebuilt. If it is the only one, decide with `holdfast explain` whether its age is acceptable',
  'replica-failed':
    'Look at the error before it in the log; restart the engine after the disk was seen to',
  fenced:
    'Nothing; the new nexus goes on. If it repeats: two places want the volume, see `holdfast explain`',
  'stale-session': 'Nothing; the nexus uses the newer session',
  'not-current': 'Wait for the rebuild; `holdfast explain` says what it waits for',
  'quorum-lost': 'Bring back the nodes that the details name',
  'lost-writes': 'Let the filesystem or database recover: unmount, check, mount again',
  'waiting-for-replica': 'Bring back the node that the details name',
  'timed-out': 'Ask again; if it repeats, look at the load and the disk of the other side',
  disconnected: 'Wait for it to come back, and ask again',
  refused: 'Start the other side; check the address',
  'protocol-violation': 'Compare the versions; look for something else that listens on the address',
  'wrong-identity': 'Check the address and whose directory is mounted there',
  aborted: 'Ask again if it is still wanted',
  suspended: 'Bring back the nodes that the details name',
} as const satisfies Readonly<Record<ErrorCode, string>>;
