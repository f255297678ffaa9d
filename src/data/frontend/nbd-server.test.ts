import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { hasCode } from '#api/mod.ts';
import { flushDevice, MemoryDevice, readDevice, writeDevice } from '#data/block/mod.ts';
import { patternBytes } from '#data/block/block-device.testkit.ts';
import { createNodeHost } from '#host/node/mod.ts';
import type { Address } from '#host/mod.ts';
import { NbdClientDevice } from './nbd-client.ts';
import { type NbdExport, NbdServer, type NbdServerOptions } from './nbd-server.ts';

const host = createNodeHost({ logLevel: 'silent' });
const MIB = 1024 * 1024;

function demo(name = 'demo'): NbdExport & { device: MemoryDevice } {
  const device = new MemoryDevice({ sizeBytes: MIB, minBytes: 512, crashable: true });
  return { name, description: `default/${name}`, device };
}

async function withServer(
  exports: NbdExport[],
  run: (
    server: NbdServer,
    connect: (name: string) => Promise<NbdClientDevice>,
    address: Address,
  ) => Promise<void>,
  options: Partial<NbdServerOptions> = {},
): Promise<void> {
  const directory = await mkdtemp(path.join(tmpdir(), 'holdfast-nbd-'));
  const address: Address = { kind: 'unix', path: path.join(directory, 'nbd.sock') };
  const server = await NbdServer.start(host, { address, exports: () => exports, ...options });
  try {
    const connect = (name: string) => NbdClientDevice.connect(host, address, name);
    await run(server, connect, address);
  } finally {
    await server.stop();
    await rm(directory, { recursive: true });
  }
}

test('NbdServer serves the only export under the empty name, of several none', async () => {
  const exports = [demo('a')];
  await withServer(exports, async (_server, connect) => {
    await (await connect('')).close();
    exports.push(demo('b'));
    await assert.rejects(connect(''), (error) => hasCode(error, 'not-found'));
    await (await connect('b')).close();
  });
});

test('NbdServer lets a flush on one connection cover the writes of another', async () => {
  const served = demo();
  await withServer([served], async (_server, connect) => {
    const [one, two] = await Promise.all([connect('demo'), connect('demo')]);
    const data = patternBytes(4096, 1);
    await writeDevice(one, 0, data);
    assert.deepEqual(await readDevice(two, 0, 4096), data);
    await flushDevice(two);
    served.device.crash();
    assert.deepEqual(await readDevice(two, 0, 4096), data);
    await Promise.all([one.close(), two.close()]);
  });
});

test('NbdServer shows a grown size to new connections', async () => {
  const served = demo();
  await withServer([served], async (_server, connect) => {
    const before = await connect('demo');
    served.device.grow(2 * MIB);
    const after = await connect('demo');
    assert.deepEqual([before.sizeBytes, after.sizeBytes], [MIB, 2 * MIB]);
    await writeDevice(after, 2 * MIB - 512, patternBytes(512, 1));
    await Promise.all([before.close(), after.close()]);
  });
});

test('NbdServer fails the sessions that began before a time, and no others', async () => {
  await withServer([demo('a'), demo('b')], async (server, connect) => {
    const old = await connect('a');
    const other = await connect('b');
    await host.clock.sleep(5);
    const beforeMs = host.clock.monotonicMs();
    await host.clock.sleep(5);
    const young = await connect('a');
    assert.equal(server.failSessions('a', beforeMs), 1);
    await assert.rejects(readDevice(old, 0, 512), (error) => hasCode(error, 'disconnected'));
    await readDevice(young, 0, 512);
    await readDevice(other, 0, 512);
    await Promise.all([old.close(), young.close(), other.close()]);
  });
});

test('NbdServer closes connections beyond its cap until there is room again', async () => {
  const run = async (
    server: NbdServer,
    connect: (name: string) => Promise<NbdClientDevice>,
  ): Promise<void> => {
    const two = await Promise.all([connect('demo'), connect('demo')]);
    await assert.rejects(connect('demo'), (error) => hasCode(error, 'disconnected'));
    await two[0].close();
    while (server.sessionCount > 1) await host.clock.sleep(1);
    await (await connect('demo')).close();
    await two[1].close();
  };
  await withServer([demo()], run, { connectionCountMax: 2 });
});

test('NbdServer closes a client that says nothing', async () => {
  const run = async (_server: NbdServer, _connect: unknown, address: Address): Promise<void> => {
    const conn = await host.net.connect(address, { timeoutMs: 1000 });
    await new Promise<void>((resolve) =>
      conn.start({ onBytes: () => undefined, onClose: () => resolve() }),
    );
    conn.close();
  };
  await withServer([demo()], run, { handshakeTimeoutMs: 20 });
});

test('NbdServer refuses an address that is in use', async () => {
  await withServer([demo()], async (_server, _connect, address) => {
    await assert.rejects(NbdServer.start(host, { address, exports: () => [] }), (error) =>
      hasCode(error, 'address-in-use'),
    );
  });
});

test('NbdServer keeps the answers of what was sent before stop', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'holdfast-nbd-'));
  const address: Address = { kind: 'unix', path: path.join(directory, 'nbd.sock') };
  const server = await NbdServer.start(host, { address, exports: () => [demo()] });
  const client = await NbdClientDevice.connect(host, address, 'demo');
  await writeDevice(client, 0, patternBytes(512, 1));
  await server.stop();
  while (server.sessionCount > 0) await host.clock.sleep(1);
  await assert.rejects(readDevice(client, 0, 512), (error) => hasCode(error, 'disconnected'));
  await rm(directory, { recursive: true });
});
