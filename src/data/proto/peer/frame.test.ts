import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { crc32c, encodeText, formatHex, parseHex, viewOf } from '#lib/mod.ts';
import {
  COLD_BYTES_MAX,
  DATA_BYTES_MAX,
  encodeFrame,
  FLAG_ERROR,
  FLAG_MORE,
  FLAG_REPLY,
  FRAME,
  type Frame,
  FrameBatch,
  FrameDecoder,
  HEADER_BYTES,
  MAGIC,
  PAYLOAD_BYTES_MAX,
  payloadBytesMax,
} from './mod.ts';
import { headerCrc } from './header-crc.ts';

const place = (frame: Frame): Uint8Array => new Uint8Array(frame.payloadBytes);

/** All frames of the bytes when they arrive in chunks of this length. */
function decodeIn(bytes: Uint8Array, chunkBytes: number): Frame[] {
  const decoder = new FrameDecoder(place);
  const frames: Frame[] = [];
  for (let at = 0; at < bytes.byteLength; at += chunkBytes) {
    const chunk = bytes.slice(at, at + chunkBytes);
    decoder.feed(chunk);
    for (let step = decoder.next(); step !== 'need-more'; step = decoder.next()) {
      assert.equal(step, 'frame', decoder.violation ?? '');
      frames.push({ ...decoder.frame });
    }
    // The chunk is the receiver's again.
    chunk.fill(0xee);
  }
  assert.equal(decoder.between, true);
  return frames;
}

function violationOf(bytes: Uint8Array): string | null {
  const decoder = new FrameDecoder(place);
  decoder.feed(bytes);
  for (;;) {
    const step = decoder.next();
    if (step === 'need-more') return null;
    if (step === 'violation') {
      assert.equal(decoder.next(), 'violation', 'a violation is final');
      return decoder.violation;
    }
  }
}

/** A header of the test's own making with a good checksum. */
function forge(change: (view: DataView) => void, payload = new Uint8Array(0)): Uint8Array {
  const bytes = encodeFrame({ type: FRAME.write, lengthBytes: payload.byteLength }, payload);
  const view = viewOf(bytes);
  change(view);
  view.setUint32(60, headerCrc(view, 0), true);
  return bytes;
}

describe('peer frames', () => {
  test('golden: a write of four bytes (docs/format/peer.md)', () => {
    const bytes = encodeFrame(
      {
        type: FRAME.write,
        requestId: 0x01020304,
        offsetBytes: 0x123456000,
        lengthBytes: 4,
        stampEpoch: 7,
        stampN: 9,
      },
      parseHex('deadbeef'),
    );
    assert.equal(
      formatHex(bytes),
      [
        '48465031110000000403020104000000',
        '00604523010000000400000000000000',
        '07000000000000000900000000000000',
        '00000000000000008e77dcf1ff7ef700',
        'deadbeef',
      ].join(''),
    );
  });

  test('golden: the answer of a flush, and a ping', () => {
    assert.equal(
      formatHex(encodeFrame({ type: FRAME.flush, flags: FLAG_REPLY, requestId: 5 })),
      `484650311401000005000000${'00'.repeat(48)}6c433a72`,
    );
    assert.equal(
      formatHex(encodeFrame({ type: FRAME.ping })),
      `4846503102${'00'.repeat(55)}aa426c13`,
    );
  });

  test('the checksum of a header is CRC-32C', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 61, maxLength: 70 }), (bytes) => {
        const at = bytes.byteLength - 60;
        assert.equal(headerCrc(viewOf(bytes), at), crc32c(bytes.slice(at)));
      }),
    );
  });

  test('frames come out the same whatever the chunks', () => {
    const layer = encodeText('snap-1');
    const chunks: Uint8Array[] = [];
    const batch = new FrameBatch((written) => {
      for (const chunk of written) chunks.push(chunk.slice());
      return true;
    });
    const data = new Uint8Array(5000).map((_, i) => i);
    batch.add({ type: FRAME.ping });
    batch.addHot(FRAME.write, 0, 1, 4096, 5000, 3, 4, layer, data);
    batch.add({ type: FRAME.flush, requestId: 2 });
    batch.add({ type: FRAME.read, requestId: 3, offsetBytes: 8192, lengthBytes: 4096 });
    batch.add({ type: FRAME.promise, requestId: 4 }, encodeText('{}'));
    batch.flush();
    // Two runs of headers, the layer, the data, the body.
    assert.equal(chunks.length, 5);
    const bytes = new Uint8Array(Buffer.concat(chunks));
    const whole = decodeIn(bytes, bytes.byteLength);
    assert.deepEqual(
      whole.map((frame) => frame.type),
      [FRAME.ping, FRAME.write, FRAME.flush, FRAME.read, FRAME.promise],
    );
    assert.equal(whole[1]?.layerBytes, 6);
    assert.deepEqual(whole[1]?.payload.subarray(6), data);
    assert.equal(whole[3]?.offsetBytes, 8192);
    for (const chunkBytes of [1, 2, 3, 63, 64, 65, 127, 1000, 4096]) {
      assert.deepEqual(decodeIn(bytes, chunkBytes), whole, `${chunkBytes}`);
    }
  });

  test('decoding goes on after the rest of a chunk was kept', () => {
    const bytes = new Uint8Array(
      Buffer.concat([1, 2, 3].map((requestId) => encodeFrame({ type: FRAME.flush, requestId }))),
    );
    const decoder = new FrameDecoder(place);
    decoder.feed(bytes);
    assert.equal(decoder.next(), 'frame');
    decoder.keepRest();
    bytes.fill(0xee);
    assert.equal(decoder.next(), 'frame');
    assert.equal(decoder.frame.requestId, 2);
    decoder.keepRest();
    assert.equal(decoder.next(), 'frame');
    assert.equal(decoder.frame.requestId, 3);
    assert.equal(decoder.next(), 'need-more');
  });

  test('every violation has its word', () => {
    assert.equal(violationOf(encodeText('GET / HTTP/1.1\r\n')), 'bad-magic');
    assert.equal(violationOf(encodeText('GET ')), 'bad-magic');
    const good = encodeFrame({ type: FRAME.write, lengthBytes: 3 }, encodeText('abc'));
    assert.equal(violationOf(good), null);
    const badHeader = good.slice();
    badHeader[20] = 1;
    assert.equal(violationOf(badHeader), 'header-checksum');
    const badPayload = good.slice();
    badPayload[HEADER_BYTES] = 0;
    assert.equal(violationOf(badPayload), 'payload-checksum');
    assert.equal(violationOf(forge((view) => view.setUint8(7, 1))), 'reserved-not-zero');
    assert.equal(violationOf(forge((view) => view.setUint32(48, 1, true))), 'reserved-not-zero');
    assert.equal(violationOf(forge((view) => view.setUint8(5, 8))), 'reserved-not-zero');
    assert.equal(violationOf(forge((view) => view.setUint8(4, 99))), 'unknown-type');
    assert.equal(violationOf(forge((view) => view.setUint8(5, FLAG_ERROR))), 'unknown-type');
    assert.equal(violationOf(forge((view) => view.setUint32(12, 2 ** 31, true))), 'too-long');
    assert.equal(violationOf(forge((view) => view.setUint8(6, 5))), 'too-long');
    assert.equal(
      violationOf(forge((view) => view.setUint32(20, 2 ** 31, true))),
      'number-too-large',
    );
    assert.equal(violationOf(forge((view) => view.setUint32(56, 1, true))), 'payload-checksum');
    const decoder = new FrameDecoder(() => null);
    decoder.feed(good);
    assert.equal(decoder.next(), 'violation');
    assert.equal(decoder.violation, 'unexpected-frame');
  });

  test('the limit of a type is known before its payload has a place', () => {
    let asked = 0;
    const decoder = new FrameDecoder((frame) => {
      asked += 1;
      return new Uint8Array(frame.payloadBytes);
    });
    decoder.feed(forge((view) => view.setUint32(12, DATA_BYTES_MAX + 64, true)));
    assert.equal(decoder.next(), 'violation');
    assert.equal(asked, 0);
    for (let type = 0; type < 256; type += 1) {
      for (let flags = 0; flags < 8; flags += 1) {
        assert.ok(payloadBytesMax(type, flags) <= PAYLOAD_BYTES_MAX);
      }
    }
    assert.equal(payloadBytesMax(FRAME.flush, FLAG_REPLY | FLAG_MORE), -1);
    assert.equal(payloadBytesMax(FRAME.inspect, FLAG_REPLY | FLAG_MORE), COLD_BYTES_MAX);
  });

  test('a flipped bit anywhere is found', () => {
    const bytes = encodeFrame({ type: FRAME.write, lengthBytes: 16 }, new Uint8Array(16).fill(3));
    for (let bit = 0; bit < bytes.byteLength * 8; bit += 1) {
      const flipped = bytes.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      assert.notEqual(violationOf(flipped), null, `bit ${bit}`);
    }
  });

  test('random bytes never do more than break the protocol', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { maxLength: 20 }),
        fc.boolean(),
        (chunks, withMagic) => {
          const decoder = new FrameDecoder(place);
          const head = new Uint8Array(4);
          viewOf(head).setUint32(0, MAGIC, true);
          for (const chunk of withMagic ? [head, ...chunks] : chunks) {
            decoder.feed(chunk);
            let step = decoder.next();
            while (step === 'frame') step = decoder.next();
            if (step === 'violation') return;
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});
