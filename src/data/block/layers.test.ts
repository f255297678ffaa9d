import { test } from 'node:test';
import assert from 'node:assert/strict';
import { HoldfastError } from '#api/mod.ts';
import { SimWorld } from '#host/sim/mod.ts';
import { patternBytes, randomBelow } from './block-device.testkit.ts';
import {
  type BlockLogEvent,
  DelayDevice,
  ErrorDevice,
  flushDevice,
  LogDevice,
  MemoryDevice,
  OffsetDevice,
  readDevice,
  trimDevice,
  writeDevice,
} from './mod.ts';

function memory(): MemoryDevice {
  return new MemoryDevice({ sizeBytes: 1024 * 1024, minBytes: 512, crashable: true });
}

function failedWith(code: string, effect: string) {
  return (error: unknown) =>
    HoldfastError.is(error) && error.code === code && error.effect === effect;
}

test('writeDevice splits at the longest transfer and says when only a part was written', async () => {
  const below = new MemoryDevice({ sizeBytes: 65536, maxBytes: 4096 });
  const faulty = new ErrorDevice(below);
  const data = patternBytes(20_000, 1);
  await writeDevice(faulty, 100, data);
  assert.deepEqual(await readDevice(faulty, 100, 20_000), data);
  faulty.plant({ code: 'no-space', verb: 'write', nth: 3 });
  await assert.rejects(writeDevice(faulty, 100, data), failedWith('no-space', 'unknown'));
});

test('ErrorDevice fails by verb, range, count and probability', async () => {
  const device = new ErrorDevice(memory(), {
    rng: {
      u32: () => 0,
      below: () => 0,
      float: (() => {
        const below = randomBelow(5);
        return () => below(1000) / 1000;
      })(),
      bytes: () => new Uint8Array(),
    },
  });
  const block = patternBytes(512, 1);
  const remove = device.plant({
    code: 'io-error',
    verb: 'read',
    range: { offsetBytes: 1024, lengthBytes: 512 },
  });
  await writeDevice(device, 1024, block);
  await readDevice(device, 0, 1024);
  await assert.rejects(readDevice(device, 512, 1024), failedWith('io-error', 'none'));
  remove();
  await readDevice(device, 512, 1024);
  device.plant({ code: 'no-space', verb: 'write', nth: 2, when: 'after' });
  await writeDevice(device, 0, block);
  await assert.rejects(writeDevice(device, 512, block), failedWith('no-space', 'unknown'));
  assert.deepEqual(await readDevice(device, 512, 512), block);
  await writeDevice(device, 0, block);
  device.plant({ code: 'timed-out', verb: 'flush', probability: 0.3 });
  let failedCount = 0;
  for (let n = 0; n < 1000; n++) await flushDevice(device).catch(() => failedCount++);
  assert.ok(failedCount > 200 && failedCount < 400, `${failedCount} of 1000`);
});

test('DelayDevice takes its time by verb and close waits', async () => {
  const world = new SimWorld(1);
  const { clock } = world.addNode('a');
  const device = new DelayDevice(memory(), { clock, latencyMs: { write: 100 } });
  const startMs = clock.monotonicMs();
  let writtenMs = 0;
  await world.finish(
    (async () => {
      const write = writeDevice(device, 0, patternBytes(512, 1)).then(() => {
        writtenMs = clock.monotonicMs();
      });
      assert.deepEqual(await readDevice(device, 0, 512), new Uint8Array(512));
      await device.close();
      await write;
    })(),
  );
  assert.ok(writtenMs - startMs >= 100);
});

test('LogDevice tells of requests and completions in their order', async () => {
  const events: BlockLogEvent[] = [];
  const faulty = new ErrorDevice(memory());
  faulty.plant({ code: 'io-error', verb: 'trim' });
  const device = new LogDevice(faulty, (event) => events.push(event));
  await writeDevice(device, 512, patternBytes(512, 1), { fua: true });
  await assert.rejects(trimDevice(device, 0, 512));
  assert.deepEqual(
    events.map((event) => `${event.kind} ${event.id} ${event.verb} ${event.errorCode ?? '-'}`),
    ['request 1 write -', 'completion 1 write -', 'request 2 trim -', 'completion 2 trim io-error'],
  );
  assert.equal(events[0]?.fua, true);
});

test('OffsetDevice keeps windows apart and leaves the device open', async () => {
  const below = memory();
  const first = new OffsetDevice(below, { offsetBytes: 0, sizeBytes: 4096 });
  const second = new OffsetDevice(below, { offsetBytes: 4096, sizeBytes: 4096 });
  await writeDevice(second, 0, patternBytes(4096, 1));
  assert.deepEqual(await readDevice(first, 0, 4096), new Uint8Array(4096));
  await assert.rejects(readDevice(first, 4096, 512), failedWith('out-of-range', 'none'));
  await first.close();
  assert.deepEqual(await readDevice(second, 0, 4096), patternBytes(4096, 1));
});

test('MemoryDevice tears writes at sectors when it crashes with an rng', async () => {
  const device = memory();
  await writeDevice(device, 0, new Uint8Array(65536).fill(1));
  await flushDevice(device);
  await writeDevice(device, 0, new Uint8Array(65536).fill(2));
  const below = randomBelow(9);
  device.crash({ u32: () => 0, below, float: () => 0, bytes: () => new Uint8Array() });
  const data = await readDevice(device, 0, 65536);
  let newCount = 0;
  for (let at = 0; at < 65536; at += 512) {
    const sector = data.subarray(at, at + 512);
    assert.ok(sector.every((byte) => byte === sector[0]));
    if (sector[0] === 2) newCount++;
  }
  assert.ok(newCount > 30 && newCount < 98, `${newCount} of 128 sectors`);
});
