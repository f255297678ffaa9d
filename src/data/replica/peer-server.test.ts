/** What hurts the peer protocol: silence, garbage, strangers, floods, and the wrong replica. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HoldfastError, type ErrorCode, type ReplicaId, type VolumeId } from '#api/mod.ts';
import {
  makeRequest,
  pattern,
  perform,
  readBlocks,
  writeBlocks,
} from '#data/member/member.testkit.ts';
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
import type { Address, Conn, Host } from '#host/mod.ts';
import { SimWorld } from '#host/sim/mod.ts';
import { concatBytes, encodeText } from '#lib/mod.ts';
import { CLUSTER, openRemoteParts, ReplicaSite, VOLUME } from './member-world.testkit.ts';
import { PeerConnector } from './peer-connector.ts';
import { PeerServer } from './peer-server.ts';

const BLOCK = 4096;
const FAR: Address = { kind: 'tcp', host: 'far', port: 7000 };
const REPLICA = 'replica-1' as ReplicaId;

interface Scene {
  readonly world: SimWorld;
  readonly near: Host;
  readonly far: Host;
}

/** Runs the body in a world of two machines. */
function scene(name: string, body: (parts: Scene) => Promise<void>): void {
  test(name, async () => {
    const world = new SimWorld(7);
    const near = world.addNode('near');
    const far = world.addNode('far');
    await world.finish(body({ world, near, far }));
  });
}

async function failsWith(promise: Promise<unknown>, code: ErrorCode): Promise<HoldfastError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(HoldfastError.is(error), String(error));
    assert.equal(error.code, code);
    return error;
  }
  throw new assert.AssertionError({ message: `does not fail with ${code}` });
}

/** A peer that speaks in bytes. */
class RawPeer {
  readonly conn: Conn;
  readonly frames: Frame[] = [];
  closed = false;
  #wake: () => void = () => {};

  constructor(conn: Conn) {
    this.conn = conn;
    const decoder = new FrameDecoder((frame) => new Uint8Array(frame.payloadBytes));
    conn.start({
      onBytes: (bytes) => {
        decoder.feed(bytes);
        while (decoder.next() === 'frame') this.frames.push({ ...decoder.frame });
        this.#wake();
      },
      onClose: () => {
        this.closed = true;
        this.#wake();
      },
    });
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The next frame; undefined when the connection ends first. */
  async frame(): Promise<Frame | undefined> {
    await this.until(() => this.frames.length > 0 || this.closed);
    return this.frames.shift();
  }
}

async function rawPeer(host: Host): Promise<RawPeer> {
  return new RawPeer(await host.net.connect(FAR, { timeoutMs: 1000 }));
}

const HELLO = {
  protocolMin: 1,
  protocolMax: 1,
  cluster: CLUSTER,
  volume: VOLUME,
  replica: REPLICA,
  client: 'raw',
  capabilities: [],
  auth: { scheme: 'none', token: '' },
};

function hello(changes: object = {}): Uint8Array {
  return encodeFrame({ type: FRAME.hello }, encodeJson({ ...HELLO, ...changes }));
}

function promise(requestId: number): Uint8Array {
  const body = COLD_VERBS.promise.args.encode({ epoch: 1, nexus: 'raw' });
  return encodeFrame({ type: FRAME.promise, requestId }, body);
}

describe('PeerServer', () => {
  scene('refuses who means another replica, volume, cluster or version', async ({ near, far }) => {
    await openRemoteParts(far, near, FAR);
    const cases: [object, ErrorCode][] = [
      [{ replica: 'replica-2' }, 'not-found'],
      [{ volume: 'volume-2' }, 'wrong-identity'],
      [{ cluster: 'cluster-2' }, 'wrong-identity'],
      [{ protocolMin: 2, protocolMax: 3 }, 'unsupported'],
      [{ auth: { scheme: 'token', token: 'x' } }, 'unsupported'],
    ];
    for (const [changes, code] of cases) {
      const peer = await rawPeer(near);
      peer.conn.write([hello(changes)]);
      const answer = await peer.frame();
      assert.equal(answer?.flags, FLAG_REPLY | FLAG_ERROR);
      assert.equal(decodeJson(answer?.payload ?? new Uint8Array(), readError)?.code, code);
      await peer.until(() => peer.closed);
    }
    const later = await rawPeer(near);
    later.conn.write([hello({ protocolMin: 1, protocolMax: 7, news: true })]);
    assert.equal((await later.frame())?.flags, FLAG_REPLY, 'a later client that still speaks 1');
  });

  scene('ends whoever breaks the protocol, and goes on', async ({ world, near, far }) => {
    const { server } = await openRemoteParts(far, near, FAR);
    const badCrc = hello();
    badCrc[70] = (badCrc[70] ?? 0) ^ 1;
    const oversized = encodeFrame({ type: FRAME.hello }, new Uint8Array(5000));
    const openings: [string, Uint8Array][] = [
      ['garbage', encodeText('GET / HTTP/1.1\r\n\r\n')],
      ['zeroes', new Uint8Array(1000)],
      ['bad checksum', badCrc],
      ['oversized hello', oversized],
      ['no hello', encodeFrame({ type: FRAME.flush, requestId: 1 })],
      ['hello that is no JSON', encodeFrame({ type: FRAME.hello }, encodeText('{'))],
      ['hello with a path as id', hello({ replica: '../../etc/passwd' })],
      ['a reply', encodeFrame({ type: FRAME.flush, flags: FLAG_REPLY })],
    ];
    for (const [name, bytes] of openings) {
      const peer = await rawPeer(near);
      peer.conn.write([bytes]);
      await peer.until(() => peer.closed);
      assert.equal(peer.frames.length, 0, name);
    }
    const data = pattern(BLOCK, 1);
    const write = { type: FRAME.write, requestId: 2, lengthBytes: BLOCK };
    const badData = encodeFrame(write, data);
    badData[100] = (badData[100] ?? 0) ^ 1;
    const later: [string, Uint8Array][] = [
      ['data with a bad checksum', badData],
      ['a second hello', hello()],
      ['a write that is longer than it says', encodeFrame({ ...write, lengthBytes: 1 }, data)],
      ['a read with data', encodeFrame({ type: FRAME.read, lengthBytes: BLOCK }, encodeText('x'))],
      ['a read beyond a frame', encodeFrame({ type: FRAME.read, lengthBytes: 2 ** 21 })],
      ['a cold verb with garbage', encodeFrame({ type: FRAME.commit }, encodeText('[]'))],
      ['a loss from the wrong side', encodeFrame({ type: FRAME.lost }, encodeText('{}'))],
    ];
    for (const [name, bytes] of later) {
      const peer = await rawPeer(near);
      peer.conn.write([hello(), promise(1)]);
      await peer.until(() => peer.frames.length === 2);
      peer.conn.write([bytes]);
      await peer.until(() => peer.closed);
      assert.equal(peer.frames.length, 2, name);
    }
    const reasons = world.logs.filter((line) => line.message === 'Peer broke the protocol');
    assert.equal(reasons.length, openings.length + later.length, 'each with its reason in the log');
    assert.equal(server.connectionCount, 0);
    const good = await rawPeer(near);
    good.conn.write([hello()]);
    assert.equal((await good.frame())?.flags, FLAG_REPLY);
  });

  scene('ends a stranger that says nothing or too little', async ({ near, far }) => {
    await openRemoteParts(far, near, FAR);
    const silent = await rawPeer(near);
    const slow = await rawPeer(near);
    slow.conn.write([hello().subarray(0, 80)]);
    const begin = near.clock.monotonicMs();
    await Promise.all([silent.until(() => silent.closed), slow.until(() => slow.closed)]);
    assert.ok(near.clock.monotonicMs() - begin < 6_000);
  });

  scene('bounds strangers and connections', async ({ near, far }) => {
    const site = new ReplicaSite();
    const server = new PeerServer({
      ...far,
      lookup: () => site.replica,
      limits: { strangersMax: 3, connectionsMax: 5 },
    });
    await server.listen(FAR);
    const strangers = await Promise.all([1, 2, 3, 4].map(() => rawPeer(near)));
    await near.clock.sleep(100);
    assert.equal(strangers.filter((peer) => peer.closed).length, 1);
    assert.equal(server.connectionCount, 3);
    const known = strangers.filter((peer) => !peer.closed);
    for (const peer of known) peer.conn.write([hello()]);
    await near.clock.sleep(100);
    const more = await Promise.all([1, 2, 3].map(() => rawPeer(near)));
    await near.clock.sleep(100);
    assert.equal(more.filter((peer) => peer.closed).length, 1, 'five, and not six');
    known[0]?.conn.close();
    await near.clock.sleep(100);
    assert.equal(server.connectionCount, 4);
    await server.close();
    assert.equal(server.connectionCount, 0);
  });

  scene('bounds what one connection has in work', async ({ near, far }) => {
    const site = new ReplicaSite();
    site.store.hold();
    const server = new PeerServer({
      ...far,
      lookup: () => site.replica,
      limits: { inFlightBytesMax: 1024 * 1024 },
    });
    await server.listen(FAR);
    const peer = await rawPeer(near);
    peer.conn.write([hello(), promise(1)]);
    await peer.until(() => peer.frames.length === 2);
    // 64 bytes ask for 128 KiB: 200 of them would be 25 MiB of buffers.
    const reads = Array.from({ length: 200 }, (_, i) =>
      encodeFrame({
        type: FRAME.read,
        requestId: i,
        offsetBytes: (i % 100) * 128 * 1024,
        lengthBytes: 128 * 1024,
      }),
    );
    peer.conn.write([concatBytes(reads)]);
    await near.clock.sleep(1000);
    assert.ok(site.store.heldCount() <= 8, `${site.store.heldCount()} in the store`);
    site.store.release();
    await peer.until(() => peer.frames.length === 202);
    assert.deepEqual(
      peer.frames.slice(2).map((frame) => frame.requestId),
      reads.map((_, i) => i),
    );
  });
});

describe('PeerConnector', () => {
  scene('wants the replica that it asked for, not whoever answers there', async ({ near, far }) => {
    const { site } = await openRemoteParts(far, near, FAR);
    const connect = (volume: string, replica: string): Promise<unknown> =>
      new PeerConnector({
        ...near,
        cluster: CLUSTER,
        volume: volume as VolumeId,
        resolve: () => FAR,
      }).connect(replica as ReplicaId, { timeoutMs: 1000 });
    await failsWith(connect('volume-1', 'replica-2'), 'not-found');
    await failsWith(connect('volume-2', 'replica-1'), 'wrong-identity');
    // A server that lets anybody in: the client looks for itself.
    const liar = new PeerServer({ ...far, lookup: () => site.replica });
    await liar.listen({ kind: 'tcp', host: 'far', port: 7001 });
    const fooled = new PeerConnector({
      ...near,
      cluster: CLUSTER,
      volume: VOLUME,
      resolve: () => ({ kind: 'tcp', host: 'far', port: 7001 }),
    });
    await failsWith(
      fooled.connect('replica-2' as ReplicaId, { timeoutMs: 1000 }),
      'wrong-identity',
    );
    const local = new PeerConnector({
      ...near,
      cluster: CLUSTER,
      volume: 'volume-2' as VolumeId,
      resolve: () => site.replica,
    });
    await failsWith(local.connect(REPLICA, { timeoutMs: 1000 }), 'wrong-identity');
    const lost = new PeerConnector({
      ...near,
      cluster: CLUSTER,
      volume: VOLUME,
      resolve: () => undefined,
    });
    await failsWith(lost.connect(REPLICA, { timeoutMs: 1000 }), 'not-found');
  });

  scene('gives up in time on nobody, on silence and on garbage', async ({ world, near, far }) => {
    const connector = new PeerConnector({
      ...near,
      cluster: CLUSTER,
      volume: VOLUME,
      resolve: () => FAR,
    });
    await failsWith(connector.connect(REPLICA, { timeoutMs: 1000 }), 'refused');
    const listener = await far.net.listen(FAR, () => {});
    const begin = near.clock.monotonicMs();
    await failsWith(connector.connect(REPLICA, { timeoutMs: 1000 }), 'timed-out');
    assert.ok(near.clock.monotonicMs() - begin < 1100);
    await listener.close();
    await far.net.listen(FAR, (conn) => {
      conn.start({ onBytes: () => {}, onClose: () => {} });
      conn.write([encodeText('SSH-2.0-OpenSSH_9.6\r\n')]);
    });
    await failsWith(connector.connect(REPLICA, { timeoutMs: 1000 }), 'protocol-violation');
    assert.ok(world.logs.some((line) => line.message === 'Replica broke the peer protocol'));
  });
});

describe('RemoteMember', () => {
  scene('notices a half-open connection, idle, within 10 s', async ({ world, near, far }) => {
    const { connector } = await openRemoteParts(far, near, FAR);
    const member = await connector.connect(REPLICA, { timeoutMs: 1000 });
    const lost = new Promise<HoldfastError>((resolve) => member.onLost(resolve));
    await near.clock.sleep(60_000);
    await member.refresh();
    world.net.halfOpen('near', 'far');
    const begin = near.clock.monotonicMs();
    assert.equal((await lost).code, 'disconnected');
    const tookMs = near.clock.monotonicMs() - begin;
    assert.ok(tookMs <= 10_000, `${tookMs} ms`);
  });

  scene('notices a half-open connection with a write in flight', async ({ world, near, far }) => {
    const { connector, server } = await openRemoteParts(far, near, FAR);
    const member = await connector.connect(REPLICA, { timeoutMs: 1000 });
    await member.promise(1, 'nexus-1');
    world.net.halfOpen('near', 'far');
    const begin = near.clock.monotonicMs();
    const error = await failsWith(writeBlocks(member, 0, pattern(BLOCK, 1)), 'disconnected');
    assert.equal(error.effect, 'unknown');
    assert.ok(near.clock.monotonicMs() - begin <= 10_000);
    await failsWith(readBlocks(member, 0, BLOCK), 'disconnected');
    await near.clock.sleep(30_000);
    assert.equal(server.connectionCount, 0, 'the server gave up as well');
  });

  scene('is not lost because the store is slow', async ({ near, far }) => {
    const { connector, site } = await openRemoteParts(far, near, FAR);
    const member = await connector.connect(REPLICA, { timeoutMs: 1000 });
    await member.promise(1, 'nexus-1');
    site.store.hold();
    const write = perform(member, makeRequest('write', 0, pattern(BLOCK, 1)));
    await near.clock.sleep(60_000);
    site.store.release();
    await write;
  });

  scene('costs few messages when idle', async ({ world, near, far }) => {
    const { connector } = await openRemoteParts(far, near, FAR);
    const member = await connector.connect(REPLICA, { timeoutMs: 1000 });
    const before = world.events;
    await near.clock.sleep(100_000);
    const events = world.events - before;
    // A tick a second here, one in five seconds there, a ping and its answer in about five.
    assert.ok(events < 400, `${events} events in 100 s`);
    await member.refresh();
  });

  scene('fails everything when the answers are not what was asked for', async ({ near, far }) => {
    const { site } = await openRemoteParts(far, near, FAR);
    const { state } = site.replica.openSession();
    const welcome = encodeFrame(
      { type: FRAME.hello, flags: FLAG_REPLY },
      encodeJson({ protocol: 1, capabilities: [], session: 1, state }),
    );
    const answers: [string, (read: Frame) => Uint8Array][] = [
      [
        'an unknown request',
        () => encodeFrame({ type: FRAME.read, flags: FLAG_REPLY, requestId: 99 }),
      ],
      [
        'another verb',
        ({ requestId }) => encodeFrame({ type: FRAME.write, flags: FLAG_REPLY, requestId }),
      ],
      [
        'too little data',
        ({ requestId }) =>
          encodeFrame({ type: FRAME.read, flags: FLAG_REPLY, requestId }, new Uint8Array(512)),
      ],
      [
        'no data',
        ({ requestId }) => encodeFrame({ type: FRAME.read, flags: FLAG_REPLY, requestId }),
      ],
      [
        'data with a bad checksum',
        ({ requestId }) => {
          const fields = { type: FRAME.read, flags: FLAG_REPLY, requestId };
          const frame = encodeFrame(fields, new Uint8Array(BLOCK));
          frame[100] = 1;
          return frame;
        },
      ],
      ['a request', () => encodeFrame({ type: FRAME.flush, requestId: 1 })],
    ];
    let port = 7100;
    for (const [name, answer] of answers) {
      port += 1;
      const address: Address = { kind: 'tcp', host: 'far', port };
      await far.net.listen(address, (conn) => {
        const decoder = new FrameDecoder((frame) => new Uint8Array(frame.payloadBytes));
        conn.start({
          onBytes: (bytes) => {
            decoder.feed(bytes);
            while (decoder.next() === 'frame') {
              const { type } = decoder.frame;
              conn.write([type === FRAME.hello ? welcome : answer(decoder.frame)]);
            }
          },
          onClose: () => {},
        });
      });
      const connector = new PeerConnector({
        ...near,
        cluster: CLUSTER,
        volume: VOLUME,
        resolve: () => address,
      });
      const member = await connector.connect(REPLICA, { timeoutMs: 1000 });
      const lost = new Promise<HoldfastError>((resolve) => member.onLost(resolve));
      const error = await failsWith(readBlocks(member, 0, BLOCK), 'protocol-violation');
      assert.equal(error.effect, 'unknown', name);
      assert.equal((await lost).code, 'protocol-violation');
    }
  });

  test('keeps its promises while connections are reset, cut and slow', async () => {
    let resets = 0;
    for (let seed = 1; seed <= 40; seed += 1) {
      const world = new SimWorld(seed);
      const near = world.addNode('near');
      const far = world.addNode('far');
      await world.finish(
        (async () => {
          const { connector, site } = await openRemoteParts(far, near, FAR);
          world.net.changeLinks({ resetChance: 0.02, splitChance: 0.9, lateShare: 0.2 });
          // What each block may hold: the last acknowledged value, or one that was tried since.
          const maybe = new Map<number, Set<number>>();
          let epoch = 0;
          let value = 0;
          while (epoch < 5) {
            epoch += 1;
            try {
              const member = await connector.connect(REPLICA, { timeoutMs: 1000 });
              if (!(await member.promise(epoch, `nexus-${epoch}`)).granted) continue;
              for (;;) {
                await Promise.all(
                  Array.from({ length: 16 }, async (_, block) => {
                    value += 1;
                    const mine = value;
                    const known = maybe.get(block) ?? new Set([0]);
                    maybe.set(block, known.add(mine));
                    await writeBlocks(member, block * BLOCK, pattern(BLOCK, mine));
                    maybe.set(block, new Set([mine]));
                    const data = await readBlocks(member, block * BLOCK, BLOCK);
                    assert.deepEqual(data, pattern(BLOCK, mine));
                  }),
                );
                if (value > 2000) return;
              }
            } catch (error) {
              if (!HoldfastError.is(error)) throw error;
              resets += 1;
            }
          }
          world.net.changeLinks({ resetChance: 0 });
          const last = site.replica.openSession();
          await last.promise(99, 'last');
          for (const [block, values] of maybe) {
            const data = await readBlocks(last, block * BLOCK, BLOCK);
            const fits = [...values].some((candidate) =>
              Buffer.from(data).equals(
                candidate === 0 ? Buffer.alloc(BLOCK) : pattern(BLOCK, candidate),
              ),
            );
            assert.ok(fits, `seed ${seed}: block ${block}`);
          }
        })(),
      );
    }
    assert.ok(resets > 40, `${resets} resets`);
  });
});
