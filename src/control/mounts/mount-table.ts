/** What is mounted where, from the kernel's own table. */
import type { Exec } from '#host/mod.ts';

export interface MountEntry {
  readonly path: string;
  readonly device: string;
  readonly fsType: string;
  /** Which directory or file of the filesystem is shown there; `/` is all of it. */
  readonly root: string;
}

/** Through cat(1): files of /proc have no size, and a Disk reads by size. */
export async function readMounts(exec: Exec): Promise<MountEntry[]> {
  return parseMounts((await exec.run(['cat', '/proc/self/mountinfo'])).stdout);
}

/** Lines of /proc/self/mountinfo (proc(5)), with octal escapes for white space; oldest first. */
export function parseMounts(text: string): MountEntry[] {
  return text.split('\n').flatMap((line) => {
    const [left = '', right = ''] = line.split(' - ');
    const [, , , root, path] = left.split(' ');
    const [fsType, device] = right.split(' ');
    if (root === undefined || path === undefined) return [];
    if (fsType === undefined || device === undefined) return [];
    return { device: unescapeOctal(device), path: unescapeOctal(path), fsType, root };
  });
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
