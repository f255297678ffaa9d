import { readFile, realpath } from 'node:fs/promises';

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

export async function findMount(path: string): Promise<Mount | undefined> {
  const [mounts, real] = await Promise.all([readMountTable(), realpath(path)]);
  return mountOf(mounts, real);
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
