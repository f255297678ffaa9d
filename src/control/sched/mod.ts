/**
 * Placement: pure filters and scores over a snapshot of the cluster. The same pools and the same
 * request give the same answer; a refusal says of every pool why.
 */
export { FREE_BYTES_MIN, formatRefusal, placeReplicas, refusalError } from './place-replicas.ts';
export type {
  PlacementRequest,
  PlacementResult,
  PoolCandidate,
  Refusal,
} from './place-replicas.ts';
