import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { DiskLanes, type LaneCall } from './disk-lanes.ts';
import { addressOf } from './syscalls.ts';

const BYTES = 512;

test('Lanes that had nothing to do end, and every call finds one', async () => {
  const directory = mkdtempSync(`${tmpdir()}/hf-lanes-`);
  const fd = openSync(`${directory}/file`, 'w+');
  const lanes = new DiskLanes({ firstMs: 30, otherMs: 10 });
  const data = new Uint8Array(BYTES).fill(7);
  const write = (count: number): Promise<number> =>
    new Promise((finish) => {
      const call: LaneCall = {
        verb: count % 3 === 0 ? 'flush' : 'write',
        fd,
        address: addressOf(data),
        length: BYTES,
        offset: count * BYTES,
        finish,
      };
      lanes.submit(call);
    });
  try {
    // About as long as a lane waits, so that calls meet lanes that are about to end.
    for (let count = 0; count < 40; count += 1) {
      const expected = count % 3 === 0 ? 0 : BYTES;
      assert.deepEqual(await Promise.all([write(count), write(count)]), [expected, expected]);
      await pause(20 + (count % 20));
    }
    for (let waitedMs = 0; lanes.lanes > 0; waitedMs += 20) {
      assert.ok(waitedMs < 20_000, 'an idle lane stays for ever');
      await pause(20);
    }
    assert.equal(await write(1), BYTES);
  } finally {
    closeSync(fd);
    rmSync(directory, { recursive: true });
  }
});
