import { test } from 'node:test';
import assert from 'node:assert/strict';
import { HoldfastError } from '#api/mod.ts';
import { type BlockDevice, type BlockRequest, MemoryDevice } from '#data/block/mod.ts';
import { patternBytes, randomBelow } from '#data/block/block-device.testkit.ts';
import type { Clock, Log } from '#host/mod.ts';
import { concatBytes, formatHex } from '#lib/mod.ts';
import {
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_CACHE,
  NBD_CMD_DISC,
  NBD_CMD_FLUSH,
  NBD_CMD_READ,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NBD_CMD_WRITE_ZEROES,
  NBD_INFO_BLOCK_SIZE,
  NBD_INFO_DESCRIPTION,
  NBD_INFO_NAME,
  NBD_OPT_LIST,
  NBD_OPT_STRUCTURED_REPLY,
} from '#data/proto/nbd/mod.ts';
import {
  clientFlags,
  goBytes,
  metaContextBytes,
  optionBytes,
  RecordingConn,
  requestBytes,
  u32,
} from './nbd-client-bytes.testkit.ts';
import { NbdSession } from './nbd-session.ts';

const SIZE_BYTES = 1024 * 1024;
const MIB = 1024 * 1024;

const silent: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silent,
};

/** Deferred calls and timers that run when the test says so. */
class HandClock {
  deferred: (() => void)[] = [];
  timers: { fn: () => void }[] = [];

  readonly clock = {
    monotonicMs: () => 5,
    defer: (fn: () => void) => this.deferred.push(fn),
    after: (_ms: number, fn: () => void) => {
      const timer = { fn };
      this.timers.push(timer);
      return { cancel: () => (this.timers = this.timers.filter((other) => other !== timer)) };
    },
  } as unknown as Clock;

  run(): void {
    for (let fn = this.deferred.shift(); fn !== undefined; fn = this.deferred.shift()) fn();
  }
}

function openSession(device: BlockDevice, inFlightBytesMax = 32 * MIB) {
  const conn = new RecordingConn();
  const hand = new HandClock();
  const flags = 0b1001_0110_1101;
  const offer = { name: 'demo', description: 'default/demo', sizeBytes: device.sizeBytes, flags };
  const whole = { ...offer, minBytes: 512, preferredBytes: 4096, maxBytes: 32 * MIB };
  let closedCount = 0;
  const session = new NbdSession(conn, {
    clock: hand.clock,
    log: silent,
    exports: { list: () => [whole], find: (name) => (name === 'demo' ? whole : undefined) },
    device: (name) => (name === 'demo' ? device : undefined),
    handshakeTimeoutMs: 10_000,
    inFlightBytesMax,
    onClosed: () => closedCount++,
  });
  session.start();
  return { conn, hand, session, closedCount: () => closedCount };
}

const negotiation = concatBytes([
  clientFlags(),
  optionBytes(NBD_OPT_STRUCTURED_REPLY),
  optionBytes(NBD_OPT_LIST),
  optionBytes(4242, patternBytes(100, 1)),
  metaContextBytes('demo', ['base:allocation', 'other:thing']),
  goBytes('nobody'),
  goBytes('demo', [NBD_INFO_NAME, NBD_INFO_DESCRIPTION, NBD_INFO_BLOCK_SIZE]),
]);

const conversation = concatBytes([
  negotiation,
  requestBytes(NBD_CMD_WRITE, 1, 512, 5000, { data: patternBytes(5000, 2) }),
  requestBytes(NBD_CMD_READ, 2, 512, 5000),
  requestBytes(NBD_CMD_WRITE, 3, SIZE_BYTES, 512, { data: patternBytes(512, 3) }),
  requestBytes(NBD_CMD_READ, 4, SIZE_BYTES - 1, 2),
  requestBytes(NBD_CMD_FLUSH, 5, 0, 0),
  requestBytes(NBD_CMD_TRIM, 6, 0, 65536),
  requestBytes(NBD_CMD_WRITE_ZEROES, 7, 65536, 4096, { flags: 2 }),
  requestBytes(NBD_CMD_CACHE, 8, 0, 512),
  requestBytes(NBD_CMD_READ, 9, 0, 0),
  requestBytes(NBD_CMD_WRITE, 10, 8192, 0),
  requestBytes(999, 11, 0, 512),
  requestBytes(NBD_CMD_READ, 12, 0, 512, { flags: 1 << 9 }),
  requestBytes(NBD_CMD_DISC, 13, 0, 0),
]);

test('NbdSession answers the same bytes whether fed at once or one by one', () => {
  const pieces: [string, number][] = [
    ['at once', conversation.byteLength],
    ['one by one', 1],
    ['in sevens', 7],
    ['in odd chunks', 4099],
  ];
  const answers = pieces.map(([, length]) => {
    const { conn, hand } = openSession(new MemoryDevice({ sizeBytes: SIZE_BYTES }));
    for (let at = 0; at < conversation.byteLength; at += length) {
      conn.deliver(conversation.subarray(at, at + length));
    }
    hand.run();
    assert.ok(conn.ended, 'the session ends after NBD_CMD_DISC');
    return sortReplies(conn.takeWritten());
  });
  for (const [n, answer] of answers.entries()) assert.equal(answer, answers[0], pieces[n]?.[0]);
});

/** Replies may be gathered differently; by cookie they are the same. */
function sortReplies(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 18;
  const pieces: string[] = [];
  while (at < bytes.byteLength) {
    const magic = view.getUint32(at);
    const length = magic === 0x67446698 ? 16 : 20 + view.getUint32(at + 16);
    pieces.push(formatHex(bytes.subarray(at, at + length)));
    at += length;
  }
  return pieces.toSorted().join('\n');
}

test('NbdSession sends the replies of one delivery in one write', () => {
  const { conn } = openSession(new MemoryDevice({ sizeBytes: SIZE_BYTES }));
  conn.deliver(negotiation);
  conn.writeCount = 0;
  const reads = Array.from({ length: 32 }, (_, n) => requestBytes(NBD_CMD_READ, n, n * 4096, 4096));
  conn.deliver(concatBytes(reads));
  assert.equal(conn.writeCount, 1);
});

test('NbdSession closes on garbage at any place and never throws', () => {
  const below = randomBelow(11);
  for (let round = 0; round < 300; round++) {
    const { conn, hand } = openSession(new MemoryDevice({ sizeBytes: SIZE_BYTES }));
    const bytes = conversation.slice();
    const at = below(bytes.byteLength);
    const count = 1 + below(64);
    for (let n = at; n < Math.min(bytes.byteLength, at + count); n++) bytes[n] = below(256);
    conn.deliver(bytes);
    conn.deliver(patternBytes(4096, round));
    hand.run();
    const replyBytes = conn.takeWritten().byteLength;
    assert.ok(replyBytes < 16 * MIB, `round ${round} wrote ${replyBytes} bytes`);
  }
  const { conn, closedCount } = openSession(new MemoryDevice({ sizeBytes: SIZE_BYTES }));
  conn.deliver(patternBytes(4096, 1));
  assert.ok(conn.closed);
  assert.equal(closedCount(), 1);
});

test('NbdSession closes on wrong magic, oversized options and payloads too long to skip', () => {
  const cases: Record<string, Uint8Array> = {
    'request magic': concatBytes([negotiation, new Uint8Array(28)]),
    'option magic': concatBytes([clientFlags(), new Uint8Array(16)]),
    'option of 4 GiB': concatBytes([
      clientFlags(),
      optionBytes(7).subarray(0, 12),
      u32(0xffffffff),
    ]),
    'unknown client flags': clientFlags(0xff),
    'unknown export by name': concatBytes([clientFlags(), optionBytes(1, patternBytes(5, 1))]),
    'write of 4 GiB': concatBytes([negotiation, requestBytes(NBD_CMD_WRITE, 1, 0, 0xffffffff)]),
  };
  for (const [name, bytes] of Object.entries(cases)) {
    const { conn, session } = openSession(new MemoryDevice({ sizeBytes: SIZE_BYTES }));
    conn.deliver(bytes);
    assert.ok(conn.closed, name);
    session.fail('again');
  }
});

test('NbdSession survives a stream that ends anywhere', () => {
  for (let length = 0; length < conversation.byteLength; length += 13) {
    const { conn, hand, closedCount } = openSession(new MemoryDevice({ sizeBytes: SIZE_BYTES }));
    conn.deliver(conversation.subarray(0, length));
    conn.handler?.onClose(new HoldfastError('disconnected', 'Gone'));
    hand.run();
    assert.equal(closedCount(), 1);
    assert.equal(hand.timers.length, 0, 'no timer is left');
  }
});

test('NbdSession closes a client that does not finish the negotiation', () => {
  const { conn, hand } = openSession(new MemoryDevice({ sizeBytes: SIZE_BYTES }));
  conn.deliver(clientFlags());
  for (const { fn } of hand.timers) fn();
  assert.ok(conn.closed);
});

/** Keeps every request until told. */
class HeldDevice extends MemoryDevice {
  readonly held: BlockRequest[] = [];
  override submit(request: BlockRequest): void {
    this.held.push(request);
  }
  release(error: HoldfastError | null = null): void {
    for (const request of this.held.splice(0)) {
      if (error === null) super.submit(request);
      else request.done(request, error);
    }
  }
}

test('NbdSession stops reading when too much is in flight and goes on later', () => {
  const device = new HeldDevice({ sizeBytes: 64 * MIB });
  const { conn, hand } = openSession(device, 4 * MIB);
  conn.deliver(negotiation);
  conn.takeWritten();
  const reads = Array.from({ length: 64 }, (_, n) => requestBytes(NBD_CMD_READ, n, n * MIB, MIB));
  conn.deliver(concatBytes(reads));
  assert.equal(device.held.length, 4);
  assert.ok(conn.paused);
  let rounds = 0;
  while (device.held.length > 0) {
    assert.ok(device.held.length <= 4);
    rounds++;
    device.release();
    hand.run();
  }
  assert.equal(rounds, 16);
  assert.ok(!conn.paused);
  assert.equal(conn.takeWritten().byteLength, 64 * (MIB + 28));
});

test('NbdSession decodes nothing while the client does not take its replies', () => {
  const { conn, hand } = openSession(new MemoryDevice({ sizeBytes: 64 * MIB }));
  conn.deliver(negotiation);
  conn.takeWritten();
  conn.takes = false;
  const reads = Array.from({ length: 64 }, (_, n) => requestBytes(NBD_CMD_READ, n, n * MIB, MIB));
  conn.deliver(concatBytes(reads));
  hand.run();
  assert.ok(conn.paused);
  assert.ok(conn.takeWritten().byteLength < 3 * MIB);
  conn.takes = true;
  conn.handler?.onDrain?.();
  hand.run();
  assert.ok(!conn.paused);
});

test('NbdSession takes one write that is longer than all that may be in flight', () => {
  const device = new MemoryDevice({ sizeBytes: 64 * MIB });
  const { conn } = openSession(device, MIB);
  conn.deliver(negotiation);
  conn.takeWritten();
  const data = patternBytes(3 * MIB, 4);
  const write = requestBytes(NBD_CMD_WRITE, 1, 512, data.byteLength, { data });
  for (let at = 0; at < write.byteLength; at += 65536) conn.deliver(write.subarray(at, at + 65536));
  assert.equal(conn.takeWritten().byteLength, 16);
});

test('NbdSession splits what is longer than the device takes at once', () => {
  const device = new MemoryDevice({ sizeBytes: SIZE_BYTES, maxBytes: 65536 });
  const { conn } = openSession(device);
  conn.deliver(negotiation);
  conn.takeWritten();
  const data = patternBytes(300_000, 4);
  conn.deliver(requestBytes(NBD_CMD_WRITE, 1, 77, data.byteLength, { data }));
  conn.deliver(requestBytes(NBD_CMD_READ, 2, 77, data.byteLength));
  const written = conn.takeWritten();
  assert.deepEqual(written.subarray(16 + 28), data);
});

test('NbdSession gives every device error its number and goes on', () => {
  const device = new HeldDevice({ sizeBytes: SIZE_BYTES });
  const { conn, hand } = openSession(device);
  conn.deliver(negotiation);
  conn.takeWritten();
  const expected = [
    ['io-error', 5],
    ['no-space', 28],
    ['read-only', 1],
    ['unsupported', 95],
    ['out-of-range', 28],
    ['lost-writes', 108],
  ] as const;
  for (const [code, errorNumber] of expected) {
    const data = patternBytes(512, 1);
    conn.deliver(requestBytes(NBD_CMD_WRITE, 1, 0, 512, { data }));
    device.release(new HoldfastError(code, 'Planted'));
    hand.run();
    const view = new DataView(conn.takeWritten().buffer);
    assert.equal(view.getUint32(4), errorNumber, code);
  }
});

test('NbdSession drains: what was received is answered, what comes later is not', async () => {
  const device = new HeldDevice({ sizeBytes: SIZE_BYTES });
  const { conn, hand, session } = openSession(device);
  conn.deliver(negotiation);
  conn.takeWritten();
  conn.deliver(requestBytes(NBD_CMD_READ, 1, 0, 4096));
  const drained = session.drain();
  conn.deliver(requestBytes(NBD_CMD_READ, 2, 0, 4096));
  hand.run();
  assert.ok(!conn.ended);
  device.release();
  hand.run();
  await drained;
  assert.ok(conn.ended);
  assert.equal(conn.takeWritten().byteLength, 4096 + 28);
});

test('NbdSession forgets requests in flight when it is failed', () => {
  const device = new HeldDevice({ sizeBytes: SIZE_BYTES });
  const { conn, hand, session } = openSession(device);
  conn.deliver(negotiation);
  conn.takeWritten();
  conn.deliver(requestBytes(NBD_CMD_READ, 1, 0, 4096));
  session.fail('Acknowledged writes may be lost');
  device.release();
  hand.run();
  assert.ok(conn.closed);
  assert.equal(conn.takeWritten().byteLength, 0);
});

test('NbdSession tells block status only where it was negotiated', async () => {
  const device = new MemoryDevice({ sizeBytes: SIZE_BYTES });
  const { conn, hand } = openSession(device);
  conn.deliver(
    concatBytes([clientFlags(), optionBytes(NBD_OPT_STRUCTURED_REPLY), goBytes('demo')]),
  );
  conn.takeWritten();
  conn.deliver(requestBytes(NBD_CMD_BLOCK_STATUS, 1, 0, 65536));
  const view = new DataView(conn.takeWritten().buffer);
  assert.equal(view.getUint16(6), 0x8001);
  assert.equal(view.getUint32(20), 22);
  const other = openSession(device);
  other.conn.deliver(negotiation);
  other.conn.takeWritten();
  other.conn.deliver(requestBytes(NBD_CMD_BLOCK_STATUS, 1, 0, 65536));
  await Promise.resolve();
  await Promise.resolve();
  other.hand.run();
  hand.run();
  const status = new DataView(other.conn.takeWritten().buffer);
  assert.equal(status.getUint16(6), 5);
  assert.deepEqual([status.getUint32(24), status.getUint32(28)], [65536, 3]);
});
