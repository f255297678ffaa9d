/**
 * The real world: the only place that imports node:fs, node:net, node:child_process and the like.
 */
import type { Host } from '../mod.ts';
import { NodeClock } from './node-clock.ts';
import { FileLedger, type FileSlots } from './file-ledger.ts';
import type { DiskMode } from './node-disk-file.ts';
import { NodeDisk } from './node-disk.ts';
import { NodeExec } from './node-exec.ts';
import { NodeLog } from './node-log.ts';
import { NodeNet } from './node-net.ts';
import { NodeRng } from './node-rng.ts';

export interface NodeHostOptions {
  /** Where log lines go; standard error when absent. */
  readonly logFile?: string;
  /** debug, info (default), warn, error or silent. */
  readonly logLevel?: string;
  /**
   * `lanes` (default), or `inline` on a thread that serves the disk of one pool and nothing else.
   */
  readonly diskMode?: DiskMode;
  /** Where a thread notes its open files for the one that outlives it; `closeLeftOpen`. */
  readonly openFiles?: FileSlots;
}

/** One host for each thread: the threads of its disks belong to it. */
export function createNodeHost(options: NodeHostOptions = {}): Host {
  const { logFile, logLevel, diskMode = 'lanes', openFiles = null } = options;
  return {
    clock: new NodeClock(),
    rng: new NodeRng(),
    disk: new NodeDisk(diskMode, new FileLedger(openFiles)),
    net: new NodeNet(),
    exec: new NodeExec(),
    log: NodeLog.open({
      ...(logFile === undefined ? {} : { file: logFile }),
      ...(logLevel === undefined ? {} : { level: logLevel }),
    }),
  };
}

export { createAuthority, createServerIdentity, readCertificate } from './certificates.ts';
export type { Authority } from './certificates.ts';
export { NodeDatabases } from './node-database.ts';
export { closeLeftOpen, createFileSlots, type FileSlots } from './file-ledger.ts';
export { NodeHttp } from './node-http.ts';
export { NodeFuseMounts, processStart } from './fuse-mounts.ts';
export { fromNodeError } from './errno-error.ts';
export { trimFreedMemory } from './syscalls.ts';
export type { DiskMode };
export { isSocketLive } from './stale-socket.ts';
