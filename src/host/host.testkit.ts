/**
 * What every Host must do, run over host/node and host/sim (host.test.ts). A check is a function
 * that throws, so that broken hosts can be shown to fail it.
 */
import { deepEqual, equal, notEqual, ok, rejects } from 'node:assert/strict';
import { hasCode, type ErrorCode } from '#api/mod.ts';
import { crc32c, equalBytes, isZero } from '#lib/mod.ts';
import type { Address, Conn, ConnHandler, DiskFile, DiskRequest, Host } from './mod.ts';

export interface HostFixture {
  readonly host: Host;
  /** An empty directory. */
  readonly directory: string;
  /** Where to listen: a TCP port is 0. */
  readonly addresses: readonly Address[];
  /** Where the power can be pulled: the Host of the next life. */
  readonly losePower?: () => Host;
}

export interface HostCheck {
  readonly name: string;
  readonly run: (fixture: HostFixture) => Promise<void>;
}

const KIB = 1024;

async function createFile(fixture: HostFixture, name: string): Promise<DiskFile> {
  return fixture.host.disk.open(`${fixture.directory}/${name}`, { write: true, create: 'new' });
}

function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + seed) & 0xff;
  return bytes;
}

async function fails(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  await rejects(promise, (error) => {
    ok(hasCode(error, code), `expected ${code}, got ${String(error)}`);
    return true;
  });
}

/** Listens, connects, and gives both ends. */
async function connectPair(
  fixture: HostFixture,
  address: Address,
): Promise<{ client: Conn; server: Conn; stop: () => Promise<void> }> {
  const { net } = fixture.host;
  const { promise: accepted, resolve } = Promise.withResolvers<Conn>();
  const listener = await net.listen(address, resolve);
  const client = await net.connect(listener.address, { timeoutMs: 5000 });
  const server = await accepted;
  const stop = async (): Promise<void> => {
    client.close();
    server.close();
    await listener.close();
  };
  return { client, server, stop };
}

/** Copies what arrives. */
class Inbox implements ConnHandler {
  bytesTotal = 0;
  crc = 0;
  drains = 0;
  closed: string | undefined;
  #wanted: { readonly until: () => boolean; readonly resolve: () => void } | undefined;

  onBytes(bytes: Uint8Array): void {
    this.bytesTotal += bytes.byteLength;
    this.crc = crc32c(bytes, this.crc);
    this.#check();
  }

  onDrain(): void {
    this.drains++;
    this.#check();
  }

  onClose(error: { readonly code: string } | null): void {
    equal(this.closed, undefined, 'onClose is called once');
    this.closed = error === null ? 'end' : error.code;
    this.#check();
  }

  when(until: () => boolean): Promise<void> {
    if (until()) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wanted = { until, resolve };
    return promise;
  }

  #check(): void {
    if (this.#wanted?.until() === true) this.#wanted.resolve();
  }
}

const DISK_CHECKS: readonly HostCheck[] = [
  {
    name: 'Disk reads what was written and extends the file',
    run: async (fixture) => {
      const file = await createFile(fixture, 'f');
      const bytes = pattern(10_000, 1);
      await file.write(5000, bytes);
      equal((await file.stat()).sizeBytes, 15_000);
      deepEqual(await file.read(5000, 10_000), bytes);
      ok(isZero(await file.read(0, 5000)));
      await fails(file.read(14_999, 2), 'io-error');
      await file.flush();
      await file.close();
      await fails(file.read(0, 1), 'aborted');
      const again = await fixture.host.disk.open(`${fixture.directory}/f`, { write: false });
      deepEqual(await again.read(5000, 10_000), bytes);
      await fails(again.write(0, bytes), 'read-only');
      await again.close();
    },
  },
  {
    name: 'Disk opens what is there and creates what is not',
    run: async (fixture) => {
      const { disk } = fixture.host;
      const path = `${fixture.directory}/f`;
      await fails(disk.open(path, { write: true }), 'not-found');
      equal(await disk.stat(path), undefined);
      await (await createFile(fixture, 'f')).close();
      await fails(createFile(fixture, 'f'), 'already-exists');
      equal((await disk.stat(path))?.kind, 'file');
      equal((await disk.stat(fixture.directory))?.kind, 'directory');
      await fails(
        disk.open(`${fixture.directory}/no/f`, { write: true, create: 'new' }),
        'not-found',
      );
    },
  },
  {
    name: 'Disk completes every hot request once, also those submitted from done',
    run: async (fixture) => {
      const file = await createFile(fixture, 'f');
      await file.write(0, new Uint8Array(64 * 4 * KIB));
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      let left = 64;
      for (let i = 0; i < 64; i++) {
        const data = pattern(4 * KIB, i);
        let step = 0;
        const request: DiskRequest = {
          verb: 'write',
          offsetBytes: i * 4 * KIB,
          lengthBytes: 4 * KIB,
          data,
          done: (error) => {
            if (error !== null) return reject(error);
            step++;
            if (step === 1) {
              request.verb = 'read';
              request.data = new Uint8Array(4 * KIB);
              file.submit(request);
            } else if (step === 2) {
              if (crc32c(request.data) !== crc32c(data)) reject(new Error(`wrong data in ${i}`));
              request.verb = 'flush';
              file.submit(request);
            } else if (step === 3) {
              if (--left === 0) resolve();
            } else reject(new Error('completed twice'));
          },
        };
        file.submit(request);
      }
      await promise;
      await file.close();
    },
  },
  {
    name: 'Disk survives a long chain of submits from within done',
    run: async (fixture) => {
      const file = await createFile(fixture, 'f');
      await file.write(0, new Uint8Array(4 * KIB));
      const { promise, resolve } = Promise.withResolvers<void>();
      let left = 20_000;
      const request: DiskRequest = {
        verb: 'read',
        offsetBytes: 0,
        lengthBytes: 512,
        data: new Uint8Array(512),
        done: () => {
          if (--left === 0) resolve();
          else file.submit(request);
        },
      };
      file.submit(request);
      await promise;
      await file.close();
    },
  },
  {
    name: 'Disk trims, zeroes and tells holes from data',
    run: async (fixture) => {
      const file = await createFile(fixture, 'f');
      await file.write(0, pattern(256 * KIB, 3));
      await file.flush();
      const before = (await file.stat()).allocatedBytes;
      await file.trim(64 * KIB, 64 * KIB);
      await file.zero(192 * KIB, 4 * KIB);
      ok(isZero(await file.read(64 * KIB, 64 * KIB)));
      ok(isZero(await file.read(192 * KIB, 4 * KIB)));
      deepEqual(await file.read(0, 64 * KIB), pattern(256 * KIB, 3).subarray(0, 64 * KIB));
      await file.flush();
      ok((await file.stat()).allocatedBytes <= before - 64 * KIB, 'space was given back');
      const extents = await file.extents(0, 192 * KIB);
      deepEqual(extents, [
        { offsetBytes: 0, lengthBytes: 64 * KIB, kind: 'data' },
        { offsetBytes: 64 * KIB, lengthBytes: 64 * KIB, kind: 'hole' },
        { offsetBytes: 128 * KIB, lengthBytes: 64 * KIB, kind: 'data' },
      ]);
      await file.close();
    },
  },
  {
    name: 'Disk resizes: new bytes read as zero, cut ones do not come back',
    run: async (fixture) => {
      const file = await createFile(fixture, 'f');
      await file.resize(1024 * KIB);
      ok((await file.stat()).allocatedBytes < 64 * KIB);
      await file.write(0, pattern(8 * KIB, 4));
      await file.resize(5000);
      await file.resize(8 * KIB);
      const bytes = await file.read(0, 8 * KIB);
      deepEqual(bytes.subarray(0, 5000), pattern(8 * KIB, 4).subarray(0, 5000));
      ok(isZero(bytes.subarray(5000)));
      deepEqual(await file.extents(64 * KIB, 4 * KIB), [
        { offsetBytes: 64 * KIB, lengthBytes: 4 * KIB, kind: 'hole' },
      ]);
      await file.close();
    },
  },
  {
    name: 'Disk renames over a file, lists sorted, removes twice',
    run: async (fixture) => {
      const { disk } = fixture.host;
      const { directory } = fixture;
      await disk.makeDirectory(`${directory}/d/e`);
      await disk.makeDirectory(`${directory}/d/e`);
      const one = await createFile(fixture, 'd/one');
      await one.write(0, pattern(100, 1));
      await (await createFile(fixture, 'd/two')).close();
      await disk.rename(`${directory}/d/one`, `${directory}/d/two`);
      await disk.syncDirectory(`${directory}/d`);
      deepEqual(await disk.list(`${directory}/d`), ['e', 'two']);
      deepEqual(await one.read(0, 100), pattern(100, 1));
      await one.close();
      await fails(disk.rename(`${directory}/d/one`, `${directory}/d/x`), 'not-found');
      await fails(disk.remove(`${directory}/d`), 'already-exists');
      for (let i = 0; i < 2; i++) await disk.remove(`${directory}/d/two`);
      await disk.remove(`${directory}/d/e`);
      deepEqual(await disk.list(`${directory}/d`), []);
      await fails(disk.list(`${directory}/nowhere`), 'not-found');
    },
  },
  {
    name: 'Disk locks exclusively until released',
    run: async (fixture) => {
      const { disk } = fixture.host;
      const lock = await disk.lock(`${fixture.directory}/lock`);
      await fails(disk.lock(`${fixture.directory}/lock`), 'store-locked');
      await lock.release();
      await lock.release();
      await (await disk.lock(`${fixture.directory}/lock`)).release();
    },
  },
  {
    name: 'Disk recognises a file that was replaced, and the cache it has',
    run: async (fixture) => {
      const { disk } = fixture.host;
      const path = `${fixture.directory}/f`;
      const file = await createFile(fixture, 'f');
      const before = await file.stat();
      deepEqual(await disk.stat(path), before);
      const copy = await createFile(fixture, 'copy');
      await disk.rename(`${fixture.directory}/copy`, path);
      const after = await copy.stat();
      notEqual(`${after.inode} ${after.birthNs}`, `${before.inode} ${before.birthNs}`);
      equal(after.device, before.device);
      equal(
        await disk.cacheIdentity(fixture.directory),
        await disk.cacheIdentity(fixture.directory),
      );
      const space = await disk.space(fixture.directory);
      ok(space.freeBytes > 0 && space.freeBytes + space.usedBytes <= space.totalBytes);
      ok(space.freeInodes >= 0 && space.freeInodes <= space.totalInodes);
      ok(space.filesystem !== '' && space.deviceName !== '');
      await file.close();
      await copy.close();
    },
  },
];

const POWER_CHECKS: readonly HostCheck[] = [
  {
    name: 'Disk keeps over a power loss what was flushed and synced',
    run: async (fixture) => {
      const file = await createFile(fixture, 'f');
      for (let i = 0; i < 64; i++) await file.write(i * 4 * KIB, pattern(4 * KIB, i));
      await file.flush();
      const parent = fixture.directory.slice(0, fixture.directory.lastIndexOf('/')) || '/';
      await fixture.host.disk.syncDirectory(fixture.directory);
      await fixture.host.disk.syncDirectory(parent);
      const identity = await fixture.host.disk.cacheIdentity(fixture.directory);
      for (let i = 0; i < 8; i++) await file.write(i * 4 * KIB, pattern(4 * KIB, 99));
      const { disk } = fixture.losePower!();
      notEqual(await disk.cacheIdentity(fixture.directory), identity);
      const again = await disk.open(`${fixture.directory}/f`, { write: false });
      for (let i = 8; i < 64; i++) {
        ok(equalBytes(await again.read(i * 4 * KIB, 4 * KIB), pattern(4 * KIB, i)), `block ${i}`);
      }
    },
  },
];

const NET_CHECKS: readonly HostCheck[] = [
  {
    name: 'Net delivers every byte in order, whatever the chunks',
    run: async (fixture) => {
      for (const address of fixture.addresses) {
        const { client, server, stop } = await connectPair(fixture, address);
        const inbox = new Inbox();
        const outbox = new Inbox();
        client.start(outbox);
        server.start(inbox);
        const scratch = [1, 28, 4096, 100_000, 3].map((length) => new Uint8Array(length));
        let crc = 0;
        let total = 0;
        for (let round = 0; round < 60; round++) {
          for (const [i, chunk] of scratch.entries()) {
            chunk.set(pattern(chunk.byteLength, round + i));
            crc = crc32c(chunk, crc);
            total += chunk.byteLength;
          }
          const ready = client.write(scratch);
          // The chunks are ours again.
          for (const chunk of scratch) chunk.fill(0xee);
          if (!ready) {
            const drains = outbox.drains;
            await outbox.when(() => outbox.drains > drains);
          }
        }
        await inbox.when(() => inbox.bytesTotal >= total);
        equal(inbox.bytesTotal, total);
        equal(inbox.crc, crc);
        equal(client.queuedBytes(), 0);
        await stop();
      }
    },
  },
  {
    name: 'Net holds the sender back while the receiver pauses',
    run: async (fixture) => {
      for (const address of fixture.addresses) {
        const { client, server, stop } = await connectPair(fixture, address);
        const inbox = new Inbox();
        const outbox = new Inbox();
        client.start(outbox);
        server.start(inbox);
        server.pause();
        const chunk = pattern(128 * KIB, 5);
        let total = 0;
        // Kernels grow their buffers: 64 MiB is more than any of them takes.
        while (total < 64 * KIB * KIB) {
          total += chunk.byteLength;
          if (!client.write([chunk])) break;
        }
        ok(client.queuedBytes() > 1024 * KIB, 'more than 1 MiB waits');
        await fixture.host.clock.sleep(20);
        ok(inbox.bytesTotal < total);
        server.resume();
        await outbox.when(() => outbox.drains === 1);
        await inbox.when(() => inbox.bytesTotal === total);
        await stop();
      }
    },
  },
  {
    name: 'Net delivers first what came before start, and ends in order',
    run: async (fixture) => {
      for (const address of fixture.addresses) {
        const { client, server, stop } = await connectPair(fixture, address);
        client.write([pattern(1000, 1)]);
        client.write([pattern(1000, 2)]);
        client.end();
        await fixture.host.clock.sleep(20);
        const inbox = new Inbox();
        const outbox = new Inbox();
        client.start(outbox);
        server.start(inbox);
        await inbox.when(() => inbox.closed !== undefined);
        equal(inbox.closed, 'end');
        equal(inbox.bytesTotal, 2000);
        equal(inbox.crc, crc32c(pattern(1000, 2), crc32c(pattern(1000, 1))));
        await outbox.when(() => outbox.closed !== undefined);
        equal(outbox.closed, 'end');
        await stop();
      }
    },
  },
  {
    name: 'Net tells the peer of a close and not the one who closed',
    run: async (fixture) => {
      for (const address of fixture.addresses) {
        const { client, server, stop } = await connectPair(fixture, address);
        const inbox = new Inbox();
        const outbox = new Inbox();
        client.start(outbox);
        server.start(inbox);
        await fixture.host.clock.sleep(5);
        client.close();
        client.close();
        equal(client.write([pattern(10, 1)]), true);
        await inbox.when(() => inbox.closed !== undefined);
        await fixture.host.clock.sleep(5);
        equal(outbox.closed, undefined);
        await stop();
      }
    },
  },
  {
    name: 'Net refuses where nobody listens and an address that is taken',
    run: async (fixture) => {
      const { net } = fixture.host;
      for (const address of fixture.addresses) {
        const listener = await net.listen(address, (conn) => conn.close());
        const bound = listener.address;
        if (bound.kind === 'tcp') ok(bound.port > 0);
        await fails(
          net.listen(bound, () => {}),
          'address-in-use',
        );
        await listener.close();
        await fixture.host.clock.sleep(5);
        await fails(net.connect(bound, { timeoutMs: 5000 }), 'refused');
        await (await net.listen(bound, () => {})).close();
      }
    },
  },
];

const CLOCK_CHECKS: readonly HostCheck[] = [
  {
    name: 'Clock waits at least as long as asked and never goes back',
    run: async ({ host: { clock } }) => {
      for (const ms of [0, 1, 3, 10.5]) {
        const startMs = clock.monotonicMs();
        await clock.sleep(ms);
        const tookMs = clock.monotonicMs() - startMs;
        ok(tookMs >= ms - 1e-6, `${tookMs} ms for ${ms}`);
      }
    },
  },
  {
    name: 'Clock forgets a cancelled timer and aborts a sleep',
    run: async ({ host: { clock } }) => {
      let fired = 0;
      const timer = clock.after(5, () => fired++);
      clock.after(5, () => fired++);
      timer.cancel();
      timer.cancel();
      await clock.sleep(20);
      equal(fired, 1);
      const controller = new AbortController();
      clock.after(1, () => controller.abort());
      await fails(clock.sleep(60_000, controller.signal), 'aborted');
      await fails(clock.sleep(60_000, controller.signal), 'aborted');
    },
  },
  {
    name: 'Clock defers until the caller is through',
    run: async ({ host: { clock } }) => {
      const order: string[] = [];
      const { promise, resolve } = Promise.withResolvers<void>();
      clock.defer(() => {
        order.push('deferred');
        resolve();
      });
      order.push('caller');
      await promise;
      deepEqual(order, ['caller', 'deferred']);
    },
  },
  {
    name: 'Rng stays within its bounds',
    run: async ({ host: { rng } }) => {
      const seen = new Set<number>();
      for (let i = 0; i < 200; i++) {
        seen.add(rng.below(4));
        const float = rng.float();
        ok(float >= 0 && float < 1);
        ok(Number.isInteger(rng.u32()) && rng.below(2 ** 32) < 2 ** 32);
      }
      deepEqual(seen, new Set([0, 1, 2, 3]));
      equal(rng.bytes(33).byteLength, 33);
      notEqual(String(rng.bytes(16)), String(rng.bytes(16)));
    },
  },
];

/** The checks that apply to a fixture. */
export function hostChecks(withPowerLoss: boolean): readonly HostCheck[] {
  const checks = [...DISK_CHECKS, ...NET_CHECKS, ...CLOCK_CHECKS];
  return withPowerLoss ? [...checks, ...POWER_CHECKS] : checks;
}
