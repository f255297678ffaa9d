import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { HoldfastError } from '#api/mod.ts';
import type { Clock } from '#host/mod.ts';
import {
  blockDeviceChecks,
  describeBlockDevice,
  type OpenedDevice,
  patternBytes,
  randomBelow,
} from './block-device.testkit.ts';
import { MovingDevice } from './moving-device.testkit.ts';
import {
  AlignDevice,
  type BlockDevice,
  type BlockExtent,
  type BlockRequest,
  DelayDevice,
  ErrorDevice,
  LogDevice,
  MemoryDevice,
  OffsetDevice,
  readDevice,
  writeDevice,
} from './mod.ts';

const SIZE_BYTES = 2 * 1024 * 1024;

const clock: Pick<Clock, 'after'> = {
  after: (ms, fn) => {
    const timer = setTimeout(fn, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};

function over(
  minBytes: number,
  wrap: (memory: MemoryDevice) => BlockDevice,
): () => Promise<OpenedDevice> {
  return async () => {
    const below = randomBelow(7);
    const memory = new MemoryDevice({ sizeBytes: SIZE_BYTES, minBytes, crashable: true });
    let device = wrap(memory);
    return {
      device,
      close: () => device.close(),
      reopenAfterCrash: async () => {
        memory.crash({ u32: () => 0, below, float: () => 0, bytes: (n) => new Uint8Array(n) });
        device = wrap(memory);
        return device;
      },
    };
  };
}

function delayed(memory: BlockDevice): DelayDevice {
  const below = randomBelow(3);
  const rng = {
    u32: () => 0,
    below,
    float: () => below(1000) / 1000,
    bytes: () => new Uint8Array(),
  };
  return new DelayDevice(memory, {
    clock: clock as Clock,
    rng,
    latencyMs: { read: 0.2, write: 0.3, trim: 0.1, zero: 0.1 },
  });
}

for (const minBytes of [1, 512, 4096]) {
  describeBlockDevice(
    `MemoryDevice of ${minBytes}`,
    over(minBytes, (memory) => memory),
  );
}
describeBlockDevice(
  'AlignDevice 1 on 4096',
  over(4096, (memory) => new AlignDevice(memory)),
);
describeBlockDevice(
  'AlignDevice 512 on 4096',
  over(4096, (memory) => new AlignDevice(memory, { minBytes: 512 })),
);
describeBlockDevice(
  'AlignDevice on a slow device',
  over(4096, (memory) => new AlignDevice(delayed(memory))),
  { randomCount: 100 },
);
describeBlockDevice(
  'OffsetDevice',
  over(512, (memory) => new OffsetDevice(memory, { offsetBytes: 65536 + 512, sizeBytes: 1 << 20 })),
);
describeBlockDevice('DelayDevice', over(512, delayed), { randomCount: 100 });
describeBlockDevice(
  'ErrorDevice',
  over(512, (memory) => new ErrorDevice(memory)),
);
describeBlockDevice(
  'LogDevice',
  over(512, (memory) => new LogDevice(memory, () => undefined)),
);

/** Closing says whether an array that was not given back was used again. */
function overMoving(wrap: (below: BlockDevice) => BlockDevice): () => Promise<OpenedDevice> {
  return async () => {
    const below = new MovingDevice(SIZE_BYTES);
    const device = wrap(below);
    const close = async (): Promise<void> => {
      await device.close();
      assert.equal(below.changedCount, 0, 'arrays used again that a disk still has');
    };
    return { device, close };
  };
}

describeBlockDevice(
  'MovingDevice',
  overMoving((below) => below),
);
describeBlockDevice(
  'AlignDevice on disks that hang',
  overMoving((below) => new AlignDevice(below)),
);
describeBlockDevice(
  'LogDevice on disks that hang',
  overMoving((below) => new LogDevice(below, () => undefined)),
);

test('readDevice and writeDevice keep apart from disks that hang', async () => {
  const moving = new MovingDevice(SIZE_BYTES);
  const device = new OffsetDevice(moving, { offsetBytes: 4096, sizeBytes: 1 << 20 });
  const data = patternBytes(3 * device.limits.maxBytes > 1 << 20 ? 1 << 20 : 4096, 5);
  await writeDevice(device, 0, data);
  data.fill(1);
  const found = await readDevice(device, 0, data.byteLength);
  assert.equal(Buffer.compare(found, patternBytes(data.byteLength, 5)), 0);
  await device.close();
  assert.equal(moving.changedCount, 0);
});

test('The conformance suite catches a layer that drops the array a read came back with', async () => {
  const caught: string[] = [];
  for (const check of blockDeviceChecks()) {
    const below = new MovingDevice(SIZE_BYTES);
    const opened = { device: new DropsArray(below), close: () => below.close() };
    await check.run(opened).catch(() => caught.push(check.name));
  }
  assert.ok(caught.includes('reads back what was written'), caught.join());
});

/** Completes the request it was given, with the array it was given. */
class DropsArray extends AlignDevice {
  override submit(request: BlockRequest): void {
    const { data, done } = request;
    request.done = (_given, error) => {
      Object.assign(request, { data, done });
      done(request, error);
    };
    super.submit(request);
  }
}

/** A device that is a MemoryDevice but for one mistake. */
class BrokenDevice extends MemoryDevice implements BlockDevice {
  readonly #mistake: Mistake;
  constructor(mistake: Mistake) {
    super({ sizeBytes: SIZE_BYTES, minBytes: 512, crashable: true });
    this.#mistake = mistake;
  }
  override submit(request: BlockRequest): void {
    this.#mistake.submit(request, (given) => super.submit(given));
  }
  override async extents(offsetBytes: number, lengthBytes: number): Promise<BlockExtent[]> {
    const extents = await super.extents(offsetBytes, lengthBytes);
    return this.#mistake.extents?.(extents) ?? extents;
  }
}

interface Mistake {
  readonly name: string;
  submit(request: BlockRequest, forward: (request: BlockRequest) => void): void;
  extents?(extents: BlockExtent[]): BlockExtent[];
}

/** Forwards a changed copy, and completes the original. */
function changed(
  request: BlockRequest,
  forward: (request: BlockRequest) => void,
  change: Partial<BlockRequest>,
): void {
  const done = (_given: BlockRequest, error: HoldfastError | null) => request.done(request, error);
  forward({ ...request, done, ...change });
}

const mistakes: readonly Mistake[] = [
  {
    name: 'a short write',
    submit: (request, forward) => {
      const short = request.verb === 'write' && request.lengthBytes > 4096;
      const data = request.data.subarray(0, request.lengthBytes - 512);
      if (short) changed(request, forward, { data, lengthBytes: data.byteLength });
      else forward(request);
    },
  },
  {
    name: 'a lost trim',
    submit: (request, forward) => {
      if (request.verb === 'trim') request.done(request, null);
      else forward(request);
    },
  },
  {
    name: 'an unaligned request accepted',
    submit: (request, forward) => {
      if (request.offsetBytes % 512 === 0) forward(request);
      else request.done(request, null);
    },
  },
  {
    name: 'a double completion',
    submit: (request, forward) => {
      forward(request);
      if (request.verb === 'write') setImmediate(() => request.done(request, null));
    },
  },
  (() => {
    let stale: Uint8Array | null = null;
    return {
      name: 'a stale read',
      submit: (request, forward) => {
        if (request.verb === 'read' && request.offsetBytes === 0) {
          if (stale?.byteLength !== request.lengthBytes) forward(request);
          else {
            request.data.set(stale);
            request.done(request, null);
          }
          stale = request.data.slice();
        } else forward(request);
      },
    } satisfies Mistake;
  })(),
  {
    name: 'a flush that is none',
    submit: (request, forward) => {
      if (request.verb === 'flush') request.done(request, null);
      else forward(request);
    },
  },
  {
    name: 'forced unit access ignored',
    submit: (request, forward) => {
      if (request.fua) changed(request, forward, { fua: false });
      else forward(request);
    },
  },
  {
    name: 'a range moved while in flight',
    submit: (request, forward) => {
      if (request.verb === 'write' && request.offsetBytes === 512) request.lengthBytes += 0.5;
      if (request.verb === 'write' && request.lengthBytes % 1 !== 0) request.done(request, null);
      else forward(request);
    },
  },
  {
    name: 'data called a hole',
    submit: (request, forward) => forward(request),
    extents: (extents) => {
      const first = extents[0];
      const end = extents.at(-1);
      if (first === undefined || end === undefined) return extents;
      const lengthBytes = end.offsetBytes + end.lengthBytes - first.offsetBytes;
      return [{ offsetBytes: first.offsetBytes, lengthBytes, kind: 'hole' }];
    },
  },
  {
    name: 'requests served after close',
    submit: (request, forward) => {
      changed(request, forward, {
        done: (_given, error) => request.done(request, error?.code === 'aborted' ? null : error),
      });
    },
  },
  {
    name: 'torn writes within a block',
    submit: (request, forward) => {
      const { verb, lengthBytes, data, offsetBytes } = request;
      if (verb !== 'write' || lengthBytes !== 4096) return forward(request);
      const half = lengthBytes / 2;
      const low = { data: data.subarray(0, half), lengthBytes: half, done: () => undefined };
      forward({ ...request, ...low });
      const high = data.slice(half);
      setImmediate(() => {
        changed(request, forward, {
          data: high,
          lengthBytes: half,
          offsetBytes: offsetBytes + half,
        });
      });
    },
  },
];

for (const mistake of mistakes) {
  test(`The conformance suite catches ${mistake.name}`, async () => {
    const caught: string[] = [];
    for (const check of blockDeviceChecks()) {
      const device = new BrokenDevice(mistake);
      const opened: OpenedDevice = {
        device,
        close: () => device.close(),
        reopenAfterCrash: async () => {
          device.crash();
          return device;
        },
      };
      await check.run(opened).catch(() => caught.push(check.name));
    }
    assert.notDeepEqual(caught, []);
  });
}
