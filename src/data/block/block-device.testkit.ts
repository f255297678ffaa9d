/**
 * The conformance suite of the BlockDevice contract: one list of checks for every device there is.
 *
 *     describeBlockDevice('MemoryDevice', async () => {
 *       const device = new MemoryDevice({ sizeBytes: 4 << 20 });
 *       return { device, close: () => device.close() };
 *     });
 *
 * A fresh device reads as zero and has at least 1 MiB. Checks adapt to limits and capabilities.
 * Each is a plain function that throws, so that a broken device can be shown to fail it.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { HoldfastError } from '#api/mod.ts';
import { createRequest } from './cold-forms.ts';
import type { BlockDevice, BlockRequest } from './mod.ts';

export interface OpenedDevice {
  readonly device: BlockDevice;
  close(): Promise<void>;
  /** Loses what was not durable and opens the same device again. `close` then closes that one. */
  reopenAfterCrash?(): Promise<BlockDevice>;
}

export interface DeviceCheck {
  readonly name: string;
  run(opened: OpenedDevice): Promise<void>;
}

export interface DescribeOptions {
  /** Operations of the random check; default 400. */
  readonly randomCount?: number;
  /** Seed of the random check; default 1. */
  readonly seed?: number;
}

/** Registers every check as a test of `node:test`; each gets a device of its own. */
export function describeBlockDevice(
  name: string,
  open: () => Promise<OpenedDevice>,
  options: DescribeOptions = {},
): void {
  void describe(`${name} as a BlockDevice`, () => {
    for (const check of blockDeviceChecks(options)) {
      void test(`${name} ${check.name}`, async () => {
        const opened = await open();
        try {
          await check.run(opened);
        } finally {
          await opened.close();
        }
      });
    }
  });
}

export function blockDeviceChecks(options: DescribeOptions = {}): readonly DeviceCheck[] {
  const { randomCount = 400, seed = 1 } = options;
  return [
    { name: 'reads zeroes where nothing was written', run: checkUnwritten },
    { name: 'reads back what was written', run: checkReadBack },
    { name: 'serves its first and last block and its longest transfer', run: checkBoundaries },
    { name: 'refuses what lies out of range and changes nothing', run: checkOutOfRange },
    { name: 'refuses what is unaligned and changes nothing', run: checkUnaligned },
    { name: 'refuses an empty range', run: checkEmpty },
    { name: 'serves disjoint ranges at depth 32', run: checkDisjoint },
    { name: 'applies overlapping writes whole within a block', run: checkOverlapping },
    { name: 'reads zero after zero and trim', run: checkZeroAndTrim },
    { name: 'tells extents without gaps that never call data a hole', run: checkExtents },
    { name: 'keeps over a crash what was flushed or forced', run: checkCrash },
    { name: 'agrees with an array over random requests', run: randomCheck(randomCount, seed) },
    { name: 'accepts a request again inside its completion', run: checkReuse },
    { name: 'leaves the bytes of a write as they were', run: checkWriteBuffer },
    { name: 'aborts requests after close', run: checkClose },
  ].map(({ name, run }) => ({
    name,
    run: async (opened: OpenedDevice) => {
      const probe = new Probe(opened);
      await run(probe);
      await probe.expectOnce();
    },
  }));
}

type Fields = Partial<Omit<BlockRequest, 'done'>> & Pick<BlockRequest, 'verb'>;

/** Submits requests and sees that each is completed once, with its fields unharmed. */
class Probe {
  readonly opened: OpenedDevice;
  device: BlockDevice;
  #faults: string[] = [];

  constructor(opened: OpenedDevice) {
    this.opened = opened;
    this.device = opened.device;
    assert.ok(this.device.sizeBytes >= 1024 * 1024, 'the suite needs a device of at least 1 MiB');
  }

  get unit(): number {
    return this.device.limits.minBytes;
  }

  async submit(fields: Fields): Promise<HoldfastError | null> {
    return (await this.complete(fields)).error;
  }

  /** `data`: what the request came back with. */
  complete(fields: Fields): Promise<{ error: HoldfastError | null; data: Uint8Array }> {
    const request = { ...createRequest(), ...fields };
    if (fields.verb === 'read' || fields.verb === 'write') {
      request.lengthBytes = request.data.byteLength;
    }
    const { offsetBytes, lengthBytes } = request;
    return new Promise((resolve) => {
      let count = 0;
      request.done = (given, error) => {
        if (++count > 1) this.#faults.push(`${fields.verb} was completed ${count} times`);
        if (given !== request) this.#faults.push('another request was completed');
        if (given.offsetBytes !== offsetBytes || given.lengthBytes !== lengthBytes) {
          this.#faults.push(`${fields.verb} came back with another range`);
        }
        if (given.data.byteLength !== (fields.data?.byteLength ?? 0)) {
          this.#faults.push(`${fields.verb} came back with another length of data`);
        }
        resolve({ error, data: given.data });
      };
      this.device.submit(request);
    });
  }

  /** Writes a copy: the checks use their arrays again. */
  async write(offsetBytes: number, bytes: Uint8Array, fua = false): Promise<void> {
    const error = await this.submit({ verb: 'write', offsetBytes, data: bytes.slice(), fua });
    assert.equal(error, null, `write at ${offsetBytes}: ${String(error)}`);
  }

  async read(offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    // Dirty on purpose: a device that leaves bytes alone must not pass for one that read zeroes.
    const dirty = new Uint8Array(lengthBytes).fill(0xee);
    const { error, data } = await this.complete({ verb: 'read', offsetBytes, data: dirty });
    assert.equal(error, null, `read at ${offsetBytes}: ${String(error)}`);
    return data;
  }

  async do(verb: 'flush' | 'trim' | 'zero', offsetBytes = 0, lengthBytes = 0): Promise<void> {
    const error = await this.submit({ verb, offsetBytes, lengthBytes });
    assert.equal(error, null, `${verb} at ${offsetBytes}: ${String(error)}`);
  }

  async expect(offsetBytes: number, data: Uint8Array, what: string): Promise<void> {
    expectBytes(await this.read(offsetBytes, data.byteLength), data, what);
  }

  async refused(fields: Fields, codes: readonly string[]): Promise<void> {
    const what = `${fields.verb} at ${fields.offsetBytes ?? 0}`;
    const error = await this.submit(fields);
    assert.ok(HoldfastError.is(error), `${what} must be refused`);
    assert.ok(codes.includes(error.code), `${what}: ${error.code}, expected ${codes.join('|')}`);
    assert.equal(error.effect, 'none', `${what} must have no effect`);
  }

  async expectOnce(): Promise<void> {
    for (let turn = 0; turn < 3; turn++) await nextTurn();
    assert.deepEqual(this.#faults, []);
  }
}

async function checkUnwritten(probe: Probe): Promise<void> {
  const { device } = probe;
  const length = alignDown(Math.min(128 * 1024, device.limits.maxBytes), probe.unit);
  for (const at of [0, alignDown(device.sizeBytes / 2, probe.unit), device.sizeBytes - length]) {
    await probe.expect(at, new Uint8Array(length), `unwritten bytes at ${at}`);
  }
}

async function checkReadBack(probe: Probe): Promise<void> {
  for (const [n, length] of lengthsOf(probe).entries()) {
    const at = alignDown(7 * 4096 * (n + 1), probe.unit) + probe.unit;
    const data = patternBytes(length, n + 1);
    await probe.write(at, data);
    await probe.expect(at, data, `${length} bytes at ${at}`);
    await probe.expect(at, data.subarray(0, probe.unit), 'the first unit alone');
  }
}

async function checkBoundaries(probe: Probe): Promise<void> {
  const { device, unit } = probe;
  const first = patternBytes(unit, 1);
  const last = patternBytes(unit, 2);
  await probe.write(0, first);
  await probe.write(device.sizeBytes - unit, last);
  await probe.expect(0, first, 'the first unit');
  await probe.expect(device.sizeBytes - unit, last, 'the last unit');
  const longest = alignDown(Math.min(device.limits.maxBytes, device.sizeBytes), unit);
  const data = patternBytes(longest, 3);
  await probe.write(device.sizeBytes - longest, data);
  await probe.expect(device.sizeBytes - longest, data, 'the longest transfer');
  if (longest < device.sizeBytes) await probe.expect(0, first, 'the first unit afterwards');
}

async function checkOutOfRange(probe: Probe): Promise<void> {
  const { device, unit } = probe;
  const end = device.sizeBytes;
  const last = patternBytes(unit, 1);
  await probe.write(end - unit, last);
  const beyond = [end, end - unit, end + 1024 * unit, alignDown(Number.MAX_SAFE_INTEGER, unit)];
  for (const offsetBytes of beyond) {
    const data = patternBytes(2 * unit, 9);
    await probe.refused({ verb: 'write', offsetBytes, data }, ['out-of-range']);
    await probe.refused({ verb: 'read', offsetBytes, data }, ['out-of-range']);
    for (const verb of ['trim', 'zero'] as const) {
      if (!device.capabilities[verb]) continue;
      await probe.refused({ verb, offsetBytes, lengthBytes: 2 * unit }, ['out-of-range']);
    }
  }
  const negative = { verb: 'read', offsetBytes: -unit, data: new Uint8Array(unit) } as const;
  await probe.refused(negative, ['invalid-argument', 'out-of-range']);
  await probe.expect(end - unit, last, 'the last unit');
}

async function checkUnaligned(probe: Probe): Promise<void> {
  const { device, unit } = probe;
  const codes = ['unaligned', 'invalid-argument'];
  if (unit === 1) {
    const half = { verb: 'read', offsetBytes: 0.5, data: new Uint8Array(1) } as const;
    await probe.refused(half, codes);
    return;
  }
  const before = patternBytes(4 * unit, 1);
  await probe.write(0, before);
  const wrong = [
    [1, unit],
    [unit / 2, unit],
    [0, unit + 1],
    [unit, unit - 1],
  ] as const;
  for (const [offsetBytes, length] of wrong) {
    const data = patternBytes(length, 2);
    await probe.refused({ verb: 'write', offsetBytes, data }, codes);
    await probe.refused({ verb: 'read', offsetBytes, data }, codes);
    for (const verb of ['trim', 'zero'] as const) {
      if (!device.capabilities[verb]) continue;
      await probe.refused({ verb, offsetBytes, lengthBytes: length }, codes);
    }
  }
  await probe.expect(0, before, 'bytes around refused requests');
}

async function checkEmpty(probe: Probe): Promise<void> {
  const codes = ['invalid-argument'];
  for (const verb of ['read', 'write'] as const) await probe.refused({ verb }, codes);
  if (probe.device.capabilities.trim) await probe.refused({ verb: 'trim' }, codes);
  if (probe.device.capabilities.zero) await probe.refused({ verb: 'zero' }, codes);
}

async function checkDisjoint(probe: Probe): Promise<void> {
  const { device } = probe;
  const length = alignDown(16 * 1024, probe.unit);
  for (let round = 0; round < 4; round++) {
    const writes: Promise<void>[] = [];
    for (let n = 0; n < 32; n++) {
      writes.push(probe.write(n * length, patternBytes(length, round * 32 + n)));
    }
    await Promise.all(writes);
    const reads: Promise<void>[] = [];
    for (let n = 0; n < 32; n++) {
      const data = patternBytes(length, round * 32 + n);
      reads.push(probe.expect(n * length, data, `range ${n} of round ${round}`));
    }
    await Promise.all(reads);
  }
  assert.ok(device.sizeBytes >= 32 * length);
}

async function checkOverlapping(probe: Probe): Promise<void> {
  // Each write fills its range with one byte; afterwards no block may hold two of them, except
  // where a write begins or ends inside the block.
  const block = Math.max(4096, probe.unit);
  for (let round = 0; round < 8; round++) {
    const writes: Promise<void>[] = [];
    for (let n = 0; n < 32; n++) {
      const first = (n * 3 + round) % 8;
      const count = 1 + ((n + round) % 4);
      const fill = 1 + round * 32 + n;
      writes.push(probe.write(first * block, new Uint8Array(count * block).fill(fill % 256)));
    }
    await Promise.all(writes);
    const data = await probe.read(0, 12 * block);
    for (let at = 0; at < data.byteLength; at += block) {
      const fill = data[at] ?? 0;
      const whole = new Uint8Array(block).fill(fill);
      expectBytes(data.subarray(at, at + block), whole, `block ${at / block} is of one write`);
    }
  }
  // Neighbours inside one block, where the unit allows it: none may undo another.
  const part = Math.max(probe.unit, 512);
  if (part >= block) return;
  const count = block / part;
  const all = patternBytes(block, 77);
  await Promise.all(
    Array.from({ length: count }, (_, n) =>
      probe.write(block + n * part, all.subarray(n * part, (n + 1) * part)),
    ),
  );
  await probe.expect(block, all, 'neighbouring writes inside one block');
  // A part of a block beside whole-block writes: the last word may be either, never a third thing.
  const whole = new Uint8Array(block).fill(0x11);
  const piece = new Uint8Array(part).fill(0x22);
  await Promise.all([probe.write(block, whole), probe.write(block + part, piece)]);
  const after = await probe.read(block, block);
  const mixed = whole.slice();
  mixed.set(piece, part);
  const lastWord = after[part] === 0x22 ? mixed : whole;
  expectBytes(after, lastWord, 'a part beside a whole write');
}

async function checkZeroAndTrim(probe: Probe): Promise<void> {
  const { device, unit } = probe;
  const verbs = (['zero', 'trim'] as const).filter((verb) => device.capabilities[verb]);
  for (const [n, verb] of verbs.entries()) {
    const total = 256 * 1024;
    const model = patternBytes(total, 5 + n);
    await writeAll(probe, 0, model);
    const ranges = [
      [0, unit],
      [3 * unit, unit],
      [alignDown(8192, unit) + unit, alignDown(4096, unit) + unit],
      [64 * 1024, 128 * 1024],
      [total - unit, unit],
    ] as const;
    for (const [offset, length] of ranges) {
      await probe.do(verb, offset, length);
      model.fill(0, offset, offset + length);
      await expectAll(probe, 0, model, `${verb} of ${length} at ${offset}`);
    }
    // No upper limit: the whole device at once.
    await probe.do(verb, 0, device.sizeBytes);
    await expectAll(probe, 0, new Uint8Array(total), `${verb} of the whole device`);
    await writeAll(probe, 0, patternBytes(4 * unit, 8));
    await expectAll(probe, 0, patternBytes(4 * unit, 8), `a write after ${verb}`);
  }
  if (device.capabilities.zero) {
    const kept: Fields = { verb: 'zero', lengthBytes: 2 * unit, keepAllocated: true };
    assert.equal(await probe.submit(kept), null);
    await probe.expect(0, new Uint8Array(2 * unit), 'zero that keeps the space');
  }
}

async function checkExtents(probe: Probe): Promise<void> {
  const { device, unit } = probe;
  if (!device.capabilities.extents) return;
  await expectExtents(probe, 0, device.sizeBytes);
  const block = Math.max(4096, unit);
  const data = patternBytes(block, 1).map((byte) => byte | 1);
  for (const n of [0, 3, 4, 40, Math.floor(device.sizeBytes / block) - 1]) {
    await probe.write(n * block, data);
  }
  await expectExtents(probe, 0, device.sizeBytes);
  if (device.capabilities.trim) await probe.do('trim', 3 * block, block);
  if (device.capabilities.zero) await probe.do('zero', 40 * block, block);
  await expectExtents(probe, 0, device.sizeBytes);
  await expectExtents(probe, block - unit, 5 * block + 2 * unit);
  await expectExtents(probe, device.sizeBytes - unit, unit);
}

async function expectExtents(probe: Probe, offset: number, length: number): Promise<void> {
  const extents = await probe.device.extents(offset, length);
  let at = offset;
  let kind: string | null = null;
  for (const extent of extents) {
    assert.equal(extent.offsetBytes, at, 'extents follow one another without gap');
    assert.ok(extent.lengthBytes > 0, 'an extent is not empty');
    assert.notEqual(extent.kind, kind, 'neighbours of one kind are merged');
    kind = extent.kind;
    if (kind !== 'data') {
      // A look at both ends is enough: the random check compares every byte.
      const look = alignDown(Math.min(extent.lengthBytes, 64 * 1024), probe.unit);
      for (const from of [at, at + extent.lengthBytes - look]) {
        await expectAll(probe, from, new Uint8Array(look), `bytes of a ${kind}`);
      }
    }
    at += extent.lengthBytes;
  }
  assert.equal(at, offset + length, 'extents cover the range');
}

async function checkCrash(probe: Probe): Promise<void> {
  const { opened, unit } = probe;
  if (opened.reopenAfterCrash === undefined) return;
  const { capabilities } = probe.device;
  const flushed = patternBytes(8 * unit, 1);
  const forced = patternBytes(2 * unit, 2);
  await probe.write(0, flushed);
  await probe.do('flush');
  const model = flushed.slice();
  if (capabilities.fua) {
    await probe.write(2 * unit, forced, true);
    model.set(forced, 2 * unit);
  }
  const later = patternBytes(unit, 3);
  await probe.write(6 * unit, later);
  probe.device = await opened.reopenAfterCrash();
  await probe.expect(0, model.subarray(0, 6 * unit), 'what was flushed or forced');
  await probe.expect(7 * unit, model.subarray(7 * unit), 'what was flushed behind it');
  // The write that was not flushed: each sector old or new.
  const survived = await probe.read(6 * unit, unit);
  for (let at = 0; at < unit; at += 512) {
    const end = Math.min(unit, at + 512);
    const piece = survived.subarray(at, end);
    const old = flushed.subarray(6 * unit + at, 6 * unit + end);
    const either = sameBytes(piece, old) || sameBytes(piece, later.subarray(at, end));
    assert.ok(either, 'a sector that was not flushed is old or new');
  }
  if (capabilities.trim) {
    await probe.do('trim', 0, unit);
    await probe.do('flush');
    probe.device = await opened.reopenAfterCrash();
    await probe.expect(0, new Uint8Array(unit), 'a trim that was flushed');
  }
}

function randomCheck(count: number, seed: number): (probe: Probe) => Promise<void> {
  return async (probe) => {
    const { device, unit } = probe;
    const { capabilities } = device;
    const below = randomBelow(seed);
    const units = Math.floor(Math.min(device.sizeBytes, 1024 * 1024) / unit);
    const model = new Uint8Array(units * unit);
    const longest = Math.min(units, Math.floor(Math.min(device.limits.maxBytes, 65536) / unit));
    for (let step = 0; step < count; step++) {
      const length = (1 + below(below(4) === 0 ? longest : Math.min(longest, 9))) * unit;
      const clipped = Math.min(length, longest * unit);
      const at = below(units - clipped / unit + 1) * unit;
      const what = `seed ${seed}, step ${step}, ${clipped} bytes at ${at}`;
      const dice = below(10);
      if (dice < 4) {
        const data = patternBytes(clipped, below(1 << 30));
        await probe.write(at, data, capabilities.fua && dice === 0);
        model.set(data, at);
      } else if (dice === 4 && capabilities.trim) {
        await probe.do('trim', at, clipped);
        model.fill(0, at, at + clipped);
      } else if (dice === 5 && capabilities.zero) {
        await probe.do('zero', at, clipped);
        model.fill(0, at, at + clipped);
      } else if (dice === 6 && capabilities.flush) {
        await probe.do('flush');
      } else {
        await probe.expect(at, model.subarray(at, at + clipped), what);
      }
    }
    await expectAll(probe, 0, model, `all bytes after seed ${seed}`);
    if (!capabilities.extents) return;
    for (const extent of await device.extents(0, model.byteLength)) {
      if (extent.kind === 'data') continue;
      const end = extent.offsetBytes + extent.lengthBytes;
      const bytes = model.subarray(extent.offsetBytes, end);
      assert.ok(
        bytes.every((byte) => byte === 0),
        `a ${extent.kind} holds data`,
      );
    }
  };
}

async function checkReuse(probe: Probe): Promise<void> {
  const { device, unit } = probe;
  const count = 50;
  const request = createRequest();
  await new Promise<void>((resolve, reject) => {
    let n = 0;
    request.verb = 'write';
    request.lengthBytes = unit;
    request.data = patternBytes(unit, n);
    request.done = (given, error) => {
      if (error !== null) return reject(error);
      if (++n >= count) return n === count ? resolve() : undefined;
      given.offsetBytes = n * unit;
      given.data = patternBytes(unit, n);
      device.submit(given);
    };
    device.submit(request);
  });
  for (let n = 0; n < count; n++) {
    await probe.expect(n * unit, patternBytes(unit, n), `write ${n} of the chain`);
  }
}

async function checkWriteBuffer(probe: Probe): Promise<void> {
  const length = Math.max(8192, probe.unit);
  const data = patternBytes(length, 1);
  const given = { verb: 'write', offsetBytes: probe.unit, data } as const;
  const { error, data: free } = await probe.complete(given);
  assert.equal(error, null);
  expectBytes(data, patternBytes(length, 1), 'the buffer of a write');
  // Free again after `done`: what the owner does with it then is not seen.
  free.fill(0);
  await probe.expect(probe.unit, patternBytes(length, 1), 'a write whose buffer was used again');
}

async function checkClose(probe: Probe): Promise<void> {
  const { device, unit } = probe;
  let landed = false;
  const write = probe.write(0, patternBytes(unit, 1)).then(() => (landed = true));
  await device.close();
  await nextTurn();
  assert.ok(landed, 'close waits for what is in flight');
  await write;
  const data = new Uint8Array(unit);
  await probe.refused({ verb: 'read', data }, ['aborted']);
  await probe.refused({ verb: 'write', data }, ['aborted']);
  if (device.capabilities.flush) await probe.refused({ verb: 'flush' }, ['aborted']);
}

/** In pieces of at most 64 KiB. */
async function writeAll(probe: Probe, offset: number, data: Uint8Array): Promise<void> {
  const piece = alignDown(Math.min(65536, probe.device.limits.maxBytes), probe.unit);
  for (let at = 0; at < data.byteLength; at += piece) {
    await probe.write(offset + at, data.subarray(at, at + piece));
  }
}

async function expectAll(
  probe: Probe,
  offset: number,
  data: Uint8Array,
  what: string,
): Promise<void> {
  const piece = alignDown(Math.min(65536, probe.device.limits.maxBytes), probe.unit);
  for (let at = 0; at < data.byteLength; at += piece) {
    await probe.expect(offset + at, data.subarray(at, at + piece), what);
  }
}

function lengthsOf(probe: Probe): number[] {
  const { unit } = probe;
  const lengths = [unit, 2 * unit, 3 * unit, 4096, 4096 + unit, 12288, 65536, 65536 + unit];
  return lengths
    .map((length) => alignDown(length, unit))
    .filter((length) => length >= unit && length <= probe.device.limits.maxBytes);
}

function alignDown(value: number, unit: number): number {
  return Math.floor(value / unit) * unit;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, n) => byte === b[n]);
}

function expectBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  if (Buffer.compare(actual, expected) === 0) return;
  const at = actual.findIndex((byte, n) => byte !== expected[n]);
  assert.fail(`${what}: byte ${at} is ${actual[at]}, expected ${expected[at]}`);
}

/** Bytes that differ from seed to seed and do not repeat with the block size. */
export function patternBytes(lengthBytes: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  for (let at = 0; at < lengthBytes; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

/** A seeded toss: 0 to bound - 1. */
export function randomBelow(seed: number): (bound: number) => number {
  let state = seed | 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}
