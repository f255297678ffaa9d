/** The tour's machine: signals, scratch directories, NBD clients, databases, leftovers. */
import type { BlockExport, Machine } from '#cli/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import { flushDevice, readDevice, writeDevice } from '#data/block/mod.ts';
import { NbdClientDevice } from '#data/frontend/mod.ts';
import type { Host } from '#host/mod.ts';
import { readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { openDatabase } from './database-process.ts';

export function createMachine(host: Host): Machine {
  return {
    tempDirectory: tmpdir(),
    kill: (pid) => {
      process.kill(pid, 'SIGKILL');
    },
    removeTree: (path) => rm(path, { recursive: true, force: true, maxRetries: 3 }),
    connectExport: (url) => connectExport(host, url),
    openDatabase,
    findLeftovers,
  };
}

/** `nbd+unix:///NAME?socket=PATH`, as engines print it. */
async function connectExport(host: Host, url: string): Promise<BlockExport> {
  const { protocol, pathname, searchParams } = new URL(url);
  const path = searchParams.get('socket');
  if (protocol !== 'nbd+unix:' || path === null) {
    throw new HoldfastError('invalid-argument', 'NBD address has another form', {
      details: { field: 'url', value: url, remedy: 'Use nbd+unix:///NAME?socket=PATH' },
    });
  }
  const name = decodeURIComponent(pathname.slice(1));
  const device = await NbdClientDevice.connect(host, { kind: 'unix', path }, name);
  return {
    sizeBytes: device.sizeBytes,
    read: (offsetBytes, lengthBytes) => readDevice(device, offsetBytes, lengthBytes),
    write: (offsetBytes, data) => writeDevice(device, offsetBytes, data),
    flush: () => flushDevice(device),
    close: () => device.close(),
  };
}

/** Without losetup(8), which asks each backing file and hangs where nobody serves it. */
async function findLeftovers(path: string): Promise<string[]> {
  const left: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    if (Number(pid) === process.pid) continue;
    const command = await readOrEmpty(`/proc/${pid}/cmdline`);
    if (command.includes(path)) left.push(`process ${pid}: ${command.replaceAll('\0', ' ')}`);
  }
  for (const line of (await readOrEmpty('/proc/self/mountinfo')).split('\n')) {
    if (line.includes(path)) left.push(`mount ${line.split(' ')[4]}`);
  }
  for (const name of await readdir('/sys/block').catch(() => [])) {
    const file = await readOrEmpty(`/sys/block/${name}/loop/backing_file`);
    if (file.includes(path)) left.push(`loop device /dev/${name}: ${file.trim()}`);
  }
  return left;
}

async function readOrEmpty(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
