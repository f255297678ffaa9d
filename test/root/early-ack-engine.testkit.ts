/**
 * An engine whose disk says that a sync is done before it is: what flush-honesty.test.ts plants.
 * Everything else is the production engine.
 */
import { parseArgs } from 'node:util';
import { ENGINE_CHECKS } from '#api/checks/mod.ts';
import { type NodeId, parseId } from '#api/mod.ts';
import { Engine, VolumeService } from '#data/engine/mod.ts';
import type { Disk, DiskFile, DiskRequest, OpenOptions } from '#host/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { serveRpc } from '#rpc/mod.ts';
import { TRIO_CLUSTER } from './engine-trio.testkit.ts';

const LATE_MS = 60;

function earlyFile(file: DiskFile): DiskFile {
  const late = (): void => void setTimeout(() => void file.flush().catch(() => undefined), LATE_MS);
  return {
    path: file.path,
    submit: (request: DiskRequest): void => {
      if (request.verb !== 'flush') return file.submit(request);
      late();
      setImmediate(() => request.done(null));
    },
    read: (offsetBytes, lengthBytes) => file.read(offsetBytes, lengthBytes),
    write: (offsetBytes, data) => file.write(offsetBytes, data),
    flush: async (): Promise<void> => late(),
    trim: (offsetBytes, lengthBytes) => file.trim(offsetBytes, lengthBytes),
    zero: (offsetBytes, lengthBytes) => file.zero(offsetBytes, lengthBytes),
    resize: (sizeBytes) => file.resize(sizeBytes),
    stat: () => file.stat(),
    extents: (offsetBytes, lengthBytes) => file.extents(offsetBytes, lengthBytes),
    close: () => file.close(),
  };
}

function earlyDisk(disk: Disk): Disk {
  return {
    open: async (path: string, options: OpenOptions) => {
      const file = await disk.open(path, options);
      return options.write && path.endsWith('.data') ? earlyFile(file) : file;
    },
    stat: (path) => disk.stat(path),
    list: (path) => disk.list(path),
    makeDirectory: (path) => disk.makeDirectory(path),
    rename: (from, to) => disk.rename(from, to),
    remove: (path) => disk.remove(path),
    syncDirectory: (path) => disk.syncDirectory(path),
    space: (path) => disk.space(path),
    lock: (path) => disk.lock(path),
    cacheIdentity: (path) => disk.cacheIdentity(path),
  };
}

const text = { type: 'string', default: '' } as const;
const { values } = parseArgs({
  args: process.argv.slice(3),
  options: { 'cluster-dir': text, node: text, 'run-dir': text },
});
const { node, 'cluster-dir': directory, 'run-dir': runDirectory } = values;
const real = createNodeHost({ logFile: `${directory}/logs/${node}.engine.log` });
const host = { ...real, disk: earlyDisk(real.disk) };
const engine = new Engine({
  host,
  node: parseId<NodeId>('node', node),
  cluster: TRIO_CLUSTER,
  version: 'early-ack',
  processId: process.pid,
  socketPrefix: `${runDirectory}/${node}`,
  stateDirectory: `${directory}/nodes/${node}/engine`,
  controllerAddress: `unix:${runDirectory}/controller.sock`,
  createRunner: (settings) => {
    const service = new VolumeService(settings, host, null);
    return { call: (method, params) => service.handlers[method](params) };
  },
  onStop: () => setImmediate(() => process.exit(0)),
});
await engine.start();
await serveRpc(host.net, `unix:${runDirectory}/${node}.engine.sock`, engine.handlers, {
  ...host,
  checks: ENGINE_CHECKS,
});
