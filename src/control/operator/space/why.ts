/** Why a volume takes more than its size. Pure. */
import { formatBytes } from '#api/kinds/mod.ts';
import type { VolumeSpace } from '#api/mod.ts';

/** A hundredth of the size is worth a line. */
const SHARE_MIN = 0.01;

export function whyItIsMore(space: Omit<VolumeSpace, 'why'>): string[] {
  const { sizeBytes, replicas, actualBytes, nominalBytes, snapshots } = space;
  if (actualBytes <= sizeBytes) return [];
  const lines: string[] = [];
  if (replicas > 1) {
    lines.push(
      `every byte is kept ${replicas} times: ${formatBytes(nominalBytes)} when all is written`,
    );
  }
  const add = (bytes: number, line: string): void => {
    if (bytes > sizeBytes * SHARE_MIN) lines.push(`${formatBytes(bytes)} ${line}`);
  };
  const only = snapshots.reduce((sum, { bytes }) => sum + bytes, 0);
  const owners = snapshots.map(({ owner }) => owner).join(', ');
  add(
    only + space.sharedSnapshotBytes,
    `were overwritten since and are kept for snapshots: ${owners}`,
  );
  add(space.cloneBytes, 'are kept for clones alone');
  add(space.metadataBytes, 'are checksums, maps and logs');
  add(space.slackBytes, 'are allocated by the filesystem below without being needed');
  return lines;
}
