/**
 * A process that serves a disk which can become slow: memory behind FUSE and a loop device, with an
 * XFS or ext4 on it. It reads commands from its standard input, and ends in order when that is
 * closed:
 *
 *     slow MS   every request waits so long        hang      no request is answered
 *     release   as fast as memory again
 */
import { execFile } from 'node:child_process';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { type BlockDevice, type BlockRequest, MemoryDevice } from '#data/block/mod.ts';
import { FuseFrontend } from '#data/frontend/mod.ts';
import { createNodeHost, NodeFuseMounts } from '#host/node/mod.ts';

const run = promisify(execFile);
const [, , directory = '', mountPoint = '', sizeText = '', fsType = 'xfs'] = process.argv;

/** Passes requests on now, later, or not before it is released. */
class MoodyDevice implements BlockDevice {
  readonly #below: BlockDevice;
  readonly #held = new Set<BlockRequest>();
  #delayMs = 0;

  constructor(below: BlockDevice) {
    this.#below = below;
  }

  get sizeBytes(): number {
    return this.#below.sizeBytes;
  }

  get limits(): BlockDevice['limits'] {
    return this.#below.limits;
  }

  get capabilities(): BlockDevice['capabilities'] {
    return this.#below.capabilities;
  }

  setDelay(delayMs: number): void {
    this.#delayMs = delayMs;
    if (delayMs > 0) return;
    for (const request of [...this.#held]) this.#pass(request);
  }

  submit(request: BlockRequest): void {
    this.#held.add(request);
    if (this.#delayMs === 0) this.#pass(request);
    else if (Number.isFinite(this.#delayMs)) setTimeout(() => this.#pass(request), this.#delayMs);
  }

  extents(offsetBytes: number, lengthBytes: number): ReturnType<BlockDevice['extents']> {
    return this.#below.extents(offsetBytes, lengthBytes);
  }

  close(): Promise<void> {
    return this.#below.close();
  }

  /** Once: by its timer or by the release. */
  #pass(request: BlockRequest): void {
    if (this.#held.delete(request)) this.#below.submit(request);
  }
}

const host = createNodeHost({ logLevel: 'silent' });
const device = new MoodyDevice(new MemoryDevice({ sizeBytes: Number(sizeText) }));
const session = {
  mounts: new NodeFuseMounts(host.exec),
  disk: host.disk,
  log: host.log,
  imageFile: `${directory}/disk.img`,
  stateFile: `${directory}/disk.json`,
  openDevice: () => device,
  epoch: 1,
};
const frontend = await FuseFrontend.start(session);
try {
  const force = fsType === 'xfs' ? '-f' : '-F';
  await run(`mkfs.${fsType}`, ['-q', force, frontend.report().url]);
  await run('mount', [frontend.report().url, mountPoint]);
} catch (error) {
  await FuseFrontend.clear(session);
  throw error;
}
process.stdout.write('ready\n');

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const [command, value] = line.split(' ');
  if (command === 'slow') device.setDelay(Number(value));
  else device.setDelay(command === 'hang' ? Number.POSITIVE_INFINITY : 0);
  process.stdout.write(`${line}\n`);
});
lines.on('close', () => {
  device.setDelay(0);
  void end();
});

async function end(): Promise<void> {
  await run('umount', [mountPoint]).catch(() => run('umount', ['-l', mountPoint]));
  await FuseFrontend.clear(session);
  process.exit(0);
}
