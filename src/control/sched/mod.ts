/**
 * Placement: pure filters and scores over a snapshot of the cluster. The same pools and the same
 * request give the same answer; a refusal says of every pool why.
 */
export { FILTERS, FREE_BYTES_MIN } from './filters.ts';
export type { Filter, PlacementRequest, PoolCandidate, TakenPlace } from './filters.ts';
export { describeSpread, formatRefusal, placeReplicas, refusalError } from './place-replicas.ts';
export type { PlacementResult, Refusal } from './place-replicas.ts';
