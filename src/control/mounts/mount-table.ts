/** What is mounted where, from the kernel's own table. */
import type { Exec } from '#host/mod.ts';

export interface MountEntry {
  readonly path: string;
  readonly device: string;
  readonly fsType: string;
}

/** Through cat(1): files of /proc have no size, and a Disk reads by size. */
export async function readMounts(exec: Exec): Promise<MountEntry[]> {
  return parseMounts((await exec.run(['cat', '/proc/self/mounts'])).stdout);
}

/** Lines of `device path type options 0 0`, with octal escapes for white space. */
export function parseMounts(text: string): MountEntry[] {
  return text
    .split('\n')
    .map((line) => line.split(' '))
    .filter((fields) => fields.length >= 3)
    .map(([device = '', path = '', fsType = '']) => ({
      device: unescapeOctal(device),
      path: unescapeOctal(path),
      fsType,
    }));
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
