/**
 * Abuse of a real NBD socket: every abuser is answered or ended, and a client beside them keeps its
 * data and its speed. docs/design/bad-input.md has the list.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { hasCode, type HoldfastError } from '#api/mod.ts';
import { MemoryDevice, readDevice, writeDevice } from '#data/block/mod.ts';
import { patternBytes } from '#data/block/block-device.testkit.ts';
import {
  NBD_CMD_READ,
  NBD_CMD_WRITE,
  NBD_OPT_INFO,
  NBD_OPT_LIST,
  NBD_OPT_STRUCTURED_REPLY,
} from '#data/proto/nbd/mod.ts';
import type { Address, Conn } from '#host/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { concatBytes, encodeText } from '#lib/mod.ts';
import {
  clientFlags,
  goBytes,
  metaContextBytes,
  optionBytes,
  requestBytes,
  u32,
} from './nbd-client-bytes.testkit.ts';
import { NbdClientDevice } from './nbd-client.ts';
import { NbdServer } from './nbd-server.ts';

const host = createNodeHost({ logLevel: 'silent' });
const MIB = 1024 * 1024;
const SIZE_BYTES = 128 * MIB;

class Abuser {
  readonly conn: Conn;
  received: Uint8Array = new Uint8Array();
  closed = false;

  constructor(conn: Conn) {
    this.conn = conn;
    conn.start({
      onBytes: (bytes) => {
        this.received = concatBytes([this.received, bytes]);
      },
      onClose: () => {
        this.closed = true;
      },
    });
  }

  async until(what: string, condition: () => boolean): Promise<void> {
    for (let waitedMs = 0; !condition(); waitedMs += 2) {
      assert.ok(waitedMs < 20_000, `never: ${what}`);
      await host.clock.sleep(2);
    }
  }
}

async function withServer(
  run: (parts: {
    abuse: (...bytes: Uint8Array[]) => Promise<Abuser>;
    address: Address;
    server: NbdServer;
  }) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(path.join(tmpdir(), 'holdfast-nbd-'));
  const address: Address = { kind: 'unix', path: path.join(directory, 'nbd.sock') };
  const device = new MemoryDevice({ sizeBytes: SIZE_BYTES, minBytes: 512 });
  const served = { name: 'demo', description: 'default/demo', device };
  const server = await NbdServer.start(host, { address, exports: () => [served] });
  const client = await NbdClientDevice.connect(host, address, 'demo');
  const data = patternBytes(MIB, 1);
  const abusers: Abuser[] = [];
  try {
    await writeDevice(client, 0, data);
    await run({
      abuse: async (...bytes) => {
        const abuser = new Abuser(await host.net.connect(address, { timeoutMs: 5_000 }));
        abusers.push(abuser);
        if (bytes.length > 0) abuser.conn.write(bytes);
        return abuser;
      },
      address,
      server,
    });
    const found = await readDevice(client, 0, MIB);
    assert.ok(Buffer.from(found).equals(data), 'the client beside has its data');
  } finally {
    for (const { conn } of abusers) conn.close();
    await client.close();
    await server.stop();
    await rm(directory, { recursive: true });
  }
}

test('NBD garbage and a wrong magic end their connection, a client beside goes on', async () => {
  await withServer(async ({ abuse }) => {
    const cases: Readonly<Record<string, Uint8Array>> = {
      'an HTTP request': encodeText('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
      noise: patternBytes(64 * 1024, 3),
      'a wrong option magic': concatBytes([clientFlags(), encodeText('IHAVEOPX'), u32(7), u32(0)]),
      'a wrong request magic': concatBytes([clientFlags(), goBytes('demo'), new Uint8Array(28)]),
    };
    for (const [name, bytes] of Object.entries(cases)) {
      const abuser = await abuse(bytes);
      await abuser.until(name, () => abuser.closed);
    }
  });
});

test('NBD oversized lengths are refused before memory is taken for them', async () => {
  await withServer(async ({ abuse, server }) => {
    const option = concatBytes([clientFlags(), optionBytes(7).subarray(0, 12), u32(0xffff_ffff)]);
    const write = requestBytes(NBD_CMD_WRITE, 1, 0, 0xffff_ffff);
    const before = process.memoryUsage().arrayBuffers;
    for (const bytes of [option, concatBytes([clientFlags(), goBytes('demo'), write])]) {
      const abuser = await abuse(bytes);
      await abuser.until('oversized ends', () => abuser.closed);
    }
    const go = concatBytes([clientFlags(), goBytes('demo')]);
    const read = requestBytes(NBD_CMD_READ, 2, 0, 65 * MIB);
    const abuser = await abuse(go, read);
    await abuser.until('a read of 65 MiB has an answer', () => abuser.received.byteLength > 60);
    const taken = process.memoryUsage().arrayBuffers - before;
    assert.ok(taken < 8 * MIB, `${taken} bytes`);
    assert.equal(server.sessionCount, 2);
  });
});

test('An NBD export that is unknown is refused by name, in every way to ask for it', async () => {
  await withServer(async ({ abuse, address }) => {
    for (const name of ['nobody', '../demo', 'demo\0', 'Demo', 'x'.repeat(4096)]) {
      await assert.rejects(NbdClientDevice.connect(host, address, name), (error) => {
        assert.ok(hasCode(error, 'not-found'));
        const { details } = error as HoldfastError;
        assert.ok(String(details['export']).startsWith(name.slice(0, 40)), 'names it');
        assert.match(String(details['remedy']), /\S/);
        return true;
      });
      const old = await abuse(concatBytes([clientFlags(), optionBytes(1, encodeText(name))]));
      await old.until('the old way ends', () => old.closed);
    }
  });
});

test('A flood of NBD options ends after a thousand, and costs no memory', async () => {
  await withServer(async ({ abuse }) => {
    const before = process.memoryUsage().arrayBuffers;
    const structured = optionBytes(NBD_OPT_STRUCTURED_REPLY);
    const floods = [
      optionBytes(4242, new Uint8Array(60_000)),
      optionBytes(NBD_OPT_LIST),
      optionBytes(NBD_OPT_INFO, goBytes('demo', [1, 2, 3]).subarray(16)),
      metaContextBytes(
        'demo',
        Array.from({ length: 8_000 }, () => 'x:y'),
      ),
    ];
    for (const option of floods) {
      const abuser = await abuse(clientFlags(), structured);
      for (let n = 0; n < 1_100 && !abuser.closed; n += 1) {
        abuser.conn.write([option]);
        if (n % 50 === 0) await host.clock.sleep(1);
      }
      await abuser.until('the flood ends', () => abuser.closed);
    }
    const taken = process.memoryUsage().arrayBuffers - before;
    assert.ok(taken < 128 * MIB, `${taken} bytes`);
  });
});

test('Half-open writes of 64 MiB hold address space, not memory', async () => {
  await withServer(async ({ abuse }) => {
    const open = concatBytes([
      clientFlags(),
      goBytes('demo'),
      requestBytes(NBD_CMD_WRITE, 1, 0, 64 * MIB),
      new Uint8Array(1000),
    ]);
    const before = process.memoryUsage.rss();
    for (let n = 0; n < 60; n += 1) await abuse(open);
    await host.clock.sleep(300);
    const taken = process.memoryUsage.rss() - before;
    assert.ok(taken < 512 * MIB, `${taken} bytes for 60 of them`);
  });
});

test('An NBD socket is for its owner alone', async () => {
  await withServer(async ({ address }) => {
    assert.equal(address.kind === 'unix' && statSync(address.path).mode & 0o777, 0o600);
    return Promise.resolve();
  });
});
