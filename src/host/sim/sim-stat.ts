import type { FileStat } from '../mod.ts';
import type { SimDisk } from './sim-disk.ts';
import { PAGE_BYTES } from './sim-file.ts';
import type { SimNode } from './sim-tree.ts';

export function statOf(node: SimNode, disk: SimDisk): FileStat {
  return {
    kind: node.kind,
    sizeBytes: node.kind === 'file' ? node.sizeBytes : 0,
    allocatedBytes: node.kind === 'file' ? node.allocatedPages * PAGE_BYTES : 0,
    inode: String(node.inode),
    birthNs: String(Math.round(node.birthMs * 1e6)),
    device: `sim-${disk.node}`,
  };
}
