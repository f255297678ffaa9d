import { test } from 'node:test';
import assert from 'node:assert/strict';
import { HoldfastError } from '#api/mod.ts';
import { patternBytes } from './block-device.testkit.ts';
import {
  AlignDevice,
  type BlockRequest,
  createRequest,
  ErrorDevice,
  MemoryDevice,
  readDevice,
  trimDevice,
  writeDevice,
} from './mod.ts';

/** Holds requests until the test lets them go. */
class HeldDevice extends MemoryDevice {
  readonly held: BlockRequest[] = [];
  holding = true;
  override submit(request: BlockRequest): void {
    if (this.holding) this.held.push(request);
    else super.submit(request);
  }
  /** Lets the oldest go. */
  step(): void {
    const request = this.held.shift();
    assert.ok(request);
    super.submit(request);
  }
}

function write(device: AlignDevice, offsetBytes: number, data: Uint8Array): { done: boolean } {
  const state = { done: false };
  const request = createRequest();
  Object.assign(request, { verb: 'write', offsetBytes, lengthBytes: data.byteLength, data });
  request.done = (_request, error) => {
    assert.equal(error, null);
    state.done = true;
  };
  device.submit(request);
  return state;
}

test('AlignDevice makes a whole-block write wait for a part of the block in flight', async () => {
  const below = new HeldDevice({ sizeBytes: 65536, minBytes: 4096 });
  const device = new AlignDevice(below);
  const part = write(device, 10, new Uint8Array(5).fill(1));
  const whole = write(device, 0, new Uint8Array(4096).fill(2));
  const elsewhere = write(device, 4096, new Uint8Array(4096).fill(3));
  assert.deepEqual(
    below.held.map(({ verb, offsetBytes }) => `${verb} ${offsetBytes}`),
    ['read 0', 'write 4096'],
  );
  below.step();
  below.step();
  assert.ok(elsewhere.done);
  below.step();
  assert.ok(part.done && !whole.done);
  below.step();
  assert.ok(whole.done);
  below.holding = false;
  assert.deepEqual(await readDevice(device, 0, 4096), new Uint8Array(4096).fill(2));
});

test('AlignDevice makes a part of a block wait for the whole block in flight', async () => {
  const below = new HeldDevice({ sizeBytes: 65536, minBytes: 4096 });
  const device = new AlignDevice(below);
  write(device, 0, new Uint8Array(4096).fill(2));
  const part = write(device, 10, new Uint8Array(5).fill(1));
  assert.equal(below.held.length, 1);
  while (below.held.length > 0) below.step();
  assert.ok(part.done);
  below.holding = false;
  const expected = new Uint8Array(4096).fill(2).fill(1, 10, 15);
  assert.deepEqual(await readDevice(device, 0, 4096), expected);
});

test('AlignDevice passes aligned requests on without reading', () => {
  const below = new HeldDevice({ sizeBytes: 65536, minBytes: 4096 });
  const device = new AlignDevice(below);
  write(device, 4096, patternBytes(8192, 1));
  assert.deepEqual(
    below.held.map(({ verb, offsetBytes, lengthBytes }) => [verb, offsetBytes, lengthBytes]),
    [['write', 4096, 8192]],
  );
});

test('AlignDevice rounds a trim inwards and writes its edges as zeroes', async () => {
  const below = new HeldDevice({ sizeBytes: 65536, minBytes: 4096 });
  const device = new AlignDevice(below);
  below.holding = false;
  await writeDevice(device, 0, patternBytes(65536, 1));
  below.holding = true;
  const trimmed = trimDevice(device, 4000, 8392, { fua: true });
  const seen: string[] = [];
  for (let next = below.held[0]; next !== undefined; next = below.held[0]) {
    seen.push(`${next.verb} ${next.offsetBytes} ${next.lengthBytes} ${next.fua}`);
    below.step();
  }
  await trimmed;
  assert.deepEqual(seen.toSorted(), [
    'read 0 4096 false',
    'read 12288 4096 false',
    'trim 4096 8192 true',
    'write 0 4096 true',
    'write 12288 4096 true',
  ]);
  below.holding = false;
  const expected = patternBytes(65536, 1).fill(0, 4000, 4000 + 8392);
  assert.deepEqual(await readDevice(device, 0, 65536), expected);
});

test('AlignDevice says effect unknown when a part of a request was applied', async () => {
  const faulty = new ErrorDevice(new MemoryDevice({ sizeBytes: 65536, minBytes: 4096 }));
  faulty.plant({ code: 'io-error', verb: 'write', range: { offsetBytes: 0, lengthBytes: 4096 } });
  const device = new AlignDevice(faulty);
  const failed = (effect: string) => (error: unknown) =>
    HoldfastError.is(error) && error.code === 'io-error' && error.effect === effect;
  await assert.rejects(writeDevice(device, 100, patternBytes(5000, 1)), failed('unknown'));
  await assert.rejects(writeDevice(device, 100, patternBytes(50, 1)), failed('none'));
  await writeDevice(device, 4096, patternBytes(50, 1));
});
