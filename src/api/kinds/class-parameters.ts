import type { StorageClass } from './claim.ts';
import { invalidObject } from './invalid-object.ts';
import { PROVISIONER } from '../provisioner.ts';
import { readQuantity } from '../units.ts';
import { REPLICAS_MAX } from './volume.ts';

/** What a StorageClass decides about its volumes. */
export interface ClassParameters {
  readonly replicas: number;
  readonly isolation: 'thread' | 'shared';
  readonly onQuorumLoss: 'suspend' | 'error';
  readonly fsType: 'ext4' | 'xfs';
  /** Null: chosen by the size of the volume. */
  readonly segmentBytes: number | null;
}

type Name = 'replicas' | 'isolation' | 'onQuorumLoss' | 'fsType' | 'segmentSize';

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
  isolation: 'isolation',
  onQuorumLoss: 'onQuorumLoss',
  'csi.storage.k8s.io/fstype': 'fsType',
  fsType: 'fsType',
  fstype: 'fsType',
  fs: 'fsType',
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
const KNOWN = [
  'replicas',
  'isolation',
  'onQuorumLoss',
  'csi.storage.k8s.io/fstype',
  'segmentSize',
] as const;

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
      const remedy = `Remove it, or use one of: ${KNOWN.join(', ')}`;
      throw invalidObject(pathOf(key), value, 'Parameter is unknown', remedy);
    }
    const other = given.get(name);
    if (other !== undefined && other.value !== value) {
      const problem = `Parameter says the same as ${other.key}, with another value`;
      throw invalidObject(pathOf(key), value, problem, 'Keep one of the two');
    }
    given.set(name, { key, value });
  }
  return {
    replicas: readCount(given.get('replicas')),
    isolation: readChoice(given.get('isolation'), ['thread', 'shared']),
    onQuorumLoss: readChoice(given.get('onQuorumLoss'), ['suspend', 'error']),
    fsType: readChoice(given.get('fsType'), ['ext4', 'xfs']),
    segmentBytes: readSegment(given.get('segmentSize')),
  };
}

interface Given {
  readonly key: string;
  readonly value: string;
}

function pathOf(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? `parameters.${key}` : `parameters["${key}"]`;
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
