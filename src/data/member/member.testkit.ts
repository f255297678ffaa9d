/**
 * Conformance of a Member: one list of cases over every implementation, in process and over every
 * kind of connection. A world gives sessions with one replica, and ways to hurt it.
 *
 *     describeMember('LocalMember over the memory store', openLocalWorld);
 *
 * The cases are also exported as a list, so that planted broken members can be shown to fail them.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type ErrorCode,
  HoldfastError,
  type Incarnation,
  type LayerRef,
  type MembershipRecord,
  type SnapshotId,
} from '#api/mod.ts';
import type { ReplicaRequest, ReplicaVerb } from '#data/block/mod.ts';
import type { Member } from './mod.ts';

const KIB = 1024;
const BLOCK = 4 * KIB;

/** A replica of 16 MiB with segments of 64 KiB or 1 MiB, never written. */
export interface MemberWorld {
  /** A new session. */
  connect(): Promise<Member>;
  /** Drives what the body waits for: a simulated world moves only then. */
  run(body: Promise<void>): Promise<void>;
  /** Requests and flushes wait in the store until `release`; null where the store cannot do it. */
  readonly hold: (() => void) | null;
  readonly release: (() => void) | null;
  /** Resolves when this many requests wait in a store that is held. */
  readonly held: ((count: number) => Promise<void>) | null;
  /** The next flush of the store fails with `io-error`. */
  readonly failFlush: (() => void) | null;
  /** Flips a bit of the data at this offset. */
  readonly corrupt: ((offsetBytes: number) => void) | null;
  /** Restarts the replica with the copy that was taken at the beginning: rolled back (rule 16). */
  readonly rollBack: (() => Promise<void>) | null;
  /** Restarts the replica's process as after kill -9. */
  readonly crash: (() => Promise<void>) | null;
  /** Breaks every connection. */
  readonly cut: (() => void) | null;
  close(): Promise<void>;
}

export interface MemberCase {
  readonly name: string;
  /** The case needs these of the world. */
  readonly needs?: readonly ('hold' | 'failFlush' | 'corrupt' | 'rollBack' | 'crash' | 'cut')[];
  readonly body: (world: MemberWorld) => Promise<void>;
}

export function describeMember(name: string, open: () => Promise<MemberWorld>): void {
  void describe(name, () => {
    for (const memberCase of MEMBER_CASES) {
      void test(memberCase.name, async (t) => {
        const world = await open();
        try {
          const missing = memberCase.needs?.find((need) => world[need] === null);
          if (missing === undefined) await world.run(memberCase.body(world));
          else t.diagnostic(`not in this world: ${missing}`);
        } finally {
          await world.close();
        }
      });
    }
  });
}

// --- tools of the cases
// -----------------------------------------------------------------------------------

export function makeRequest(
  verb: ReplicaVerb,
  offsetBytes: number,
  dataOrLength: Uint8Array | number,
  layer: LayerRef = null,
): ReplicaRequest {
  const bytes = typeof dataOrLength === 'number' ? dataOrLength : dataOrLength.byteLength;
  const filled = typeof dataOrLength === 'number' ? new Uint8Array(bytes) : dataOrLength;
  return {
    verb,
    layer,
    offsetBytes,
    lengthBytes: bytes,
    data: verb === 'read' || verb === 'write' ? filled : new Uint8Array(0),
    stampEpoch: 1,
    stampN: 1,
    done: () => {},
  };
}

/** Submits and waits; what comes back is the request, with the caller's own `done` in place. */
export function perform(member: Member, request: ReplicaRequest): Promise<ReplicaRequest> {
  return new Promise((resolve, reject) => {
    const done = (error: HoldfastError | null): void => {
      if (request.done !== done) reject(new Error('The request came back with another done'));
      else if (error === null) resolve(request);
      else reject(error);
    };
    request.done = done;
    member.submit(request);
  });
}

export async function writeBlocks(
  member: Member,
  offsetBytes: number,
  data: Uint8Array,
  layer: LayerRef = null,
): Promise<void> {
  await perform(member, makeRequest('write', offsetBytes, data, layer));
}

export async function readBlocks(
  member: Member,
  offsetBytes: number,
  lengthBytes: number,
  layer: LayerRef = null,
): Promise<Uint8Array> {
  return (await perform(member, makeRequest('read', offsetBytes, lengthBytes, layer))).data;
}

export function pattern(lengthBytes: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  let state = (seed * 2_654_435_761 + 1) >>> 0;
  for (let i = 0; i < lengthBytes; i += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

async function failsWith(
  promise: Promise<unknown>,
  ...codes: readonly ErrorCode[]
): Promise<HoldfastError> {
  let error: unknown;
  try {
    await promise;
  } catch (caught) {
    error = caught;
  }
  assert.ok(error !== undefined, `fails with ${codes.join(' or ')}`);
  assert.ok(HoldfastError.is(error), 'is an operating error');
  assert.ok(codes.includes(error.code), `code is ${error.code}, not ${codes.join(' or ')}`);
  return error;
}

/** A session that was promised this epoch. */
async function bound(world: MemberWorld, epoch = 1, nexus = 'nexus-1'): Promise<Member> {
  const member = await world.connect();
  const answer = await member.promise(epoch, nexus);
  assert.equal(answer.granted, true);
  assert.equal(answer.promised, epoch);
  return member;
}

function recordAt(member: Member, epoch: number, seq: number): MembershipRecord {
  return {
    epoch,
    seq,
    members: [{ replica: member.replica, incarnation: member.state.incarnation }],
    voters: [member.replica, 'control-plane'],
    formerVoters: null,
    closed: false,
    loss: 0,
    floor: { epoch: 0, seq: 0 },
    held: [],
  };
}

/** True when the promise has settled; other things that are ready had their chance before. */
async function settledSoon(promise: Promise<unknown>, member: Member): Promise<boolean> {
  let settled = false;
  const note = (): void => {
    settled = true;
  };
  promise.then(note, note);
  // Round trips of another session: more turns than any answer takes that waits for nothing.
  for (let i = 0; i < 40; i += 1) await member.refresh();
  return settled;
}

/** What a nexus with one replica does at opening (rule 6). */
async function endDoubt(member: Member, segment: number): Promise<void> {
  const { kinds, contentCrcs } = await member.inspect(null, segment);
  await member.settle(segment, kinds, contentCrcs, { epoch: 2, n: 0 });
}

const ZERO = { epoch: 0, n: 0 };

// --- the cases
// ----------------------------------------------------------------------------------------------

export const MEMBER_CASES: readonly MemberCase[] = [
  {
    name: 'a session tells who the replica is',
    async body(world) {
      const member = await world.connect();
      assert.equal(member.voter, member.replica);
      assert.equal(member.state.identity.replica, member.replica);
      assert.equal(member.state.sizeBytes, 16 * KIB * KIB);
      assert.equal(member.state.condition, 'clean');
      assert.equal(member.state.record, null);
      assert.equal(member.state.failed, null);
      assert.deepEqual(await member.refresh(), member.state);
    },
  },
  {
    name: 'what was written is read, what was zeroed or trimmed is zero',
    async body(world) {
      const member = await bound(world);
      const data = pattern(8 * BLOCK, 1);
      await writeBlocks(member, 3 * BLOCK, data);
      assert.deepEqual(await readBlocks(member, 3 * BLOCK, data.byteLength), data);
      await perform(member, makeRequest('zero', 4 * BLOCK, BLOCK));
      await perform(member, makeRequest('trim', 5 * BLOCK, BLOCK));
      data.fill(0, BLOCK, 3 * BLOCK);
      assert.deepEqual(await readBlocks(member, 3 * BLOCK, data.byteLength), data);
      assert.deepEqual(await readBlocks(member, 0, BLOCK), new Uint8Array(BLOCK));
      await member.flush();
      const extents = await member.extents(0, 16 * BLOCK);
      assert.equal(
        extents.reduce((sum, extent) => sum + extent.lengthBytes, 0),
        16 * BLOCK,
      );
      assert.deepEqual(extents[1], { offsetBytes: 3 * BLOCK, lengthBytes: BLOCK, kind: 'data' });
    },
  },
  {
    name: 'one whole trim of the replica is one request',
    async body(world) {
      const member = await bound(world);
      await writeBlocks(member, 0, pattern(BLOCK, 1));
      await perform(member, makeRequest('trim', 0, 16 * KIB * KIB));
      assert.deepEqual(await readBlocks(member, 0, BLOCK), new Uint8Array(BLOCK));
    },
  },
  {
    name: 'nothing is changed or read before a promise',
    async body(world) {
      const member = await world.connect();
      await failsWith(writeBlocks(member, 0, pattern(BLOCK, 1)), 'fenced');
      await failsWith(readBlocks(member, 0, BLOCK), 'fenced');
      await failsWith(member.flush(), 'fenced');
      await failsWith(member.intents(), 'fenced');
      await failsWith(member.inspect(null, 0), 'fenced');
      await failsWith(member.stampedSince(ZERO, 0, 10), 'fenced');
      await failsWith(member.clearIntents(true), 'fenced');
      await failsWith(member.reset(16 * KIB * KIB), 'fenced');
      await failsWith(member.setRebuild('x'), 'fenced');
      await failsWith(member.grow(32 * KIB * KIB), 'fenced');
      await failsWith(member.createSnapshot('s-1' as SnapshotId, ZERO), 'fenced');
      await failsWith(member.scrub(1), 'fenced');
      assert.equal((await member.commit(recordAt(member, 1, 1))).granted, false);
      member.complete({ epoch: 9, n: 9 });
      assert.deepEqual((await member.refresh()).completed, ZERO);
    },
  },
  {
    name: 'R1: a promise is kept, and not given below or twice',
    async body(world) {
      const first = await bound(world, 5, 'nexus-1');
      const other = await world.connect();
      assert.deepEqual(await other.promise(4, 'nexus-2'), {
        granted: false,
        promised: 5,
        record: null,
      });
      const refused = await other.promise(5, 'nexus-2');
      assert.equal(refused.granted, false, 'same epoch, other nexus');
      assert.equal((await first.promise(5, 'nexus-1')).granted, true, 'same epoch, same nexus');
      await writeBlocks(first, 0, pattern(BLOCK, 1));
      const state = await other.refresh();
      assert.equal(state.promised, 5);
      assert.equal(state.promisedTo, 'nexus-1');
      await failsWith(other.promise(0, 'nexus-2'), 'invalid-argument');
      await failsWith(other.promise(6, ''), 'invalid-argument');
    },
  },
  {
    name: 'R1: a promise outlives the process of the replica',
    needs: ['crash'],
    async body(world) {
      const first = await bound(world, 5, 'nexus-1');
      assert.equal((await first.commit(recordAt(first, 5, 1))).granted, true);
      await world.crash?.();
      const next = await world.connect();
      assert.equal(next.state.promised, 5);
      assert.equal(next.state.promisedTo, 'nexus-1');
      assert.deepEqual(next.state.record, recordAt(next, 5, 1));
      assert.equal((await next.promise(5, 'nexus-2')).granted, false);
      assert.equal((await next.promise(5, 'nexus-1')).granted, true);
    },
  },
  {
    name: 'R1: a higher epoch ends the session of the lower one',
    async body(world) {
      const old = await bound(world, 1, 'nexus-1');
      const losses: HoldfastError[] = [];
      old.onLost((error) => losses.push(error));
      const next = await bound(world, 2, 'nexus-2');
      await failsWith(writeBlocks(old, 0, pattern(BLOCK, 1)), 'fenced');
      await failsWith(readBlocks(old, 0, BLOCK), 'fenced');
      await failsWith(old.flush(), 'fenced');
      await failsWith(old.commit(recordAt(old, 1, 9)), 'fenced');
      await failsWith(old.promise(3, 'nexus-1'), 'fenced');
      assert.deepEqual(
        losses.map((error) => error.code),
        ['fenced'],
      );
      assert.deepEqual(await readBlocks(next, 0, BLOCK), new Uint8Array(BLOCK));
    },
  },
  {
    name: 'R1: a newer session of the same nexus ends the older one',
    async body(world) {
      const old = await bound(world, 1, 'nexus-1');
      const idle = await world.connect();
      const next = await bound(world, 1, 'nexus-1');
      await failsWith(writeBlocks(old, 0, pattern(BLOCK, 1)), 'stale-session');
      await writeBlocks(next, 0, pattern(BLOCK, 2));
      // Connected before the bound one: a late promise of it takes nothing over.
      await failsWith(idle.promise(1, 'nexus-1'), 'stale-session');
      await writeBlocks(next, 0, pattern(BLOCK, 3));
      assert.deepEqual(await readBlocks(next, 0, BLOCK), pattern(BLOCK, 3));
    },
  },
  {
    name: 'R1: a promise waits for what the older session has in the store',
    needs: ['hold'],
    async body(world) {
      const old = await bound(world, 1, 'nexus-1');
      const next = await world.connect();
      world.hold?.();
      const lateWrite = writeBlocks(old, 0, pattern(BLOCK, 1));
      lateWrite.catch(() => {});
      await world.held?.(1);
      const promise = next.promise(2, 'nexus-2');
      const bystander = await world.connect();
      const early = await settledSoon(promise, bystander);
      world.release?.();
      assert.equal((await promise).granted, true);
      await writeBlocks(next, 0, pattern(BLOCK, 2));
      assert.equal(early, false, 'not answered while an old write is in the store');
      await failsWith(lateWrite, 'fenced');
      assert.deepEqual(await readBlocks(next, 0, BLOCK), pattern(BLOCK, 2));
    },
  },
  {
    name: 'R1: a session that was closed is waited for as well',
    needs: ['hold'],
    async body(world) {
      const old = await bound(world, 1, 'nexus-1');
      world.hold?.();
      writeBlocks(old, 0, pattern(BLOCK, 1)).catch(() => {});
      await world.held?.(1);
      old.close();
      const next = await world.connect();
      const promise = next.promise(1, 'nexus-1');
      const early = await settledSoon(promise, await world.connect());
      world.release?.();
      assert.equal((await promise).granted, true);
      assert.equal(early, false);
    },
  },
  {
    name: 'R8: a flush waits for earlier writes of its session',
    needs: ['hold'],
    async body(world) {
      const member = await bound(world);
      await writeBlocks(member, 0, pattern(BLOCK, 1));
      world.hold?.();
      const write = writeBlocks(member, BLOCK, pattern(BLOCK, 2));
      await world.held?.(1);
      const flush = member.flush();
      const later = writeBlocks(member, 2 * BLOCK, pattern(BLOCK, 3));
      // Only the two writes are in the store: the flush is not.
      await world.held?.(2);
      assert.equal(await settledSoon(flush, await world.connect()), false);
      world.release?.();
      await Promise.all([write, flush, later]);
      if (world.crash === null) return;
      await world.crash();
      const next = await bound(world, 2, 'nexus-2');
      // Its checksum is durable too, or this would be 0.
      assert.equal((await next.inspect(null, 0)).verified[1], 1);
      await endDoubt(next, 0);
      assert.deepEqual(await readBlocks(next, BLOCK, BLOCK), pattern(BLOCK, 2));
    },
  },
  {
    name: 'R10: a record is accepted from the bound session when (epoch, seq) rises',
    async body(world) {
      const member = await bound(world, 3, 'nexus-1');
      const other = await world.connect();
      assert.equal((await member.commit(recordAt(member, 2, 9))).granted, false, 'lower epoch');
      assert.equal((await member.commit(recordAt(member, 4, 1))).granted, false, 'higher epoch');
      assert.equal((await other.commit(recordAt(other, 3, 1))).granted, false, 'not bound');
      const second = recordAt(member, 3, 2);
      assert.deepEqual(await member.commit(second), { granted: true, promised: 3, record: second });
      assert.equal((await member.commit(second)).granted, true, 'the same again');
      assert.equal((await member.commit(recordAt(member, 3, 1))).granted, false, 'late lower seq');
      const twin = { ...second, closed: true };
      assert.equal((await member.commit(twin)).granted, false, 'same position, other contents');
      const incarnation = 'i-other' as Incarnation;
      const moved = { ...second, members: [{ replica: member.replica, incarnation }] };
      assert.equal((await member.commit(moved)).granted, false, 'same position, other incarnation');
      const third: MembershipRecord = {
        ...recordAt(member, 3, 3),
        formerVoters: [member.replica],
        loss: 3,
        floor: { epoch: 3, seq: 2 },
        held: [],
      };
      assert.deepEqual((await member.commit(third)).record, third);
      assert.deepEqual((await other.refresh()).record, third);
    },
  },
  {
    name: 'R4: confirm says whether an epoch is still the highest',
    async body(world) {
      const member = await bound(world, 3, 'nexus-1');
      assert.equal(await member.confirm(3), true);
      assert.equal(await member.confirm(2), false);
      const next = await bound(world, 4, 'nexus-2');
      assert.equal(await next.confirm(3), false);
      assert.equal(await next.confirm(4), true);
      await failsWith(member.confirm(3), 'fenced');
    },
  },
  {
    name: 'R16: a replica that was rolled back reads nothing before it is reset',
    needs: ['rollBack'],
    async body(world) {
      const before = await bound(world, 1, 'nexus-1');
      await writeBlocks(before, 0, pattern(BLOCK, 1));
      await before.flush();
      await world.rollBack?.();
      const member = await bound(world, 2, 'nexus-2');
      assert.equal(member.state.condition, 'rolled-back');
      await failsWith(readBlocks(member, 0, BLOCK), 'not-current');
      await failsWith(writeBlocks(member, 0, pattern(BLOCK, 2)), 'not-current');
      await failsWith(member.inspect(null, 0), 'not-current');
      await failsWith(member.extents(0, BLOCK), 'not-current');
      await failsWith(member.settle(0, new Uint8Array(0), new Uint32Array(0), ZERO), 'not-current');
      await member.reset(16 * KIB * KIB);
      await writeBlocks(member, BLOCK, pattern(BLOCK, 3));
      assert.deepEqual(await readBlocks(member, BLOCK, BLOCK), pattern(BLOCK, 3));
      assert.deepEqual(await readBlocks(member, 0, BLOCK), new Uint8Array(BLOCK));
    },
  },
  {
    name: 'errors keep code, effect and details',
    async body(world) {
      const member = await bound(world);
      const size = 16 * KIB * KIB;
      const beyond = await failsWith(readBlocks(member, size, BLOCK), 'out-of-range');
      assert.equal(beyond.effect, 'none');
      await failsWith(writeBlocks(member, 512, pattern(BLOCK, 1)), 'unaligned');
      await failsWith(readBlocks(member, 0, BLOCK, 's-none' as SnapshotId), 'not-found');
      await failsWith(member.inspect('s-none' as SnapshotId, 0), 'not-found');
      await failsWith(member.stampedSince(ZERO, 0, 0), 'invalid-argument');
      assert.deepEqual(await readBlocks(member, 0, BLOCK), new Uint8Array(BLOCK), 'still served');
    },
  },
  {
    name: 'a corrupt block is an error that says where, never data',
    needs: ['corrupt'],
    async body(world) {
      const member = await bound(world);
      await writeBlocks(member, 0, pattern(4 * BLOCK, 1));
      await member.flush();
      world.corrupt?.(2 * BLOCK + 77);
      const error = await failsWith(readBlocks(member, 0, 4 * BLOCK), 'checksum-mismatch');
      assert.equal(error.details['offsetBytes'], 2 * BLOCK);
      const report = await member.scrub(1_000_000);
      assert.deepEqual(report.mismatches, [{ layer: null, block: 2 }]);
      const inspection = await member.inspect(null, 0);
      assert.deepEqual([...inspection.verified.subarray(0, 4)], [1, 1, 0, 1]);
    },
  },
  {
    name: 'the longest requests pass whole',
    async body(world) {
      const member = await bound(world);
      const data = pattern(1024 * KIB, 5);
      await writeBlocks(member, 1024 * KIB, data);
      assert.deepEqual(await readBlocks(member, 1024 * KIB, data.byteLength), data);
    },
  },
  {
    name: '64 requests at once all come back, with their own data',
    async body(world) {
      const member = await bound(world);
      for (let round = 0; round < 3; round += 1) {
        const writes = Array.from({ length: 64 }, (_, i) =>
          writeBlocks(member, i * 2 * BLOCK, pattern((1 + (i % 2)) * BLOCK, round * 64 + i)),
        );
        await Promise.all(writes);
        const reads = await Promise.all(
          writes.map((_, i) => readBlocks(member, i * 2 * BLOCK, (1 + (i % 2)) * BLOCK)),
        );
        for (const [i, data] of reads.entries()) {
          assert.deepEqual(data, pattern((1 + (i % 2)) * BLOCK, round * 64 + i));
        }
      }
    },
  },
  {
    name: 'a request may be used again inside its done',
    async body(world) {
      const member = await bound(world);
      const request = makeRequest('write', 0, pattern(BLOCK, 1));
      let runs = 0;
      await new Promise<void>((resolve, reject) => {
        request.done = (error) => {
          if (error !== null) return reject(error);
          runs += 1;
          if (runs === 100) return resolve();
          request.offsetBytes = runs * BLOCK;
          member.submit(request);
        };
        member.submit(request);
      });
      assert.equal(runs, 100);
      assert.deepEqual(await readBlocks(member, 99 * BLOCK, BLOCK), pattern(BLOCK, 1));
    },
  },
  {
    name: 'after close everything fails with aborted, and nobody is told of a loss',
    async body(world) {
      const member = await bound(world);
      let losses = 0;
      member.onLost(() => {
        losses += 1;
      });
      await writeBlocks(member, 0, pattern(BLOCK, 1));
      member.close();
      member.close();
      await failsWith(readBlocks(member, 0, BLOCK), 'aborted');
      await failsWith(member.flush(), 'aborted');
      await failsWith(member.promise(2, 'nexus-1'), 'aborted');
      await failsWith(member.refresh(), 'aborted');
      member.complete({ epoch: 1, n: 1 });
      const next = await bound(world, 2, 'nexus-2');
      assert.deepEqual(await readBlocks(next, 0, BLOCK), pattern(BLOCK, 1));
      assert.equal(losses, 0);
    },
  },
  {
    name: 'closing fails what is in flight, effect unknown',
    needs: ['hold'],
    async body(world) {
      const member = await bound(world);
      world.hold?.();
      const write = writeBlocks(member, 0, pattern(BLOCK, 1));
      write.catch(() => {});
      await world.held?.(1);
      member.close();
      world.release?.();
      assert.equal((await failsWith(write, 'aborted')).effect, 'unknown');
    },
  },
  {
    name: 'a lost connection fails everything pending, effect unknown, once',
    needs: ['hold', 'cut'],
    async body(world) {
      const member = await bound(world);
      const losses: HoldfastError[] = [];
      member.onLost((error) => losses.push(error));
      world.hold?.();
      const pending = [
        writeBlocks(member, 0, pattern(BLOCK, 1)),
        readBlocks(member, 0, BLOCK),
        member.flush(),
      ];
      for (const promise of pending) promise.catch(() => {});
      await world.held?.(2);
      world.cut?.();
      for (const promise of pending) {
        assert.equal((await failsWith(promise, 'disconnected')).effect, 'unknown');
      }
      await failsWith(readBlocks(member, 0, BLOCK), 'disconnected');
      assert.equal(losses.length, 1);
      assert.equal(losses[0]?.code, 'disconnected');
      world.release?.();
      const next = await bound(world, 1, 'nexus-1');
      await readBlocks(next, 0, BLOCK);
    },
  },
  {
    name: 'W3: when a sync has failed every session fails, for good',
    needs: ['failFlush'],
    async body(world) {
      const member = await bound(world);
      const idle = await world.connect();
      const losses: HoldfastError[] = [];
      member.onLost((error) => losses.push(error));
      await writeBlocks(member, 0, pattern(BLOCK, 1));
      world.failFlush?.();
      await failsWith(member.flush(), 'io-error', 'replica-failed');
      await failsWith(readBlocks(member, 0, BLOCK), 'replica-failed');
      await failsWith(member.flush(), 'replica-failed');
      await failsWith(idle.promise(2, 'nexus-2'), 'replica-failed');
      await failsWith(world.connect(), 'replica-failed');
      assert.deepEqual(
        losses.map((error) => error.code),
        ['replica-failed'],
      );
    },
  },
  {
    name: 'intents, stamps and settlements are told and kept',
    async body(world) {
      const member = await bound(world);
      const { segmentBytes } = member.state.identity;
      await writeBlocks(member, 0, pattern(BLOCK, 1));
      const request = makeRequest('write', 3 * segmentBytes, pattern(2 * BLOCK, 2));
      request.stampN = 7;
      await perform(member, request);
      await member.flush();
      assert.deepEqual(await member.intents(), [0, 3]);
      assert.deepEqual(await member.stampedSince({ epoch: 1, n: 0 }, 0, 10), [
        { segment: 0, stamp: { epoch: 1, n: 1 } },
        { segment: 3, stamp: { epoch: 1, n: 7 } },
      ]);
      assert.deepEqual(await member.stampedSince({ epoch: 1, n: 1 }, 0, 10), [
        { segment: 3, stamp: { epoch: 1, n: 7 } },
      ]);
      assert.equal((await member.stampedSince(ZERO, 0, 1)).length, 1);
      assert.equal((await member.stampedSince(ZERO, 1, 10)).length, 1);
      const found = await member.inspect(null, 3);
      assert.equal(found.segment, 3);
      assert.deepEqual(found.stamp, { epoch: 1, n: 7 });
      assert.equal(found.kinds.length, segmentBytes / BLOCK);
      assert.deepEqual([...found.kinds.subarray(0, 4)], [1, 1, 0, 0]);
      assert.notEqual(found.contentCrcs[0], found.contentCrcs[1]);
      assert.equal(found.contentCrcs[2], 0);
      assert.equal(
        found.verified.every((bit) => bit === 1),
        true,
      );
      await member.settle(3, found.kinds, found.contentCrcs, { epoch: 2, n: 0 });
      assert.deepEqual((await member.inspect(null, 3)).stamp, { epoch: 2, n: 0 });
      const moved = found.contentCrcs.slice();
      moved[0] = (moved[0] ?? 0) ^ 1;
      const stamp = { epoch: 3, n: 0 };
      await failsWith(member.settle(3, found.kinds, moved, stamp), 'checksum-mismatch');
      await member.flush();
      member.complete({ epoch: 2, n: 1 });
      await member.flush();
      assert.deepEqual((await member.refresh()).completed, { epoch: 2, n: 1 });
      await member.clearIntents(true);
      assert.deepEqual(await member.intents(), []);
    },
  },
  {
    name: 'snapshots are frozen, read by name, installed, sealed and deleted',
    async body(world) {
      const member = await bound(world);
      const first = 'snap-1' as SnapshotId;
      await writeBlocks(member, 0, pattern(BLOCK, 1));
      await member.flush();
      await member.createSnapshot(first, { epoch: 1, n: 2 });
      await writeBlocks(member, 0, pattern(BLOCK, 2));
      assert.deepEqual(await readBlocks(member, 0, BLOCK, first), pattern(BLOCK, 1));
      assert.deepEqual(await readBlocks(member, 0, BLOCK), pattern(BLOCK, 2));
      await failsWith(writeBlocks(member, 0, pattern(BLOCK, 9), first), 'read-only');
      await failsWith(member.createSnapshot(first, ZERO), 'already-exists');
      const { snapshots } = await member.refresh();
      assert.equal(snapshots.length, 1);
      assert.equal(snapshots[0]?.id, first);
      assert.deepEqual(snapshots[0]?.generation, { epoch: 1, n: 2 });
      assert.equal((await member.inspect(first, 0)).kinds[0], 1);
      await member.deleteSnapshot(first);
      assert.deepEqual((await member.refresh()).snapshots, []);
      assert.deepEqual(await readBlocks(member, 0, BLOCK), pattern(BLOCK, 2));

      await member.reset(16 * KIB * KIB);
      const second = 'snap-2' as SnapshotId;
      await member.beginSnapshotInstall(second, { epoch: 1, n: 3 });
      await writeBlocks(member, BLOCK, pattern(BLOCK, 3), second);
      assert.equal((await member.refresh()).snapshots[0]?.sealed, false);
      await member.sealSnapshot(second);
      assert.equal((await member.refresh()).snapshots[0]?.sealed, true);
      assert.deepEqual(await readBlocks(member, BLOCK, BLOCK, second), pattern(BLOCK, 3));
      await failsWith(writeBlocks(member, 0, pattern(BLOCK, 9), second), 'read-only');
    },
  },
  {
    name: 'growth, usage, scrub and the progress of a rebuild',
    async body(world) {
      const member = await bound(world);
      await writeBlocks(member, 0, pattern(4 * BLOCK, 1));
      await member.flush();
      await member.grow(32 * KIB * KIB);
      assert.equal((await member.refresh()).sizeBytes, 32 * KIB * KIB);
      await writeBlocks(member, 32 * KIB * KIB - BLOCK, pattern(BLOCK, 2));
      assert.equal((await member.usage()).headBytes >= 5 * BLOCK, true);
      const report = await member.scrub(1_000_000);
      assert.deepEqual(report.mismatches, []);
      assert.equal(report.done, true);
      await member.setRebuild('delta at 5 — ✓');
      assert.equal((await member.refresh()).rebuild, 'delta at 5 — ✓');
      assert.equal(member.state.rebuild, '', 'the state of the session is of its beginning');
    },
  },
];
