import type { BlockDevice } from './mod.ts';

const WINDOW_BYTES = 16 * 2 ** 30;

/**
 * Whether nothing was ever written: true only where the device calls all of it a hole. What it
 * calls zero counts as written, and so does what it cannot tell (*Never format what may hold
 * data*).
 */
export async function isBlank(
  device: Pick<BlockDevice, 'extents' | 'sizeBytes'>,
): Promise<boolean> {
  for (let at = 0; at < device.sizeBytes; at += WINDOW_BYTES) {
    const extents = await device.extents(at, Math.min(WINDOW_BYTES, device.sizeBytes - at));
    if (extents.some((extent) => extent.kind !== 'hole')) return false;
  }
  return true;
}
