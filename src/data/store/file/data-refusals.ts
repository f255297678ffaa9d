/** Why the data path refuses a request; every error as its contract in ../mod.ts says. */
import { HoldfastError } from '#api/mod.ts';
import { BLOCK_BYTES, REPLICA_IO_BYTES, type ReplicaRequest } from '#data/block/mod.ts';
import type { Layer } from './layer.ts';

/** Null when the request may run on this layer, or on none. */
export function refusalOf(request: ReplicaRequest, layer: Layer | undefined): HoldfastError | null {
  if (layer === undefined) return notFound(request);
  const { offsetBytes, lengthBytes, verb } = request;
  if (offsetBytes % BLOCK_BYTES !== 0 || lengthBytes % BLOCK_BYTES !== 0) {
    return new HoldfastError('unaligned', 'Request is not aligned to blocks', details(request));
  }
  const moves = verb === 'read' || verb === 'write';
  if (
    !(offsetBytes >= 0 && lengthBytes > 0) ||
    (offsetBytes + lengthBytes) / BLOCK_BYTES > layer.sizeBlocks ||
    (moves && lengthBytes > REPLICA_IO_BYTES)
  ) {
    return new HoldfastError('out-of-range', 'Request is beyond the end', details(request));
  }
  return verb === 'read' ? readRefusal(layer) : writeRefusal(layer);
}

export function notCurrent(request: ReplicaRequest): HoldfastError {
  return new HoldfastError('not-current', 'Block is in doubt until its segment is settled', {
    details: { offsetBytes: request.offsetBytes },
  });
}

/** Nothing of it was written: what room is left is kept for metadata. */
export function poolIsFull(request: ReplicaRequest): HoldfastError {
  return new HoldfastError('no-space', 'Pool is full', details(request));
}

export function mismatch(block: number): HoldfastError {
  return new HoldfastError('checksum-mismatch', 'Block does not match its checksum', {
    details: { offsetBytes: block * BLOCK_BYTES, block },
  });
}

function details(request: ReplicaRequest): { details: Record<string, number> } {
  return { details: { offsetBytes: request.offsetBytes, lengthBytes: request.lengthBytes } };
}

function notFound(request: ReplicaRequest): HoldfastError {
  return new HoldfastError('not-found', 'Snapshot does not exist', {
    details: { snapshot: String(request.layer) },
  });
}

function readRefusal(layer: Layer): HoldfastError | null {
  if (layer.record.state !== 'unsealed') return null;
  return new HoldfastError('not-current', 'Snapshot is still being filled');
}

function writeRefusal(layer: Layer): HoldfastError | null {
  if (layer.writable) return null;
  return new HoldfastError('read-only', 'Snapshot is sealed');
}
