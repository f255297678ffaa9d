import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BlockExtent, isBlank, MemoryDevice, writeDevice } from './mod.ts';

test('A device is blank until its first write, wherever that is', async () => {
  for (const offsetBytes of [0, 512, 2 ** 20 - 512]) {
    const device = new MemoryDevice({ sizeBytes: 2 ** 20, minBytes: 512 });
    assert.equal(await isBlank(device), true);
    await writeDevice(device, offsetBytes, new Uint8Array(512).fill(1));
    assert.equal(await isBlank(device), false, `written at ${offsetBytes}`);
  }
});

test('Zeroes that were written, and what a device cannot tell, are not blank', async () => {
  const sizeBytes = 40 * 2 ** 30;
  for (const kind of ['zero', 'data'] as const) {
    const asked: number[] = [];
    const extents = (offsetBytes: number, lengthBytes: number): Promise<BlockExtent[]> => {
      asked.push(offsetBytes);
      const isLast = offsetBytes + lengthBytes === sizeBytes;
      return Promise.resolve([{ offsetBytes, lengthBytes, kind: isLast ? kind : 'hole' }]);
    };
    assert.equal(await isBlank({ sizeBytes, extents }), false);
    assert.equal(asked.length, 3, 'asked window by window');
  }
});
