/**
 * Bad frames over real sockets: whoever sends them is ended with the code that fits, the replica is
 * unchanged, and the nexus beside goes on. docs/design/bad-input.md has the list.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { type ErrorCode, hasCode, type HoldfastError, type ReplicaId } from '#api/mod.ts';
import { pattern, readBlocks, writeBlocks } from '#data/member/member.testkit.ts';
import {
  COLD_VERBS,
  decodeJson,
  encodeFrame,
  encodeJson,
  FLAG_ERROR,
  FLAG_REPLY,
  FRAME,
  type Frame,
  FrameDecoder,
  readError,
} from '#data/proto/peer/mod.ts';
import type { Address } from '#host/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { CLUSTER, ReplicaSite, VOLUME } from './member-world.testkit.ts';
import { PeerConnector } from './peer-connector.ts';
import { PeerServer } from './peer-server.ts';

const host = createNodeHost({ logLevel: 'silent' });
const BLOCK = 4096;
const REPLICA = 'replica-1' as ReplicaId;

interface Raw {
  readonly frames: Frame[];
  send(...bytes: Uint8Array[]): void;
  until(condition: () => boolean): Promise<void>;
  isClosed(): boolean;
  close(): void;
}

async function raw(address: Address): Promise<Raw> {
  const conn = await host.net.connect(address, { timeoutMs: 1_000 });
  const frames: Frame[] = [];
  let closed = false;
  const decoder = new FrameDecoder((frame) => new Uint8Array(frame.payloadBytes));
  conn.start({
    onBytes: (bytes) => {
      decoder.feed(bytes);
      while (decoder.next() === 'frame') frames.push({ ...decoder.frame });
    },
    onClose: () => {
      closed = true;
    },
  });
  return {
    frames,
    send: (...bytes) => void conn.write(bytes),
    until: async (condition) => {
      for (let waitedMs = 0; !condition(); waitedMs += 2) {
        assert.ok(waitedMs < 20_000, 'in time');
        await host.clock.sleep(2);
      }
    },
    isClosed: () => closed,
    close: () => conn.close(),
  };
}

function hello(changes: object = {}): Uint8Array {
  const body = {
    protocolMin: 1,
    protocolMax: 1,
    cluster: CLUSTER,
    volume: VOLUME,
    replica: REPLICA,
    client: 'raw',
    capabilities: [],
    auth: { scheme: 'none', token: '' },
    ...changes,
  };
  return encodeFrame({ type: FRAME.hello }, encodeJson(body));
}

function promise(epoch: number): Uint8Array {
  const body = COLD_VERBS.promise.args.encode({ epoch, nexus: 'raw' });
  return encodeFrame({ type: FRAME.promise, requestId: 1 }, body);
}

function write(requestId: number, fill: number): Uint8Array {
  const fields = { type: FRAME.write, requestId, lengthBytes: BLOCK };
  return encodeFrame(fields, pattern(BLOCK, fill));
}

function errorOf(frame: Frame | undefined): HoldfastError | undefined {
  assert.equal(frame?.flags, FLAG_REPLY | FLAG_ERROR);
  return decodeJson(frame?.payload ?? new Uint8Array(), readError);
}

/** A replica that holds pattern 1 in its first block and answers on a socket. */
async function withReplica(
  body: (parts: {
    address: Address;
    server: PeerServer;
    unchanged: () => Promise<void>;
  }) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(`${tmpdir()}/hf-peer-`);
  const address: Address = { kind: 'unix', path: `${directory}/peer` };
  const site = new ReplicaSite();
  const server = new PeerServer({
    ...host,
    lookup: (id) => (id === REPLICA ? site.replica : undefined),
  });
  await server.listen(address);
  const connector = new PeerConnector({
    ...host,
    cluster: CLUSTER,
    volume: VOLUME,
    resolve: () => address,
  });
  const member = await connector.connect(REPLICA, { timeoutMs: 5_000 });
  try {
    assert.ok((await member.promise(5, 'nexus-1')).granted);
    await writeBlocks(member, 0, pattern(BLOCK, 1));
    await body({
      address,
      server,
      unchanged: async () => {
        const found = await readBlocks(member, 0, BLOCK);
        assert.ok(Buffer.from(found).equals(pattern(BLOCK, 1)));
      },
    });
  } finally {
    member.close();
    await server.close();
    await rm(directory, { recursive: true });
  }
}

test('A peer frame with a bad checksum ends its connection and changes nothing', async () => {
  await withReplica(async ({ address, unchanged }) => {
    for (const at of [4, 16, 60, 70, 64 + BLOCK - 1]) {
      const peer = await raw(address);
      peer.send(hello());
      await peer.until(() => peer.frames.length === 1);
      const bad = write(7, 9);
      bad[at] = (bad[at] ?? 0) ^ 1;
      peer.send(bad);
      await peer.until(() => peer.isClosed());
      assert.equal(peer.frames.length, 1, `byte ${at} is not answered`);
      const again = await raw(address);
      again.send(hello());
      await again.until(() => again.frames.length === 1);
      again.close();
      await unchanged();
    }
  });
});

test('A peer that means an unknown volume, replica or cluster is refused by name', async () => {
  await withReplica(async ({ address, unchanged }) => {
    const cases: readonly (readonly [object, ErrorCode, string, string])[] = [
      [{ volume: 'volume-2' }, 'wrong-identity', 'volume', 'volume-2'],
      [{ cluster: 'cluster-2' }, 'wrong-identity', 'cluster', 'cluster-2'],
      [{ replica: 'replica-2' }, 'not-found', 'replica', 'replica-2'],
    ];
    for (const [changes, code, field, value] of cases) {
      const peer = await raw(address);
      peer.send(hello(changes), promise(9), write(7, 9));
      await peer.until(() => peer.isClosed());
      assert.equal(peer.frames.length, 1, 'the hello is answered, and nothing after it');
      const error = errorOf(peer.frames[0]);
      assert.equal(error?.code, code);
      assert.equal(error?.details[field], value);
      assert.match(String(error?.details['remedy']), /^Check /);
      await unchanged();
    }
  });
});

test('A peer of an old epoch is fenced, and nothing of what it sends is done', async () => {
  await withReplica(async ({ address, unchanged }) => {
    const old = await raw(address);
    old.send(hello(), promise(4), write(7, 9), encodeFrame({ type: FRAME.flush, requestId: 8 }));
    await old.until(() => old.frames.length === 4 || old.isClosed());
    const answer = old.frames.find((frame) => frame.requestId === 1);
    const state = COLD_VERBS.promise.answer.decode(answer?.payload ?? new Uint8Array());
    assert.equal(state?.granted, false);
    assert.equal(state?.promised, 5);
    for (const requestId of [7, 8]) {
      const frame = old.frames.find((candidate) => candidate.requestId === requestId);
      assert.equal(errorOf(frame)?.code, 'fenced');
    }
    await unchanged();
    old.close();
  });
});

test('Strangers hold kilobytes, however many they are and whatever they announce', async () => {
  await withReplica(async ({ address, server, unchanged }) => {
    const large = encodeFrame({ type: FRAME.write, requestId: 1, lengthBytes: 2 ** 20 });
    const before = process.memoryUsage().arrayBuffers;
    const peers: Raw[] = [];
    for (let n = 0; n < 80; n += 1) {
      const peer = await raw(address);
      peer.send(n % 2 === 0 ? large : hello().subarray(0, 90));
      peers.push(peer);
    }
    await peers[0]?.until(() => peers.filter((peer) => peer.isClosed()).length >= 40);
    const heldBytes = process.memoryUsage().arrayBuffers - before;
    assert.ok(heldBytes < 4_000_000, `${heldBytes} bytes for 80 strangers`);
    assert.ok(server.connectionCount <= 65);
    await unchanged();
    for (const peer of peers) peer.close();
  });
});

test('A peer socket in use is refused with its address, and serves on', async () => {
  await withReplica(async ({ address, unchanged }) => {
    const second = new PeerServer({ ...host, lookup: () => undefined });
    await assert.rejects(second.listen(address), (error) => {
      assert.ok(hasCode(error, 'address-in-use'));
      const { details } = error as HoldfastError;
      assert.equal(details['address'], `unix:${address.kind === 'unix' ? address.path : ''}`);
      assert.match(String(details['remedy']), /another address/);
      return true;
    });
    await unchanged();
  });
});
