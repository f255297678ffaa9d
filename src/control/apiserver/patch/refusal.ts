import { HoldfastError } from '#api/mod.ts';
import { depthOf } from './json.ts';

/**
 * A patch that is well formed and does not fit the object: kube-apiserver answers 422. The message
 * is what its patch library says.
 */
export class PatchTestFailed extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'PatchTestFailed';
  }
}

/**
 * A patch that no object could take. The message is kube-apiserver's own, because people match it;
 * `status` is the code that it answers with, which is 500 for some that are the client's mistake.
 */
export function badPatch(message: string, status = 400): HoldfastError {
  return new HoldfastError('invalid-argument', message, { details: { status } });
}

/** No object of the API is so deep; walking what is would end the process. */
export const DEPTH_MAX = 1_000;

export function demandDepth(patch: unknown): void {
  if (depthOf(patch, DEPTH_MAX) > DEPTH_MAX) throw badPatch('exceeded max depth');
}
