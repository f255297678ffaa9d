/**
 * The part of every device's `submit` that is the same everywhere: is this request one that the
 * device can serve at all? Every error found here has effect none.
 */
import { type ErrorCode, HoldfastError } from '#api/mod.ts';
import { assert } from '#lib/mod.ts';
import type { BlockDevice, BlockRequest } from './mod.ts';

/**
 * Null when the request is sound; otherwise, in this order, `unsupported` (verb or fua),
 * `read-only`,
 * `invalid-argument` (negative, fractional or empty), `out-of-range` (beyond the end, or longer
 * than
 * `limits.maxBytes`), `unaligned`. That `data` has the promised length is the caller's duty.
 */
export function checkRequest(device: BlockDevice, request: BlockRequest): HoldfastError | null {
  const { verb, offsetBytes, lengthBytes } = request;
  const { capabilities, limits } = device;
  if (verb === 'flush') {
    return capabilities.flush ? null : refuse(request, 'unsupported', 'Device has no flush');
  }
  if (verb === 'read' || verb === 'write') {
    assert(request.data.byteLength === lengthBytes, 'data has the length of the request');
  } else if (!(verb === 'trim' ? capabilities.trim : capabilities.zero)) {
    return refuse(request, 'unsupported', 'Device does not have this verb');
  }
  if (verb !== 'read') {
    if (capabilities.readOnly) return refuse(request, 'read-only', 'Device is read-only');
    if (request.fua && !capabilities.fua) {
      return refuse(request, 'unsupported', 'Device has no forced unit access');
    }
  }
  if (!(lengthBytes > 0 && offsetBytes >= 0)) {
    return refuse(request, 'invalid-argument', 'Range is empty or negative');
  }
  if (!(lengthBytes <= device.sizeBytes && offsetBytes <= device.sizeBytes - lengthBytes)) {
    return refuse(request, 'out-of-range', 'Range ends beyond the device');
  }
  if ((verb === 'read' || verb === 'write') && lengthBytes > limits.maxBytes) {
    return refuse(request, 'out-of-range', 'Range is longer than the device transfers at once');
  }
  // Remainders of fractions are fractions, so this refuses them too.
  if (offsetBytes % limits.minBytes !== 0 || lengthBytes % limits.minBytes !== 0) {
    return refuse(request, 'unaligned', 'Range is not a multiple of the smallest block');
  }
  return null;
}

function refuse(request: BlockRequest, code: ErrorCode, message: string): HoldfastError {
  const { verb, offsetBytes, lengthBytes } = request;
  return new HoldfastError(code, message, { details: { verb, offsetBytes, lengthBytes } });
}

/** What a device answers after `close`. */
export function closedError(): HoldfastError {
  return new HoldfastError('aborted', 'Device is closed');
}
