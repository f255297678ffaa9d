/**
 * CRC-32C of the first 60 bytes of a header. The same function as crc32c of lib, in JavaScript by
 * slices of eight: 45 ns where the call into the native one takes 140 ns for so few bytes, and
 * every request has four of them.
 */
const SLICES = makeSlices();

function makeSlices(): Int32Array {
  const slices = new Int32Array(8 * 256);
  for (let i = 0; i < 256; i += 1) {
    let crc = i;
    for (let bit = 0; bit < 8; bit += 1)
      crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0x82f63b78;
    slices[i] = crc;
  }
  for (let i = 256; i < 8 * 256; i += 1) {
    const before = slices[i - 256] as number;
    slices[i] = (before >>> 8) ^ (slices[before & 255] as number);
  }
  return slices;
}

/** Of the 60 bytes at `offset`. */
export function headerCrc(view: DataView, offset: number): number {
  let crc = -1;
  for (let at = offset; at < offset + 56; at += 8) {
    const low = view.getInt32(at, true) ^ crc;
    const high = view.getInt32(at + 4, true);
    crc =
      (SLICES[1792 + (low & 255)] as number) ^
      (SLICES[1536 + ((low >>> 8) & 255)] as number) ^
      (SLICES[1280 + ((low >>> 16) & 255)] as number) ^
      (SLICES[1024 + (low >>> 24)] as number) ^
      (SLICES[768 + (high & 255)] as number) ^
      (SLICES[512 + ((high >>> 8) & 255)] as number) ^
      (SLICES[256 + ((high >>> 16) & 255)] as number) ^
      (SLICES[high >>> 24] as number);
  }
  for (let at = offset + 56; at < offset + 60; at += 1) {
    crc = (crc >>> 8) ^ (SLICES[(crc ^ view.getUint8(at)) & 255] as number);
  }
  return ~crc >>> 0;
}
