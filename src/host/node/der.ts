/** The few values of DER (ITU-T X.690) that a certificate is made of. */

export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const body = Buffer.concat(parts);
  const length = body.byteLength;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), body]);
  const digits = Buffer.from(length.toString(16).padStart(length > 0xff ? 4 : 2, '0'), 'hex');
  return Buffer.concat([Buffer.from([tag, 0x80 | digits.byteLength]), digits, body]);
}

export const sequence = (...parts: readonly Uint8Array[]): Uint8Array => der(0x30, ...parts);
export const setOf = (...parts: readonly Uint8Array[]): Uint8Array => der(0x31, ...parts);
export const octets = (bytes: Uint8Array): Uint8Array => der(0x04, bytes);
export const bits = (bytes: Uint8Array, unused = 0): Uint8Array =>
  der(0x03, Uint8Array.of(unused), bytes);
export const utf8 = (text: string): Uint8Array => der(0x0c, Buffer.from(text));
export const truth = (value: boolean): Uint8Array => der(0x01, Uint8Array.of(value ? 0xff : 0));

/** Of unsigned big-endian bytes. */
export function integer(bytes: Uint8Array): Uint8Array {
  const first = bytes[0] ?? 0;
  return first >= 0x80 ? der(0x02, Uint8Array.of(0), bytes) : der(0x02, bytes);
}

/** `1.2.840…`: base 128 for each arc, the first two in one. */
export function oid(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const digits = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) digits.unshift((left & 0x7f) | 0x80);
    bytes.push(...digits);
  }
  return der(0x06, Uint8Array.from(bytes));
}

/** RFC 5280 4.1.2.5: UTCTime until 2049, GeneralizedTime from then on. */
export function time(wallMs: number): Uint8Array {
  const text = new Date(wallMs).toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  const isShort = text < '2050';
  return der(isShort ? 0x17 : 0x18, Buffer.from(isShort ? text.slice(2) : text));
}
