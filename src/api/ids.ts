/**
 * Ids and names. Every id that came from outside is checked here before any path, socket name or
 * key is made from it, so that no `../` and no empty name gets further than the edge.
 */
import { HoldfastError } from './errors.ts';

declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

export type ClusterId = Branded<'ClusterId'>;
export type VolumeId = Branded<'VolumeId'>;
export type ReplicaId = Branded<'ReplicaId'>;
export type PoolId = Branded<'PoolId'>;
export type NodeId = Branded<'NodeId'>;
export type SnapshotId = Branded<'SnapshotId'>;
/** Changes whenever a replica may have lost accepted writes (design.md §6). */
export type Incarnation = Branded<'Incarnation'>;

/** A voter is a replica, or the control plane when the number of replicas is even. */
export const CONTROL_PLANE = 'control-plane';
export type VoterId = ReplicaId | typeof CONTROL_PLANE;

/** Lower-case letters, digits and inner hyphens, 1 to 63 characters: safe in paths and DNS. */
const ID_PATTERN = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

export function isId(text: unknown): text is string {
  return typeof text === 'string' && ID_PATTERN.test(text);
}

/** Throws `invalid-argument` naming the field, the value and the rule. */
export function parseId<Id extends string>(field: string, text: unknown): Id {
  if (isId(text)) return text as Id;
  throw new HoldfastError('invalid-argument', 'Id is malformed', {
    details: {
      field,
      value: String(text).slice(0, 80),
      remedy: 'Use 1 to 63 lower-case letters, digits and inner hyphens',
    },
  });
}
