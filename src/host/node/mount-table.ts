import { readFile, realpath, stat, statfs } from 'node:fs/promises';

export interface Mount {
  readonly id: string;
  /** major:minor */
  readonly device: string;
  readonly mountPoint: string;
  readonly filesystem: string;
  readonly source: string;
}

/** Lines of /proc/self/mountinfo; proc(5) has the fields. */
export function parseMountTable(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split('\n')) {
    const [left, right] = line.split(' - ');
    const fields = left?.split(' ') ?? [];
    const [filesystem, source] = right?.split(' ') ?? [];
    const [id, , device, , mountPoint] = fields;
    if (id === undefined || device === undefined || mountPoint === undefined) continue;
    if (filesystem === undefined || source === undefined) continue;
    mounts.push({
      id,
      device,
      mountPoint: unescape(mountPoint),
      filesystem,
      source: unescape(source),
    });
  }
  return mounts;
}

/**
 * The mount that holds an absolute path without symbolic links: the longest one, the latest of
 * equals.
 */
export function mountOf(mounts: readonly Mount[], path: string): Mount | undefined {
  let found: Mount | undefined;
  for (const mount of mounts) {
    const prefix = mount.mountPoint === '/' ? '/' : `${mount.mountPoint}/`;
    if (path !== mount.mountPoint && !path.startsWith(prefix)) continue;
    if (found === undefined || mount.mountPoint.length >= found.mountPoint.length) found = mount;
  }
  return found;
}

/** What this process sees mounted, oldest first. */
export async function readMountTable(): Promise<Mount[]> {
  return parseMountTable(await readFile('/proc/self/mountinfo', 'utf8'));
}

export async function findMount(path: string): Promise<Mount> {
  const [mounts, real] = await Promise.all([readMountTable(), realpath(path)]);
  return mountOf(mounts, real) ?? rootMount(path);
}

/** By statfs(2) type, which knows ext2, ext3 and ext4 by one number. */
const FILESYSTEMS: Readonly<Record<number, string>> = {
  0x0102_1994: 'tmpfs',
  0x8584_58f6: 'ramfs',
  0xef53: 'ext4',
  0x5846_5342: 'xfs',
  0x9123_683e: 'btrfs',
  0x794c_7630: 'overlay',
  0x2fc1_2fc1: 'zfs',
  0xf2f5_2010: 'f2fs',
};

/**
 * What the kernel says of the file itself. In a chroot whose root is no mount point, the table
 * lacks the mount that everything lies on.
 */
export async function rootMount(path: string): Promise<Mount> {
  const [{ dev }, { type }] = await Promise.all([stat(path, { bigint: true }), statfs(path)]);
  // The numbers of new_encode_dev in linux/kdev_t.h, as glibc widens them.
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn & 0xffff_ffffn);
  const device = `${major}:${minor}`;
  const filesystem = FILESYSTEMS[type] ?? `0x${type.toString(16)}`;
  const facts = await readFile(`/sys/dev/block/${device}/uevent`, 'utf8').catch(() => '');
  const name = /^DEVNAME=(.+)$/m.exec(facts)?.[1];
  const source = name === undefined ? filesystem : `/dev/${name}`;
  return { id: 'root', device, mountPoint: '/', filesystem, source };
}

/** Blanks and the like come as three octal digits. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/**
 * Serial number of a device (major:minor) or of the disk that it is a part of; often there is none.
 */
export async function deviceSerial(device: string): Promise<string> {
  for (const place of ['serial', 'device/serial', '../serial', '../device/serial']) {
    const text = await readFile(`/sys/dev/block/${device}/${place}`, 'utf8').catch(() => '');
    if (text.trim() !== '') return text.trim();
  }
  return '';
}
