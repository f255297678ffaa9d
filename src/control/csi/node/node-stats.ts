import type { NexusStatus } from '#api/mod.ts';
import type { Disk } from '#host/mod.ts';
import type { VolumeCondition, VolumeUsage } from '../messages.ts';

/** Of a mounted filesystem bytes and inodes, of a block device its size. */
export async function readUsage(
  disk: Disk,
  path: string,
  sizeBytes: number,
): Promise<VolumeUsage[]> {
  const stat = await disk.stat(path);
  if (stat?.kind !== 'directory') {
    return [{ unit: 'BYTES', total: sizeBytes, used: 0, available: 0 }];
  }
  const space = await disk.space(path);
  return [
    {
      unit: 'BYTES',
      total: space.totalBytes,
      used: space.usedBytes,
      available: space.freeBytes,
    },
    {
      unit: 'INODES',
      total: space.totalInodes,
      used: space.totalInodes - space.freeInodes,
      available: space.freeInodes,
    },
  ];
}

export function viewHealth(status: NexusStatus): VolumeCondition {
  if (status.phase !== 'serving') {
    const why = status.reason === '' ? '' : `: ${status.reason}`;
    return { abnormal: true, message: `The volume is ${status.phase}${why}` };
  }
  if (status.damagedBlocks > 0) {
    const message = `${status.damagedBlocks} blocks have no good copy left: reading there fails`;
    return { abnormal: true, message };
  }
  const others = status.members.filter((member) => member.phase !== 'in-sync');
  const count = `${status.members.length - others.length} of ${status.members.length}`;
  if (others.length === 0) return { abnormal: false, message: 'All replicas are in sync' };
  const names = others.map((member) => `${member.replica} is ${member.phase}`).join(', ');
  return { abnormal: true, message: `${count} replicas are in sync: ${names}` };
}
