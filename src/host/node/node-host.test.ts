import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { deepEqual, equal, notEqual, ok, rejects } from 'node:assert/strict';
import { hasCode } from '#api/mod.ts';
import { createNodeHost, trimFreedMemory } from './mod.ts';
import { mountOf, parseMountTable, readMountTable, rootMount } from './mount-table.ts';

let directory = '';
const host = createNodeHost({ logLevel: 'silent' });
const hostModule = new URL('./mod.ts', import.meta.url).href;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-node-'));
});

after(() => rm(directory, { recursive: true }));

test('NodeExec runs a program to its end, without a shell', async () => {
  const echoed = await host.exec.run(['cat'], { input: '$HOME; exit' });
  deepEqual(echoed, { exitCode: 0, stdout: '$HOME; exit', stderr: '' });
  equal((await host.exec.run(['sh', '-c', 'exit 7'])).exitCode, 7);
  await rejects(host.exec.run(['no-such-program-here']), (error) => hasCode(error, 'not-found'));
  await rejects(host.exec.run(['sleep', '60'], { timeoutMs: 50 }), (error) =>
    hasCode(error, 'timed-out'),
  );
});

test('NodeNet replaces a socket file that a killed process left', async () => {
  const path = `${directory}/stale`;
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)},
    () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
  deepEqual(await readdir(directory), ['stale']);
  const listener = await host.net.listen({ kind: 'unix', path }, (conn) => conn.close());
  await rejects(
    host.net.listen({ kind: 'unix', path }, () => {}),
    (error) => hasCode(error, 'address-in-use'),
  );
  await listener.close();
  deepEqual(await readdir(directory), []);
  await writeFile(path, 'not a socket');
  await rejects(
    host.net.listen({ kind: 'unix', path }, () => {}),
    (error) => hasCode(error, 'address-in-use'),
  );
  await rm(path);
});

test('NodeDisk gives up a lock with its process', async () => {
  const path = `${directory}/lock`;
  const script = `import { createNodeHost } from ${JSON.stringify(hostModule)};
    await createNodeHost().disk.lock(${JSON.stringify(path)});
    process.stdout.write('locked');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
  await new Promise((resolve) => child.stdout.once('data', resolve));
  await rejects(host.disk.lock(path), (error) => hasCode(error, 'store-locked'));
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
  await (await host.disk.lock(path)).release();
});

test('A process with open files and idle lanes ends by itself', () => {
  const script = `import { createNodeHost } from ${JSON.stringify(hostModule)};
    const { disk, clock } = createNodeHost();
    const file = await disk.open(${JSON.stringify(`${directory}/idle`)}, { write: true, create: 'new' });
    await file.write(0, new Uint8Array(4096));
    await file.flush();
    clock.after(3_600_000, () => {});
    process.stdout.write('done');`;
  const result = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    timeout: 20_000,
    encoding: 'utf8',
  });
  equal(result.stderr, '');
  equal(result.stdout, 'done');
  equal(result.status, 0);
});

test('A process that fails with calls under way says why and ends', () => {
  const script = `import { createNodeHost } from ${JSON.stringify(hostModule)};
    const { disk } = createNodeHost();
    const path = ${JSON.stringify(`${directory}/failing`)};
    const file = await disk.open(path, { write: true, create: 'new' });
    void file.write(0, new Uint8Array(4096));
    throw new Error('the reason why');`;
  const result = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    timeout: 20_000,
    encoding: 'utf8',
  });
  ok(result.stderr.includes('the reason why'), result.stderr);
  equal(result.status, 1);
});

test('Idle lanes use no processor time', async () => {
  const file = await host.disk.open(`${directory}/quiet`, { write: true, create: 'new' });
  await file.write(0, new Uint8Array(4096));
  await file.flush();
  // Threads may still be starting, and the machine may be busy: one quiet window is enough.
  let leastUs = Infinity;
  for (let window = 0; window < 20 && leastUs > 2000; window++) {
    const start = process.cpuUsage();
    await host.clock.sleep(200);
    const { user, system } = process.cpuUsage(start);
    leastUs = Math.min(leastUs, user + system);
  }
  ok(leastUs <= 2000, `${leastUs} µs in 200 ms`);
  await file.close();
});

test('parseMountTable finds the mount that holds a path', () => {
  const text = [
    '22 1 254:0 / / rw,relatime - ext4 /dev/vda rw',
    '30 22 0:27 / /dev/shm rw - tmpfs tmpfs rw',
    '31 22 7:1 / /srv/with\\040blank rw shared:1 - xfs /dev/loop1 rw',
    '32 31 7:2 / /srv/with\\040blank rw - ext4 /dev/loop2 rw',
    '',
  ].join('\n');
  const mounts = parseMountTable(text);
  equal(mountOf(mounts, '/srv/other')?.source, '/dev/vda');
  equal(mountOf(mounts, '/dev/shm')?.filesystem, 'tmpfs');
  equal(mountOf(mounts, '/dev/shmother/x')?.source, '/dev/vda');
  // The later mount hides the earlier one.
  equal(mountOf(mounts, '/srv/with blank/pool')?.source, '/dev/loop2');
});

test('In a chroot that is no mount point, the file itself names its filesystem', async () => {
  equal(mountOf(parseMountTable('30 22 0:27 / /proc rw - proc proc rw\n'), '/srv'), undefined);
  const mounts = await readMountTable();
  const shown = mountOf(mounts, '/dev/shm');
  const found = await rootMount('/dev/shm');
  deepEqual([found.device, found.filesystem], [shown?.device, shown?.filesystem]);
});

test('NodeDisk names boot and mount in its cache identity', async () => {
  const here = await host.disk.cacheIdentity(directory);
  equal(here, await host.disk.cacheIdentity(directory));
  notEqual(here, await host.disk.cacheIdentity('/proc'));
});

test('Freed memory goes back to the system', async () => {
  const residentKib = (): number =>
    Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
  let held: Buffer[] = Array.from({ length: 2_000 }, () => Buffer.alloc(16_384, 1));
  // What lies above the freed ones keeps the heap from shrinking by itself.
  const above = Buffer.alloc(16_384, 1);
  const heldKib = residentKib();
  equal(held.length, 2_000);
  held = [];
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  // The engine frees collected buffers on a thread of its own, in its own time.
  for (let tries = 0; tries < 100 && residentKib() > heldKib - 16 * 1024; tries++) {
    await host.clock.sleep(20);
    trimFreedMemory();
  }
  ok(above.byteLength > 0 && residentKib() <= heldKib - 16 * 1024);
});
