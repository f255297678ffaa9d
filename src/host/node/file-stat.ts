import type { BigIntStats } from 'node:fs';
import type { FileStat } from '../mod.ts';

export function statOf(stats: BigIntStats): FileStat {
  return {
    kind: stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : 'other',
    sizeBytes: Number(stats.size),
    // st_blocks counts 512 bytes whatever the filesystem's block is.
    allocatedBytes: Number(stats.blocks) * 512,
    inode: stats.ino.toString(),
    birthNs: stats.birthtimeNs.toString(),
    device: stats.dev.toString(),
  };
}
