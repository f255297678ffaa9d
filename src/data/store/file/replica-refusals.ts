/** Errors of a replica's cold verbs. */
import { HoldfastError } from '#api/mod.ts';
import { BLOCK_BYTES } from '#data/block/mod.ts';
import { isSize } from './metadata.ts';

export function rolledBack(): HoldfastError {
  return new HoldfastError('store-rolled-back', 'An older copy of the store came back', {
    details: { remedy: 'Let the replica be rebuilt from the others' },
  });
}

export function inDoubt(): HoldfastError {
  return new HoldfastError('not-current', 'Segments are in doubt and must be settled first');
}

export function checkSize(sizeBytes: number): void {
  if (isSize(sizeBytes)) return;
  throw new HoldfastError('invalid-argument', 'Size cannot be served', {
    details: {
      field: 'sizeBytes',
      value: sizeBytes,
      remedy: `Use a positive multiple of ${BLOCK_BYTES} below 2^53`,
    },
  });
}

export function cannotShrink(sizeBytes: number): HoldfastError {
  return new HoldfastError('out-of-range', 'Volumes do not shrink', {
    details: { field: 'sizeBytes', value: sizeBytes, remedy: 'Give a larger size' },
  });
}

export function checkRange(offsetBytes: number, lengthBytes: number, sizeBytes: number): void {
  if (offsetBytes % BLOCK_BYTES !== 0 || lengthBytes % BLOCK_BYTES !== 0) {
    throw new HoldfastError('unaligned', 'Range is not aligned to blocks');
  }
  if (offsetBytes < 0 || lengthBytes < 0 || offsetBytes + lengthBytes > sizeBytes) {
    throw new HoldfastError('out-of-range', 'Range is beyond the end');
  }
}
