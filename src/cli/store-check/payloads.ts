/**
 * docs/format/store.md "Payloads": the JSON objects inside envelopes. Unknown members are ignored.
 */
import { isId } from '#api/mod.ts';
import { z } from 'zod';
import type { Findings } from './findings.ts';

const id = z.string().refine(isId, 'is no id');
const hex8 = z.string().regex(/^[0-9a-f]{16}$/, 'is not 16 hexadecimal digits');
const whole = z.int().nonnegative();
const sizeBytes = z.int().positive().multipleOf(4096);
const fileId = z.object({ inode: z.string(), birthNs: z.string() });

export const poolPayload = z.object({ cluster: id, pool: id });

const layerPayload = z.object({
  layer: hex8,
  home: id,
  volume: id,
  sizeBytes,
  state: z.enum(['head', 'sealed', 'unsealed', 'merging']),
  snapshot: id.nullable(),
  epoch: whole,
  n: whole,
  data: fileId,
  map: fileId,
});

export const replicaPayload = z.object({
  cluster: id,
  volume: id,
  replica: id,
  pool: id,
  shard: z.literal(0),
  segmentBytes: z
    .int()
    .min(65_536)
    .max(1_073_741_824)
    .refine((value) => Number.isInteger(Math.log2(value)), 'is no power of two'),
  claim: z.string(),
  sizeBytes,
  incarnation: id,
  clean: z.boolean(),
  doubt: z.boolean(),
  healing: z.boolean(),
  logTorn: z.boolean(),
  rolledBack: z.boolean(),
  cacheIdentity: z.string(),
  baseEpoch: whole,
  baseN: whole,
  baseSegments: whole,
  stamps: hex8,
  self: fileId,
  mapLog: fileId,
  stampsFile: fileId,
  layers: z.array(layerPayload).min(1),
});

const position = z.object({ epoch: whole, seq: whole });

export const voterPayload = z.object({
  replica: id,
  promised: whole,
  promisedTo: z.string(),
  record: z
    .object({
      epoch: whole,
      seq: whole,
      members: z.array(z.object({ replica: id, incarnation: id })),
      voters: z.array(id),
      formerVoters: z.array(id).nullable(),
      closed: z.boolean(),
      loss: whole,
      floor: position,
      held: z.array(position.extend({ voter: id })).default([]),
    })
    .nullable(),
  rebuild: z.string(),
});

export const logPayload = z.object({
  salt: hex8,
  restart: whole,
  completedEpoch: whole,
  completedN: whole,
});

export const mapPayload = z.object({ layer: hex8, volume: id });
export const stampsPayload = z.object({ stamps: hex8 });

export type FileId = z.infer<typeof fileId>;
export type LayerPayload = z.infer<typeof layerPayload>;
export type ReplicaPayload = z.infer<typeof replicaPayload>;
export type VoterPayload = z.infer<typeof voterPayload>;
export type LogPayload = z.infer<typeof logPayload>;

/**
 * The value, or undefined after a finding that names the first member that does not fit; undefined
 * too when there is no payload, which was said before.
 */
export function parsePayload<T>(
  schema: z.ZodType<T>,
  payload: unknown,
  file: string,
  findings: Findings,
): T | undefined {
  if (payload === undefined) return undefined;
  const result = schema.safeParse(payload);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  findings.corruption(file, 'The payload does not fit the format', {
    member: issue?.path.join('.') ?? '',
    reason: issue?.message ?? '',
  });
  return undefined;
}

/** What the stack of layers must be; false after a finding. */
export function checkLayers(header: ReplicaPayload, file: string, findings: Findings): boolean {
  const wrong = wrongLayers(header);
  if (wrong !== undefined) findings.corruption(file, 'The layers make no stack', { reason: wrong });
  return wrong === undefined;
}

function wrongLayers({
  layers,
  sizeBytes: size,
  replica,
  volume,
}: ReplicaPayload): string | undefined {
  const head = layers.at(-1)!;
  if (head.state !== 'head') return 'the last one is no head';
  if (layers.slice(0, -1).some((layer) => layer.state === 'head')) return 'two heads';
  if (head.sizeBytes !== size) return 'the head has another size than the volume';
  if (head.home !== replica || head.volume !== volume) return 'the head belongs to another replica';
  if (head.snapshot !== null) return 'the head is a snapshot';
  if (new Set(layers.map((layer) => layer.layer)).size !== layers.length)
    return 'one appears twice';
  const snapshots = layers
    .filter((layer) => layer.state !== 'merging')
    .flatMap((layer) => layer.snapshot ?? []);
  if (new Set(snapshots).size !== snapshots.length) return 'a snapshot appears twice';
  return undefined;
}
