import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  hasCode,
  type MembershipRecord,
  type ReplicaId,
  type SnapshotId,
  type VolumeId,
} from '#api/mod.ts';
import { crc32c, encodeText, formatHex, viewOf, writeU64Le } from '#lib/mod.ts';
import { BlockChecksum } from './block-checksum.ts';
import {
  allocateRecord,
  decodeEnvelope,
  decodeRecord,
  decodeSections,
  encodeEnvelope,
  hex8Bytes,
  isPageIntact,
  pageIdCrc,
  putSection,
  readKind,
  RECORD_HEADER_BYTES,
  sealPage,
  sealRecord,
  SECTION_SEGMENTS,
  writeKind,
} from './format.ts';
import {
  decodeReplicaHeader,
  decodeVoterHeader,
  encodePoolHeader,
  encodeReplicaHeader,
  encodeVoterHeader,
  type ReplicaHeader,
  type VoterHeader,
} from './metadata.ts';
import { CLUSTER, identityOf, POOL, REPLICA } from './store.testkit.ts';

test('BlockChecksum is crc32c of volume, block number and contents', () => {
  const contents = new Uint8Array(4096).map((_, i) => i % 251);
  for (const block of [0, 1, 959, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 12_345]) {
    const number = new Uint8Array(8);
    writeU64Le(viewOf(number), 0, block);
    const slow = crc32c(contents, crc32c(number, crc32c(encodeText('v1'))));
    assert.equal(new BlockChecksum('v1').of(block, contents), slow);
  }
  assert.equal(new BlockChecksum('v1').of(7, contents).toString(16), 'd62c1719');
});

test('An envelope has the bytes of the format', () => {
  assert.equal(
    formatHex(encodePoolHeader({ cluster: CLUSTER, pool: POOL })),
    '484f4c4446415354504f4f4c01000000000000000000000000000000000000000000000000000000' +
      '1c00000052311e067b22636c7573746572223a226331222c22706f6f6c223a227031227d',
  );
});

test('An envelope is refused at every flipped bit and every length', () => {
  const bytes = encodeEnvelope('VOTE', { replica: 'r1' });
  assert.deepEqual(decodeEnvelope('x', 'VOTE', bytes, true), { replica: 'r1' });
  for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
    const damaged = bytes.slice();
    damaged[bit >>> 3]! ^= 1 << (bit & 7);
    assert.throws(() => decodeEnvelope('x', 'VOTE', damaged, true), isCorrupt, `bit ${bit}`);
  }
  for (let length = 0; length < bytes.byteLength; length++) {
    const cut = bytes.slice(0, length);
    assert.throws(() => decodeEnvelope('x', 'VOTE', cut, true), isCorrupt, `length ${length}`);
  }
  assert.throws(() => decodeEnvelope('x', 'POOL', bytes, true), isCorrupt);
});

test('An envelope of a newer version or with unknown features is left alone', () => {
  for (const [offset, what] of [
    [12, 'version'],
    [24, 'read-only compatible'],
    [32, 'incompatible'],
  ] as const) {
    const bytes = encodeEnvelope('VOTE', {});
    bytes[offset]! += 1;
    viewOf(bytes).setUint32(44, crc32c(bytes.subarray(48), crc32c(bytes.subarray(0, 44))), true);
    assert.throws(
      () => decodeEnvelope('x', 'VOTE', bytes, true),
      (error) => hasCode(error, 'store-newer-format'),
      what,
    );
  }
  const compatible = encodeEnvelope('VOTE', {});
  compatible[16] = 1;
  const crc = crc32c(compatible.subarray(48), crc32c(compatible.subarray(0, 44)));
  viewOf(compatible).setUint32(44, crc, true);
  assert.deepEqual(decodeEnvelope('x', 'VOTE', compatible, true), {});
});

test('A replica header comes back as it was, and its ids are checked', () => {
  const file = { inode: '12', birthNs: '34' };
  const header: ReplicaHeader = {
    identity: identityOf(),
    sizeBytes: 8192,
    incarnation: 'i-1' as ReplicaHeader['incarnation'],
    clean: true,
    doubt: false,
    healing: false,
    logTorn: false,
    rolledBack: false,
    cacheIdentity: 'boot/1',
    baseEpoch: 0,
    baseN: 0,
    baseSegments: 0,
    stamps: '0011223344556677',
    self: file,
    mapLog: file,
    stampsFile: file,
    layers: [
      layerRecord('00000000000000aa', 'sealed', 's1' as SnapshotId),
      layerRecord('00000000000000ab', 'head', null),
    ],
  };
  const bytes = encodeReplicaHeader(header);
  assert.deepEqual(decodeReplicaHeader('x', bytes), header);
  for (const bad of [
    { sizeBytes: 100 },
    { stamps: '../../etc' },
    { incarnation: '' as ReplicaHeader['incarnation'] },
    { layers: [] },
    { layers: [{ ...header.layers[1]!, home: '../x' as ReplicaId }] },
  ]) {
    const damaged = encodeReplicaHeader({ ...header, ...bad });
    assert.throws(() => decodeReplicaHeader('x', damaged), isCorrupt, JSON.stringify(bad));
  }
});

test('A voter header has the bytes of the format', () => {
  const header = {
    replica: REPLICA,
    promised: 3,
    promisedTo: 'n1',
    record: {
      epoch: 3,
      seq: 1,
      members: [{ replica: REPLICA, incarnation: 'i-1' as ReplicaHeader['incarnation'] }],
      voters: [REPLICA, 'control-plane' as const],
      formerVoters: null,
      closed: false,
      loss: 0,
      floor: { epoch: 2, seq: 9 },
      held: [{ voter: 'control-plane' as const, epoch: 3, seq: 1 }],
    },
    rebuild: '',
  };
  const bytes = encodeVoterHeader(header);
  assert.deepEqual(decodeVoterHeader('x', bytes), header);
  assert.equal(
    new TextDecoder().decode(bytes.subarray(48)),
    '{"replica":"r1","promised":3,"promisedTo":"n1","record":{"epoch":3,"seq":1,' +
      '"members":[{"replica":"r1","incarnation":"i-1"}],"voters":["r1","control-plane"],' +
      '"formerVoters":null,"closed":false,"loss":0,"floor":{"epoch":2,"seq":9},"held":[{"voter":"control-plane","epoch":3,"seq":1}]},"rebuild":""}',
  );
});

test('A voter header whose record cannot be is refused', () => {
  const place = { epoch: 1, seq: 1 };
  const record = {
    ...place,
    members: [],
    voters: [REPLICA],
    formerVoters: null,
    closed: false,
    loss: 0,
    floor: place,
    held: [],
  };
  const decode = (wrong: object): VoterHeader['record'] => {
    const given = { ...record, ...wrong } as unknown as MembershipRecord;
    const header = { replica: REPLICA, promised: 1, promisedTo: 'n', record: given, rebuild: '' };
    return decodeVoterHeader('x', encodeVoterHeader(header)).record;
  };
  assert.deepEqual(decode({ held: undefined })?.held, []);
  for (const wrong of [
    { voters: [] },
    { voters: [REPLICA, REPLICA] },
    { formerVoters: [] },
    { formerVoters: ['control-plane', 'control-plane'] },
    { formerVoters: undefined },
    { held: null },
    { held: [{ voter: '../x', ...place }] },
    { held: [{ voter: REPLICA, epoch: 1, seq: -1 }] },
  ]) {
    assert.throws(() => decode(wrong), { code: 'store-corrupt' }, JSON.stringify(wrong));
  }
});

test('A map page has the bytes of the format', () => {
  const page = new Uint8Array(4096);
  assert.equal(isPageIntact(pageIdCrc('00000000000000aa'), 5, page), true, 'never written');
  writeKind(page, 0, 2);
  writeKind(page, 3, 1);
  writeKind(page, 959, 2);
  viewOf(page).setUint32(256, 0x1122_3344, true);
  viewOf(page).setUint32(4092, 0xaabb_ccdd, true);
  sealPage(pageIdCrc('00000000000000aa'), 5, 9, page);
  assert.equal(formatHex(page.subarray(0, 20)), '01b83c9248465047090000000000000042000000');
  assert.equal(page[255], 0x80);
  assert.equal(formatHex(page.subarray(256, 260)), '44332211');
  assert.deepEqual([readKind(page, 0), readKind(page, 1), readKind(page, 3)], [2, 0, 1]);
  assert.equal(isPageIntact(pageIdCrc('00000000000000aa'), 5, page), true);
  assert.equal(isPageIntact(pageIdCrc('00000000000000aa'), 6, page), false, 'another page');
  assert.equal(isPageIntact(pageIdCrc('00000000000000ab'), 5, page), false, 'another layer');
  for (let bit = 0; bit < 4096 * 8; bit += 7) {
    page[bit >>> 3]! ^= 1 << (bit & 7);
    assert.equal(isPageIntact(pageIdCrc('00000000000000aa'), 5, page), false, `bit ${bit}`);
    page[bit >>> 3]! ^= 1 << (bit & 7);
  }
});

test('A record has the bytes of the format', () => {
  const record = allocateRecord(16);
  const view = viewOf(record);
  const end = putSection(view, RECORD_HEADER_BYTES, SECTION_SEGMENTS, 8);
  view.setUint32(RECORD_HEADER_BYTES + 8, 7, true);
  view.setUint32(RECORD_HEADER_BYTES + 12, 2, true);
  const salt = hex8Bytes('0102030405060708');
  sealRecord(record, end, salt, 3, 2, 0xcafe);
  assert.equal(record.byteLength, 512);
  assert.equal(
    formatHex(record.subarray(0, end)),
    '48464c526d1019dc01020304050607080300000000000000020000000000000040000000feca0000' +
      '000000000000000010000000080000000700000002000000',
  );
  const header = decodeRecord(record, 0, salt)!;
  assert.deepEqual(
    [header.sequence, header.synced, header.lengthBytes, header.previousCrc],
    [3, 2, 64, 0xcafe],
  );
  const [section] = decodeSections('x', record.subarray(0, header.lengthBytes));
  assert.equal(section!.type, SECTION_SEGMENTS);
  assert.equal(decodeRecord(record, 0, hex8Bytes('0102030405060709')), undefined, 'another salt');
  for (let bit = 0; bit < end * 8; bit++) {
    record[bit >>> 3]! ^= 1 << (bit & 7);
    assert.equal(decodeRecord(record, 0, salt), undefined, `bit ${bit}`);
    record[bit >>> 3]! ^= 1 << (bit & 7);
  }
});

function layerRecord(
  layer: string,
  state: 'sealed' | 'head',
  snapshot: SnapshotId | null,
): ReplicaHeader['layers'][number] {
  const file = { inode: '12', birthNs: '34' };
  const home = REPLICA;
  const volume = 'v1' as VolumeId;
  return {
    layer,
    home,
    volume,
    sizeBytes: 8192,
    state,
    snapshot,
    epoch: 1,
    n: 2,
    data: file,
    map: file,
  };
}

function isCorrupt(error: unknown): boolean {
  return hasCode(error, 'store-corrupt');
}
