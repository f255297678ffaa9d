/**
 * Where filesystems keep their superblocks, and how they are recognised. Used to decide whether a
 * device is blank: a filesystem whose first superblock was lost is still found by its backups.
 */

export interface DeviceArea {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

const MIB = 1024 * 1024;
const FIRST_AREA_BYTES = MIB;
const BACKUP_AREA_BYTES = 64 * 1024;
/** ext4 with 4 KiB blocks keeps copies in groups 1, 3, 5, 7, 9, 25, 27 and 49 of 128 MiB each. */
const EXT4_BACKUP_GROUPS = [1, 3, 5, 7, 9, 25, 27, 49];
const EXT4_GROUP_BYTES = 128 * MIB;
/** ext4 with 1 KiB blocks (small volumes): groups of 8 MiB, shifted by one block. */
const EXT4_SMALL_GROUP_BYTES = 8 * MIB;
/** mkfs.xfs makes four allocation groups by default, each with a copy at its start. */
const XFS_GROUPS = 4;

/** Areas to read, ascending, within the device, without overlap. */
export function superblockAreas(sizeBytes: number): DeviceArea[] {
  const starts = new Set<number>();
  for (const group of EXT4_BACKUP_GROUPS) {
    starts.add(group * EXT4_GROUP_BYTES);
    starts.add(group * EXT4_SMALL_GROUP_BYTES);
  }
  for (let group = 1; group < XFS_GROUPS; group += 1) {
    starts.add(
      Math.floor((sizeBytes * group) / XFS_GROUPS / BACKUP_AREA_BYTES) * BACKUP_AREA_BYTES,
    );
  }
  starts.add(Math.floor((sizeBytes - 1) / BACKUP_AREA_BYTES) * BACKUP_AREA_BYTES);
  const first = { offsetBytes: 0, lengthBytes: Math.min(FIRST_AREA_BYTES, sizeBytes) };
  const backups = [...starts]
    .filter((start) => start >= first.lengthBytes && start < sizeBytes)
    .sort((a, b) => a - b)
    .map((offsetBytes) => ({
      offsetBytes,
      lengthBytes: Math.min(BACKUP_AREA_BYTES, sizeBytes - offsetBytes),
    }));
  return [first, ...backups];
}

const EXT4_MAGIC_AT = 1024 + 56;
const EXT4_MAGIC = 0xef53;
const XFS_MAGIC = 0x58465342; // "XFSB", big-endian

/** The filesystem whose first superblock is there; undefined when there is none that we know. */
export function probeFilesystem(
  areas: readonly { readonly offsetBytes: number; readonly bytes: Uint8Array }[],
): 'ext4' | 'xfs' | undefined {
  const first = areas.find(({ offsetBytes }) => offsetBytes === 0)?.bytes;
  if (!first || first.byteLength < EXT4_MAGIC_AT + 2) return undefined;
  const view = new DataView(first.buffer, first.byteOffset, first.byteLength);
  if (view.getUint32(0, false) === XFS_MAGIC) return 'xfs';
  return view.getUint16(EXT4_MAGIC_AT, true) === EXT4_MAGIC ? 'ext4' : undefined;
}

/**
 * How much of its device an ext4 filesystem uses, from its first superblock; undefined for others.
 * The kernel keeps the superblock of a mounted one in the device's cache: it is read up to date.
 */
export function ext4Bytes(first: Uint8Array): number | undefined {
  if (probeFilesystem([{ offsetBytes: 0, bytes: first }]) !== 'ext4') return undefined;
  const view = new DataView(first.buffer, first.byteOffset + EXT4_SUPERBLOCK_AT);
  const blockBytes = 1024 * 2 ** view.getUint32(EXT4_LOG_BLOCK_SIZE_AT, true);
  const is64Bit = (view.getUint32(EXT4_INCOMPAT_AT, true) & EXT4_INCOMPAT_64BIT) !== 0;
  const high = is64Bit ? view.getUint32(EXT4_BLOCKS_HIGH_AT, true) : 0;
  return (high * 2 ** 32 + view.getUint32(EXT4_BLOCKS_LOW_AT, true)) * blockBytes;
}

const EXT4_SUPERBLOCK_AT = 1024;
const EXT4_BLOCKS_LOW_AT = 0x4;
const EXT4_LOG_BLOCK_SIZE_AT = 0x18;
const EXT4_INCOMPAT_AT = 0x60;
const EXT4_INCOMPAT_64BIT = 0x80;
const EXT4_BLOCKS_HIGH_AT = 0x150;
