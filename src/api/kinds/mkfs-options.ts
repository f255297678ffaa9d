/**
 * What a StorageClass may tell mkfs: an allow-list for each filesystem, so that no word can name
 * another device, overwrite what is there, or leave out what keeps a filesystem safe in a crash.
 */
export interface MkfsOption {
  readonly flag: string;
  readonly value: string;
}

export type MkfsOptionsResult =
  | { readonly ok: true; readonly options: readonly MkfsOption[] }
  | { readonly ok: false; readonly problem: string; readonly remedy: string };

export const MKFS_OPTIONS_MAX = 512;

const EXT4_FEATURE =
  /^(\^?(64bit|dir_index|dir_nlink|ext_attr|extra_isize|fast_commit|flex_bg|huge_file|inline_data|large_dir|large_file|metadata_csum_seed|project|quota|resize_inode|sparse_super|sparse_super2|verity)|casefold|extents?|has_journal|metadata_csum|orphan_file)$/;
const WHOLE = '[0-9]{1,12}';
const SIZE = `${WHOLE}[kmg]?`;

/** By flag: each comma-separated part of its value must match. */
const ALLOWED: Readonly<Record<'ext4' | 'xfs', Readonly<Record<string, RegExp>>>> = {
  ext4: {
    '-b': /^(1024|2048|4096)$/,
    '-E': new RegExp(
      `^((stride|stripe_width|num_backup_sb)=${WHOLE}|(lazy_itable_init|lazy_journal_init)=[01]|packed_meta_blocks=[01])$`,
    ),
    '-i': /^[0-9]{4,8}$/,
    '-I': /^(128|256|512|1024|2048|4096)$/,
    '-L': /^[A-Za-z0-9_.-]{1,16}$/,
    '-m': /^([0-9]|[1-4][0-9]|50)(\.[0-9]{1,2})?$/,
    '-N': /^[0-9]{1,10}$/,
    '-O': EXT4_FEATURE,
    '-T': /^[a-z0-9]{1,16}$/,
  },
  xfs: {
    '-b': /^size=(1024|2048|4096)$/,
    '-d': new RegExp(`^((agcount|sunit|swidth|sw)=${WHOLE}|(agsize|su)=${SIZE})$`),
    '-i': /^(size=(256|512|1024|2048)|maxpct=[0-9]{1,3}|(sparse|nrext64|exchange)=[01])$/,
    '-l': new RegExp(`^((size|su)=${SIZE}|sunit=${WHOLE}|version=2|lazy-count=1)$`),
    '-L': /^[A-Za-z0-9_.-]{1,12}$/,
    '-m': /^((bigtime|finobt|inobtcount|reflink|rmapbt|metadir)=[01]|crc=1)$/,
    '-n': /^(size=(4096|8192|16384|32768|65536)|ftype=1)$/,
    '-s': /^size=(512|4096)$/,
  },
};

/** `-O ^resize_inode -m 0` or `-m reflink=1`: flags and values, as mkfs takes them. */
export function readMkfsOptions(fsType: 'ext4' | 'xfs', text: string): MkfsOptionsResult {
  if (text.length > MKFS_OPTIONS_MAX) return refuse('Options are too long', 'Use fewer of them');
  const allowed = ALLOWED[fsType];
  const flags = Object.keys(allowed).join(' ');
  const options: MkfsOption[] = [];
  const words = text.split(/\s+/).filter((word) => word !== '');
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] as string;
    const flag = word.slice(0, 2);
    const pattern = Object.hasOwn(allowed, flag) ? allowed[flag] : undefined;
    if (pattern === undefined) {
      return refuse(`mkfs.${fsType} is not told ${word.slice(0, 40)}`, `Use one of: ${flags}`);
    }
    let value = word.slice(2);
    if (value === '') {
      at += 1;
      value = words[at] ?? '';
    }
    const bad = value.split(',').find((part) => !pattern.test(part));
    if (bad !== undefined) {
      const remedy = 'Leave it out: only what is safe for every volume is passed on';
      return refuse(`mkfs.${fsType} is not told ${flag} ${bad.slice(0, 40)}`, remedy);
    }
    options.push({ flag, value });
  }
  return { ok: true, options };
}

function refuse(problem: string, remedy: string): MkfsOptionsResult {
  return { ok: false, problem, remedy };
}

/** Arguments with ours first; a flag that takes a list is given once, since mkfs takes the last. */
export function mergeMkfsOptions(
  ours: readonly MkfsOption[],
  asked: readonly MkfsOption[],
): string[] {
  const values = new Map<string, string[]>();
  for (const { flag, value } of [...ours, ...asked]) {
    const parts = value.split(',');
    const names = new Set(parts.map((part) => nameOf(flag, part)));
    const before = (values.get(flag) ?? []).filter((part) => !names.has(nameOf(flag, part)));
    values.set(flag, [...before, ...parts]);
  }
  return [...values].flatMap(([flag, parts]) => [flag, parts.join(',')]);
}

/** Empty for a flag with a single value. */
function nameOf(flag: string, part: string): string {
  if (!part.includes('=') && flag !== '-E' && flag !== '-O') return '';
  return part.replace(/^\^/, '').replace(/=.*/, '');
}
