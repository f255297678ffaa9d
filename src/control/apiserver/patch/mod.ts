/**
 * The patches of the Kubernetes API as pure functions. None changes its arguments. They throw
 * HoldfastError('invalid-argument') for a patch that no object could take, and PatchTestFailed for
 * one that does not fit this object.
 */
export { formatConflicts } from './conflict-text.ts';
export type { ConflictCause } from './conflict-text.ts';
export { applyJsonPatch } from './json-patch.ts';
export { applyMergePatch } from './merge-patch.ts';
export type { Conflict, Owner } from './ownership.ts';
export { PatchTestFailed } from './refusal.ts';
export { serverSideApply, trackUpdate } from './server-side-apply.ts';
export type { ApplyRequest, TrackedWrite, UpdateRequest } from './server-side-apply.ts';
export { applyStrategicPatch } from './strategic-patch.ts';
