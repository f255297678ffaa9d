import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { hasCode } from '#api/mod.ts';
import { AlignDevice, MemoryDevice, readDevice, writeDevice } from '#data/block/mod.ts';
import { describeBlockDevice, patternBytes } from '#data/block/block-device.testkit.ts';
import { MovingDevice } from '#data/block/moving-device.testkit.ts';
import { createNodeHost } from '#host/node/mod.ts';
import type { Address } from '#host/mod.ts';
import { NbdClientDevice } from './nbd-client.ts';
import { NbdServer } from './nbd-server.ts';

const host = createNodeHost({ logLevel: 'silent' });

async function openLoopback(minBytes: number, sizeBytes = 4 * 1024 * 1024) {
  return openOver(new MemoryDevice({ sizeBytes, minBytes, crashable: true }), minBytes);
}

async function openMoving() {
  const moving = new MovingDevice(4 * 1024 * 1024);
  const opened = await openOver(moving, 4096);
  const close = async (): Promise<void> => {
    await opened.close();
    await moving.close();
    assert.equal(moving.changedCount, 0, 'arrays used again that a disk still has');
  };
  return { ...opened, close };
}

async function openOver(memory: MemoryDevice, minBytes: number) {
  const directory = await mkdtemp(path.join(tmpdir(), 'holdfast-nbd-'));
  const address: Address = { kind: 'unix', path: path.join(directory, 'nbd.sock') };
  const below = minBytes > 512 ? new AlignDevice(memory, { minBytes: 512 }) : memory;
  const exports = [{ name: 'demo', description: '', device: below }];
  const server = await NbdServer.start(host, { address, exports: () => exports });
  let device = await NbdClientDevice.connect(host, address, 'demo');
  return {
    device,
    server,
    address,
    close: async () => {
      await device.close();
      await server.stop();
      await rm(directory, { recursive: true });
    },
    reopenAfterCrash: async () => {
      await device.close();
      memory.crash();
      device = await NbdClientDevice.connect(host, address, '');
      return device;
    },
  };
}

describeBlockDevice('NBD loop-back of 512', () => openLoopback(512));
describeBlockDevice('NBD loop-back on disks that hang', openMoving);
describeBlockDevice('NBD loop-back with AlignDevice on 4096', () => openLoopback(4096));

test('NbdClientDevice splits trim and zero of more than 32 bits', async () => {
  const opened = await openLoopback(4096, 2 ** 33);
  const data = patternBytes(4096, 1);
  await writeDevice(opened.device, 2 ** 33 - 4096, data);
  const extents = await opened.device.extents(0, 2 ** 33);
  assert.equal(extents.at(-1)?.kind, 'data');
  await new Promise<void>((resolve, reject) => {
    opened.device.submit({
      verb: 'trim',
      offsetBytes: 0,
      lengthBytes: 2 ** 33,
      data: new Uint8Array(),
      fua: false,
      keepAllocated: false,
      done: (_request, error) => (error === null ? resolve() : reject(error)),
    });
  });
  assert.deepEqual(await readDevice(opened.device, 2 ** 33 - 4096, 4096), new Uint8Array(4096));
  await opened.close();
});

test('NbdClientDevice rejects an unknown export with not-found', async () => {
  const opened = await openLoopback(512);
  await assert.rejects(NbdClientDevice.connect(host, opened.address, 'nobody'), (error) =>
    hasCode(error, 'not-found'),
  );
  await opened.close();
});

test('NbdClientDevice fails what is in flight when the server goes away', async () => {
  const opened = await openLoopback(512);
  opened.server.failSessions('demo', Infinity);
  await assert.rejects(readDevice(opened.device, 0, 512), (error) =>
    hasCode(error, 'disconnected'),
  );
  await opened.close();
});
