/** Checks of requests that every call repeats. */
import { HoldfastError } from '#api/mod.ts';
import type { AccessMode, CapacityRange, VolumeCapability } from './messages.ts';

/**
 * Of strings in requests (CSI: 128 bytes where nothing else is said; paths and tokens are longer).
 */
const NAME_BYTES_MAX = 128;
const PATH_BYTES_MAX = 4_096;
const ID = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const BLOCK_BYTES = 4_096;
const DEFAULT_BYTES = 2 ** 30;

export function invalid(field: string, value: unknown, remedy: string): HoldfastError {
  return new HoldfastError('invalid-argument', 'Request is not valid', {
    details: { field, value: String(value).slice(0, 80), remedy },
  });
}

export function demandName(field: string, value: string): string {
  demandGiven(field, value);
  if (new TextEncoder().encode(value).byteLength > NAME_BYTES_MAX || /\p{Cc}/u.test(value)) {
    throw invalid(field, value, `Use at most ${NAME_BYTES_MAX} bytes without control characters`);
  }
  return value;
}

/** Given, but not necessarily one of ours: `isId` says whether anything can have it. */
export function demandId(field: string, value: string): string {
  return demandName(field, value);
}

/** What is no id of ours names nothing here, and never becomes a path. */
export function isId(value: string): boolean {
  return ID.test(value);
}

/** Only looked up, never opened: whatever it is, it is there or not. */
export function demandGiven(field: string, value: string): string {
  if (value === '') throw invalid(field, value, 'Give it');
  return value;
}

export function demandPath(field: string, value: string): string {
  demandGiven(field, value);
  const isClean =
    value.startsWith('/') &&
    !value.split('/').includes('..') &&
    !/\p{Cc}/u.test(value) &&
    value.length <= PATH_BYTES_MAX;
  if (!isClean) throw invalid(field, value, 'Use an absolute path without .. in it');
  return value;
}

/** One node writes, or nobody does: a volume has one nexus. */
const READERS: AccessMode = 'MULTI_NODE_READER_ONLY';
const MODES: ReadonlySet<AccessMode> = new Set([
  READERS,
  'SINGLE_NODE_WRITER',
  'SINGLE_NODE_READER_ONLY',
  'SINGLE_NODE_SINGLE_WRITER',
  'SINGLE_NODE_MULTI_WRITER',
]);

export type Wish = { readonly kind: 'block' } | { readonly kind: 'mount'; readonly fsType: string };

/** Why the capability cannot be had; empty when it can. */
export function refusalOf(capability: VolumeCapability): string {
  const mode = capability.accessMode?.mode ?? 'UNKNOWN';
  if (!MODES.has(mode)) return `Access mode ${mode} is not served: use SINGLE_NODE_WRITER`;
  const fsType = capability.mount?.fsType ?? '';
  if (fsType !== '' && fsType !== 'ext4' && fsType !== 'xfs') {
    return `Filesystem ${fsType.slice(0, 40)} is not served: use ext4 or xfs`;
  }
  return '';
}

/** Many nodes read, nobody writes. */
export function isForReaders(capability: VolumeCapability | null): boolean {
  return capability?.accessMode?.mode === READERS;
}

/** Why a volume that is frozen, or is not, cannot be used like this; empty when it can. */
export function refusalForReaders(capability: VolumeCapability | null, isFrozen: boolean): string {
  if (isForReaders(capability) === isFrozen) return '';
  return isFrozen
    ? `Nobody writes this volume: use ${READERS}`
    : `One node has this volume: ${READERS} needs one that was made for it`;
}

export function demandCapability(field: string, capability: VolumeCapability | null): Wish {
  if (capability === null) throw invalid(field, '', 'Give it');
  if (capability.accessMode === null) throw invalid(`${field}.access_mode`, '', 'Give it');
  const isBlock = (capability.block ?? null) !== null;
  const isMount = (capability.mount ?? null) !== null;
  if (isBlock === isMount) throw invalid(field, '', 'Give one of block and mount');
  const refusal = refusalOf(capability);
  if (refusal !== '') throw invalid(field, capability.accessMode.mode, refusal);
  return isBlock ? { kind: 'block' } : { kind: 'mount', fsType: capability.mount?.fsType ?? '' };
}

export function demandCapabilities(capabilities: readonly VolumeCapability[]): Wish[] {
  if (capabilities.length === 0) throw invalid('volume_capabilities', '', 'Give one at least');
  return capabilities.map((one) => demandCapability('volume_capabilities', one));
}

/** The size in bytes to make: whole blocks, as little as was asked for. `out-of-range` if none. */
export function chooseSize(range: CapacityRange | null): number {
  const required = range?.requiredBytes ?? 0;
  const limit = range?.limitBytes ?? 0;
  if (required < 0 || limit < 0) throw invalid('capacity_range', required, 'Use no negative size');
  const wanted = required > 0 ? required : Math.min(DEFAULT_BYTES, limit > 0 ? limit : Infinity);
  const rounded =
    required > 0
      ? Math.ceil(wanted / BLOCK_BYTES) * BLOCK_BYTES
      : Math.floor(wanted / BLOCK_BYTES) * BLOCK_BYTES;
  if (rounded === 0 || !fits(range, rounded)) {
    throw new HoldfastError('out-of-range', 'No size fits the capacity range', {
      details: {
        field: 'capacity_range',
        value: `${required} to ${limit}`,
        remedy: `Use a range that holds a multiple of ${BLOCK_BYTES} bytes`,
      },
    });
  }
  return rounded;
}

/** Whether a volume of this size is what was asked for. */
export function fits(range: CapacityRange | null, sizeBytes: number): boolean {
  const required = range?.requiredBytes ?? 0;
  const limit = range?.limitBytes ?? 0;
  return sizeBytes >= required && (limit === 0 || sizeBytes <= limit);
}

/** A page of a list. Tokens are positions; a token that cannot be one is a `conflict` (ABORTED). */
export function paginate<Item>(
  items: readonly Item[],
  maxEntries: number,
  startingToken: string,
): { readonly page: readonly Item[]; readonly nextToken: string } {
  if (maxEntries < 0) throw invalid('max_entries', maxEntries, 'Use 0 or more');
  const start = startingToken === '' ? 0 : Number(startingToken);
  if (!/^\d{0,9}$/.test(startingToken) || start > items.length) {
    throw new HoldfastError('conflict', 'Token is not one of this list', {
      details: { field: 'starting_token', value: startingToken.slice(0, 40), remedy: 'List anew' },
    });
  }
  const end = maxEntries === 0 ? items.length : Math.min(items.length, start + maxEntries);
  return { page: items.slice(start, end), nextToken: end < items.length ? String(end) : '' };
}
