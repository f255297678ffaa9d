import { test } from 'node:test';
import assert from 'node:assert/strict';
import { concatBytes, encodeText } from '#lib/mod.ts';
import {
  encodeBlockStatus,
  encodeErrorReply,
  encodeOffsetData,
  encodeSimpleReply,
} from './reply-encoder.ts';
import { NbdReplyDecoder, type NbdReplySink } from './reply-decoder.ts';

function simple(errorNumber: number, cookie: number): Uint8Array {
  const bytes = new Uint8Array(16);
  encodeSimpleReply(bytes, 0, errorNumber, 0, cookie);
  return bytes;
}

function offsetData(cookie: number, offsetBytes: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(28 + data.byteLength);
  encodeOffsetData(bytes, 0, 0, cookie, offsetBytes, data.byteLength);
  bytes.set(data, 28);
  return bytes;
}

/** Writes down what happens; data of reads goes to a buffer of 16 bytes at offset 2^40. */
function recorder() {
  const lines: string[] = [];
  const data = new Uint8Array(16);
  const sink: NbdReplySink = {
    onSimple: (cookie, errorNumber) => {
      lines.push(`simple ${cookie} ${errorNumber}`);
      return cookie === 9 && errorNumber === 0 ? data : new Uint8Array();
    },
    onData: (cookie, offsetBytes, lengthBytes) => {
      lines.push(`data ${cookie} ${offsetBytes} ${lengthBytes}`);
      const at = offsetBytes - 2 ** 40;
      return at < 0 || at + lengthBytes > 16 ? null : data.subarray(at, at + lengthBytes);
    },
    onBlockStatus: (cookie, statuses) => lines.push(`status ${cookie} ${JSON.stringify(statuses)}`),
    onError: (cookie, errorNumber) => lines.push(`error ${cookie} ${errorNumber}`),
    onDone: (cookie) => lines.push(`done ${cookie}`),
  };
  return { lines, data, sink };
}

const replies = concatBytes([
  simple(0, 1),
  simple(28, 2),
  simple(0, 9),
  encodeText('sixteen bytes !!'),
  offsetData(3, 2 ** 40 + 4, encodeText('four')),
  encodeErrorReply(5, 0, 4, encodeText('Broken')),
  encodeBlockStatus(0, 5, 1, [
    { lengthBytes: 4096, state: 0 },
    { lengthBytes: 65536, state: 3 },
  ]),
]);

test('NbdReplyDecoder gives the same events at once and byte by byte', () => {
  const expected = [
    'simple 1 0',
    'done 1',
    'simple 2 28',
    'done 2',
    'simple 9 0',
    'done 9',
    `data 3 ${2 ** 40 + 4} 4`,
    'done 3',
    'error 4 5',
    'done 4',
    'status 5 [{"lengthBytes":4096,"state":0},{"lengthBytes":65536,"state":3}]',
    'done 5',
  ];
  for (const length of [1, 3, 17, replies.byteLength]) {
    const { lines, data, sink } = recorder();
    const decoder = new NbdReplyDecoder();
    for (let at = 0; at < replies.byteLength; at += length) {
      decoder.push(replies.subarray(at, at + length), sink);
    }
    assert.equal(decoder.violation, null);
    assert.deepEqual(lines, expected);
    assert.equal(Buffer.from(data).toString(), 'sixtfourbytes !!');
  }
});

test('NbdReplyDecoder refuses data outside the request, oversized chunks and wrong magic', () => {
  const huge = encodeErrorReply(5, 0, 4, new Uint8Array());
  huge.set([0xff, 0xff, 0xff, 0xff], 16);
  for (const bytes of [offsetData(3, 2 ** 40 + 15, encodeText('ab')), huge, new Uint8Array(16)]) {
    const decoder = new NbdReplyDecoder();
    decoder.push(bytes, recorder().sink);
    assert.notEqual(decoder.violation, null);
  }
});
