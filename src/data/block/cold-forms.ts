/**
 * The promise forms of the verbs, for open, recovery, rebuild control and tests. The hot path makes
 * its own requests once and uses them again.
 */
import { HoldfastError } from '#api/mod.ts';
import type { BlockDevice, BlockRequest, BlockVerb } from './mod.ts';

const EMPTY = new Uint8Array(0);

export interface WriteOptions {
  /** Durable when the promise resolves. */
  readonly fua?: boolean;
}

export interface ZeroOptions extends WriteOptions {
  /** Keep the space allocated. */
  readonly keepAllocated?: boolean;
}

/** A request that does nothing yet: a flush without listener. */
export function createRequest(): BlockRequest {
  return {
    verb: 'flush',
    offsetBytes: 0,
    lengthBytes: 0,
    data: EMPTY,
    fua: false,
    keepAllocated: false,
    done: () => undefined,
    trace: null,
  };
}

/**
 * Resolves with fresh bytes. Longer than `limits.maxBytes` is read in pieces, one after the other.
 */
export async function readDevice(
  device: BlockDevice,
  offsetBytes: number,
  lengthBytes: number,
): Promise<Uint8Array> {
  return transfer(device, 'read', offsetBytes, new Uint8Array(lengthBytes), false);
}

/**
 * Longer than `limits.maxBytes` is written in pieces, one after the other. When a later piece fails
 * the error's effect is `unknown`.
 */
export async function writeDevice(
  device: BlockDevice,
  offsetBytes: number,
  data: Uint8Array,
  options: WriteOptions = {},
): Promise<void> {
  // A copy: a disk that hangs may keep it longer than the caller does.
  await transfer(device, 'write', offsetBytes, data.slice(), options.fua ?? false);
}

/** Makes every write that resolved before this call durable. */
export async function flushDevice(device: BlockDevice): Promise<void> {
  await submitOnce(device, createRequest());
}

/** Gives space back; reads as zero afterwards. */
export async function trimDevice(
  device: BlockDevice,
  offsetBytes: number,
  lengthBytes: number,
  options: WriteOptions = {},
): Promise<void> {
  const fua = options.fua ?? false;
  await submitOnce(device, { ...createRequest(), verb: 'trim', offsetBytes, lengthBytes, fua });
}

/** Reads as zero afterwards. */
export async function zeroDevice(
  device: BlockDevice,
  offsetBytes: number,
  lengthBytes: number,
  options: ZeroOptions = {},
): Promise<void> {
  await submitOnce(device, {
    ...createRequest(),
    verb: 'zero',
    offsetBytes,
    lengthBytes,
    fua: options.fua ?? false,
    keepAllocated: options.keepAllocated ?? false,
  });
}

/** Returns the bytes, in `data` unless a piece came back in another array. */
async function transfer(
  device: BlockDevice,
  verb: BlockVerb,
  offsetBytes: number,
  data: Uint8Array,
  fua: boolean,
): Promise<Uint8Array> {
  const maxBytes = device.limits.maxBytes;
  const request = createRequest();
  request.verb = verb;
  request.fua = fua;
  let whole = data;
  let at = 0;
  // At least once, so that the device itself judges an empty transfer.
  do {
    const piece = whole.subarray(at, Math.min(whole.byteLength, at + maxBytes));
    request.offsetBytes = offsetBytes + at;
    request.lengthBytes = piece.byteLength;
    request.data = piece;
    try {
      await submitOnce(device, request);
    } catch (error) {
      throw verb === 'write' && at > 0 && HoldfastError.is(error) ? partlyApplied(error) : error;
    }
    if (request.data !== piece) {
      whole = whole.slice();
      whole.set(request.data, at);
    }
    at += piece.byteLength;
  } while (at < whole.byteLength);
  return whole;
}

function submitOnce(device: BlockDevice, request: BlockRequest): Promise<void> {
  return new Promise((resolve, reject) => {
    request.done = (_request, error) => {
      if (error === null) resolve();
      else reject(error);
    };
    device.submit(request);
  });
}

/** The same error for a request of which a part has already succeeded. */
export function partlyApplied(error: HoldfastError): HoldfastError {
  if (error.effect === 'unknown') return error;
  return new HoldfastError(error.code, error.message, {
    effect: 'unknown',
    details: error.details,
    cause: error,
  });
}
