import type { StorageClass } from './claim.ts';
import { invalidObject } from './invalid-object.ts';
import { PROVISIONER } from '../provisioner.ts';
import { readQuantity } from '../units.ts';
import { readMkfsOptions } from './mkfs-options.ts';
import { nearestName } from './nearest-name.ts';
import { readPoolSelector } from './pool-selector.ts';
import { REPLACE_AFTER_SECONDS, REPLACE_AFTER_SECONDS_MAX, REPLICAS_MAX } from './volume.ts';

/** What a StorageClass decides about its volumes. */
export interface ClassParameters {
  readonly replicas: number;
  readonly isolation: 'thread' | 'shared';
  readonly onQuorumLoss: 'suspend' | 'error';
  readonly fsType: 'ext4' | 'xfs';
  /** Null: chosen by the size of the volume. */
  readonly segmentBytes: number | null;
  /** Empty: every pool. */
  readonly poolSelector: string;
  /** Empty: none. Checked for `fsType`. */
  readonly mkfsOptions: string;
  readonly replaceAfterSeconds: number;
}

const KNOWN = {
  replicas: 'replicas',
  isolation: 'isolation',
  onQuorumLoss: 'onQuorumLoss',
  poolSelector: 'poolSelector',
  fsType: 'csi.storage.k8s.io/fstype',
  mkfsOptions: 'mkfsOptions',
  replaceAfterSeconds: 'replaceAfterSeconds',
  segmentSize: 'segmentSize',
} as const;

type Name = keyof typeof KNOWN;

/**
 * Every parameter we know, with the names that other systems use for the same thing (field.md §4),
 * so that a class can be carried over. `csi.holdfast.dev/x` means x.
 */
const NAMES: Readonly<Record<string, Name>> = {
  replicas: 'replicas',
  repl: 'replicas',
  numberOfReplicas: 'replicas',
  replicaCount: 'replicas',
  placementCount: 'replicas',
  autoPlace: 'replicas',
  replication: 'replicas',
  replicationFactor: 'replicas',
  isolation: 'isolation',
  onQuorumLoss: 'onQuorumLoss',
  'csi.storage.k8s.io/fstype': 'fsType',
  fsType: 'fsType',
  fstype: 'fsType',
  fs: 'fsType',
  poolSelector: 'poolSelector',
  diskSelector: 'poolSelector',
  mkfsOptions: 'mkfsOptions',
  mkfsParams: 'mkfsOptions',
  formatOptions: 'mkfsOptions',
  fsOpts: 'mkfsOptions',
  replaceAfterSeconds: 'replaceAfterSeconds',
  segmentSize: 'segmentSize',
};
/** Names of other systems for what is always so here: accepted with this value only. */
const FIXED: Readonly<Record<string, string>> = {
  thin: 'true',
  thinProvision: 'true',
  thinprovision: 'true',
  encrypted: 'false',
  encryption: 'false',
};

/** `invalid-object` for an unknown name, a value out of range, or two names that disagree. */
export function parseClassParameters(parameters: StorageClass['parameters']): ClassParameters {
  const given = new Map<Name, { readonly key: string; readonly value: string }>();
  for (const [key, value] of Object.entries(parameters ?? {})) {
    const bare = key.startsWith(`${PROVISIONER}/`) ? key.slice(PROVISIONER.length + 1) : key;
    const fixed = FIXED[bare];
    if (fixed !== undefined) {
      if (value === fixed) continue;
      throw invalidObject(pathOf(key), value, 'Parameter has no such choice', `Use "${fixed}"`);
    }
    const name = NAMES[bare];
    if (name === undefined) {
      throw invalidObject(pathOf(key), value, 'Parameter is unknown', remedyFor(bare));
    }
    const other = given.get(name);
    if (other !== undefined && other.value !== value) {
      const problem = `Parameter says the same as ${other.key}, with another value`;
      throw invalidObject(pathOf(key), value, problem, 'Keep one of the two');
    }
    given.set(name, { key, value });
  }
  const fsType = readChoice(given.get('fsType'), ['ext4', 'xfs']);
  return {
    replicas: readCount(given.get('replicas')),
    isolation: readChoice(given.get('isolation'), ['thread', 'shared']),
    onQuorumLoss: readChoice(given.get('onQuorumLoss'), ['suspend', 'error']),
    fsType,
    segmentBytes: readSegment(given.get('segmentSize')),
    poolSelector: readSelector(given.get('poolSelector')),
    mkfsOptions: readMkfs(given.get('mkfsOptions'), fsType),
    replaceAfterSeconds: readSeconds(given.get('replaceAfterSeconds')),
  };
}

interface Given {
  readonly key: string;
  readonly value: string;
}

function pathOf(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? `parameters.${key}` : `parameters["${key}"]`;
}

/** What was probably meant, then everything there is. */
function remedyFor(bare: string): string {
  const all = Object.values(KNOWN).join(', ');
  const near = nearestName(bare, [...Object.keys(NAMES), ...Object.keys(FIXED)]);
  const meant = near === undefined ? undefined : NAMES[near];
  if (near === undefined) return `Remove it, or use one of: ${all}`;
  return `Did you mean ${meant === undefined ? near : KNOWN[meant]}? There are: ${all}`;
}

function readSelector(given: Given | undefined): string {
  if (given === undefined) return '';
  const result = readPoolSelector(given.value);
  if (result.ok) return given.value;
  const remedy = 'Use terms like ssd, !hdd, tier=fast, tier!=slow, with commas between them';
  throw invalidObject(pathOf(given.key), given.value, result.problem, remedy);
}

function readMkfs(given: Given | undefined, fsType: 'ext4' | 'xfs'): string {
  if (given === undefined) return '';
  const result = readMkfsOptions(fsType, given.value);
  if (result.ok) return given.value;
  throw invalidObject(pathOf(given.key), given.value, result.problem, result.remedy);
}

function readSeconds(given: Given | undefined): number {
  if (given === undefined) return REPLACE_AFTER_SECONDS;
  const seconds = /^\d{1,8}$/.test(given.value) ? Number(given.value) : 0;
  if (seconds >= 1 && seconds <= REPLACE_AFTER_SECONDS_MAX) return seconds;
  const remedy = `Use "1" to "${REPLACE_AFTER_SECONDS_MAX}" seconds`;
  throw invalidObject(pathOf(given.key), given.value, 'Time is out of range', remedy);
}

function readCount(given: Given | undefined): number {
  if (given === undefined) return 3;
  const count = /^\d{1,3}$/.test(given.value) ? Number(given.value) : 0;
  if (count >= 1 && count <= REPLICAS_MAX) return count;
  const remedy = `Use "1" to "${REPLICAS_MAX}"`;
  throw invalidObject(pathOf(given.key), given.value, 'Replica count is out of range', remedy);
}

function readChoice<Choice extends string>(
  given: Given | undefined,
  choices: readonly [Choice, ...Choice[]],
): Choice {
  if (given === undefined) return choices[0];
  const found = choices.find((choice) => choice === given.value);
  if (found !== undefined) return found;
  const remedy = `Use one of: ${choices.join(', ')}`;
  throw invalidObject(pathOf(given.key), given.value, 'Value is not a choice', remedy);
}

function readSegment(given: Given | undefined): number | null {
  if (given === undefined) return null;
  const result = readQuantity(given.value);
  const bytes = result.ok ? result.bytes : 0;
  if (bytes >= 65_536 && bytes <= 2 ** 30 && (bytes & (bytes - 1)) === 0) return bytes;
  const remedy = 'Use a power of two from 64Ki to 1Gi';
  throw invalidObject(pathOf(given.key), given.value, 'Segment size cannot be used', remedy);
}

/** 1 MiB up to 1 TiB, then grows so that a volume never has more than a million segments. */
export function chooseSegmentBytes(sizeBytes: number): number {
  let segmentBytes = 2 ** 20;
  while (segmentBytes < 2 ** 30 && sizeBytes / segmentBytes > 2 ** 20) segmentBytes *= 2;
  return segmentBytes;
}
