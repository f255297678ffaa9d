import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  HoldfastError,
  type MembershipRecord,
  type ReplicaId,
  type ReplicaState,
} from '#api/mod.ts';
import { encodeText, formatHex } from '#lib/mod.ts';
import {
  COLD_VERBS,
  type ColdName,
  decodeJson,
  encodeJson,
  findColdVerb,
  plainError,
  readError,
  readHello,
} from './mod.ts';

const replica = 'r-1' as ReplicaId;
const record: MembershipRecord = {
  epoch: 4,
  seq: 2,
  members: [{ replica, incarnation: 'i-1' as ReplicaState['incarnation'] }],
  voters: [replica, 'control-plane'],
  formerVoters: null,
  closed: false,
  loss: 0,
  floor: { epoch: 3, seq: 1 },
  held: [],
};

describe('peer bodies', () => {
  test('a record passes through', () => {
    const { args } = COLD_VERBS.commit;
    assert.deepEqual(args.decode(args.encode(record)), record);
    const handed = { ...record, formerVoters: [replica] };
    assert.deepEqual(args.decode(args.encode(handed)), handed);
    const known = { ...record, held: [{ voter: replica, epoch: 4, seq: 1 }] };
    assert.deepEqual(args.decode(args.encode(known)), known);
    const { held: _, ...older } = record;
    assert.deepEqual(args.decode(encodeJson(older)), record);
  });

  test('what is no record is refused', () => {
    const { args } = COLD_VERBS.commit;
    const wrong: unknown[] = [
      null,
      [],
      { ...record, epoch: -1 },
      { ...record, epoch: 1.5 },
      { ...record, epoch: 2 ** 53 },
      { ...record, seq: '2' },
      { ...record, members: [{ replica: '../etc', incarnation: 'i' }] },
      { ...record, members: [{ replica: '', incarnation: 'i' }] },
      { ...record, members: Array.from({ length: 65 }, () => record.members[0]) },
      { ...record, voters: ['Control-Plane'] },
      { ...record, voters: [] },
      { ...record, voters: [replica, replica] },
      { ...record, formerVoters: [] },
      { ...record, formerVoters: [replica, 'control-plane', replica] },
      { ...record, held: null },
      { ...record, held: [{ voter: 'r-1', epoch: 1 }] },
      { ...record, held: [{ voter: '../etc', epoch: 1, seq: 1 }] },
      { ...record, closed: 0 },
      { ...record, floor: null },
      { ...record, loss: undefined },
    ];
    for (const value of wrong) assert.equal(args.decode(encodeJson(value)), undefined);
    assert.equal(args.decode(encodeText('{"epoch":')), undefined);
    assert.equal(args.decode(new Uint8Array([0xff, 0xfe])), undefined);
  });

  test('a state keeps the error inside it', () => {
    const state: ReplicaState = {
      identity: {
        cluster: 'c-1' as ReplicaState['identity']['cluster'],
        volume: 'v-1' as ReplicaState['identity']['volume'],
        replica,
        pool: 'p-1' as ReplicaState['identity']['pool'],
        shard: 0,
        segmentBytes: 65536,
        claim: 'default/demo',
      },
      incarnation: 'i-1' as ReplicaState['incarnation'],
      condition: 'process-crash',
      sizeBytes: 2 ** 40,
      promised: 4,
      promisedTo: 'nexus 1',
      record,
      completed: { epoch: 3, n: 9 },
      snapshots: [],
      rebuild: '',
      failed: new HoldfastError('io-error', 'Sync failed', { details: { offsetBytes: 5 } }),
    };
    const { answer } = COLD_VERBS.refresh;
    const read = answer.decode(answer.encode(state));
    assert.deepEqual({ ...read, failed: null }, { ...state, failed: null });
    assert.equal(read?.failed?.code, 'io-error');
    assert.deepEqual(read?.failed?.details, { offsetBytes: 5 });
  });

  test('an error keeps code, effect and details, and loses its cause', () => {
    const error = new HoldfastError('no-space', 'Pool is full', {
      effect: 'unknown',
      details: { freeBytes: 0, pool: 'p', full: true },
      cause: new Error('secret'),
    });
    const bytes = encodeJson(plainError(error));
    assert.equal(Buffer.from(bytes).includes('secret'), false);
    const read = decodeJson(bytes, readError);
    assert.equal(read?.code, 'no-space');
    assert.equal(read?.effect, 'unknown');
    assert.deepEqual(read?.details, error.details);
  });

  test('a code of a later version is an io-error that names it', () => {
    const body = { code: 'new-thing', message: 'x', effect: 'none', details: {} };
    const read = decodeJson(encodeJson(body), readError);
    assert.equal(read?.code, 'io-error');
    assert.equal(read?.details['peerCode'], 'new-thing');
  });

  test('a detail named __proto__ changes no prototype', () => {
    const body = '{"code":"io-error","message":"x","effect":"none","details":{"__proto__":5}}';
    const read = decodeJson(encodeText(body), readError);
    assert.equal(Object.getPrototypeOf(read?.details), Object.prototype);
  });

  test('golden: segment bodies (docs/format/peer.md)', () => {
    assert.equal(
      formatHex(COLD_VERBS.intents.answer.encode([1, 2 ** 40])),
      '01000000000000000000000000010000',
    );
    const settlement = {
      segment: 3,
      kinds: Uint8Array.of(1, 0, 1),
      contentCrcs: Uint32Array.of(0x11223344, 0, 0x55667788),
      stamp: { epoch: 2, n: 0 },
    };
    assert.equal(
      formatHex(COLD_VERBS.settle.args.encode(settlement)),
      '030000000000000002000000000000000000000000000000030000000000000005443322110000000088776655',
    );
    const inspection = { ...settlement, verified: Uint8Array.of(1, 1, 0) };
    assert.equal(
      formatHex(COLD_VERBS.inspect.answer.encode(inspection)),
      '03000000000000000200000000000000000000000000000003000000000000000503443322110000000088776655',
    );
  });

  test('inspections, stamps and intents pass through', () => {
    const number = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
    const block = fc.record({ kind: fc.nat(1), crc: fc.nat(), verified: fc.nat(1) });
    fc.assert(
      fc.property(number, number, fc.array(block, { maxLength: 70 }), (segment, n, blocks) => {
        const inspection = {
          segment,
          kinds: Uint8Array.from(blocks, (entry) => entry.kind),
          contentCrcs: Uint32Array.from(blocks, (entry) => entry.crc),
          verified: Uint8Array.from(blocks, (entry) => entry.verified),
          stamp: { epoch: n, n: segment },
        };
        const { answer } = COLD_VERBS.inspect;
        assert.deepEqual(answer.decode(answer.encode(inspection)), inspection);
        const stamped = COLD_VERBS.stampedSince.answer;
        const entries = [{ segment, stamp: { epoch: n, n: 1 } }];
        assert.deepEqual(stamped.decode(stamped.encode(entries)), entries);
        const intents = COLD_VERBS.intents.answer;
        assert.deepEqual(intents.decode(intents.encode([segment, n])), [segment, n]);
      }),
    );
  });

  test('bodies of any bytes decode or are refused', () => {
    const names = Object.keys(COLD_VERBS) as ColdName[];
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.json(), (bytes, json) => {
        for (const name of names) {
          const { args, answer } = COLD_VERBS[name];
          args.decode(bytes);
          answer.decode(bytes);
          args.decode(encodeText(json));
          answer.decode(encodeText(json));
          decodeJson(encodeText(json), readHello);
          decodeJson(encodeText(json), readError);
        }
      }),
    );
  });

  test('every cold verb is found by its number', () => {
    for (const name of Object.keys(COLD_VERBS) as ColdName[]) {
      assert.equal(findColdVerb(COLD_VERBS[name].type), name);
    }
    assert.equal(findColdVerb(16), undefined);
  });
});
