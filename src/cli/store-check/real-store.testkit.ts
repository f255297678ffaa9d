/** Pools that the production store wrote, in temporary directories, for the check to read. */
import type {
  ClusterId,
  Generation,
  HoldfastError,
  PoolId,
  ReplicaId,
  SnapshotId,
  VolumeId,
} from '#api/mod.ts';
import { BLOCK_BYTES, type ReplicaRequest, type ReplicaVerb } from '#data/block/mod.ts';
import { openFilePool, type ReplicaStore, type StorePool } from '#data/store/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { runStoreCheck } from '../store-check.ts';
import type { ReplicaReport } from './replica-report.ts';
import type { ComparisonReport, StoreReport } from './store-report.ts';

export const SEGMENT_BLOCKS = 16;
export const BLOCKS = 2048;
export const host = createNodeHost({ logLevel: 'silent' });

export class RealPool {
  readonly directory: string;
  readonly pool: StorePool;

  private constructor(directory: string, pool: StorePool) {
    this.directory = directory;
    this.pool = pool;
  }

  static async create(t: TestContext): Promise<RealPool> {
    const directory = mkdtempSync(join(tmpdir(), 'holdfast-check-'));
    const options = { ...host, directory, cluster: 'c1' as ClusterId, pool: 'p1' as PoolId };
    const pool = await openFilePool(options);
    t.after(async () => {
      await pool.close();
      rmSync(directory, { recursive: true, force: true });
    });
    return new RealPool(directory, pool);
  }

  /** `snapshot`: a clone of that one of r1. */
  async createReplica(name: string, volume = 'v1', snapshot?: string): Promise<RealReplica> {
    const replica = name as ReplicaId;
    const identity = {
      cluster: 'c1' as ClusterId,
      pool: 'p1' as PoolId,
      replica,
      volume: volume as VolumeId,
      shard: 0,
      segmentBytes: SEGMENT_BLOCKS * BLOCK_BYTES,
      claim: 'default/demo',
    };
    await this.pool.createReplica({
      identity,
      sizeBytes: BLOCKS * BLOCK_BYTES,
      record: null,
      ...(snapshot === undefined
        ? {}
        : { cloneOf: { replica: 'r1' as ReplicaId, snapshot: snapshot as SnapshotId } }),
    });
    return new RealReplica(await this.pool.openReplica(replica));
  }

  pathOf(name: string): string {
    return join(this.directory, 'replicas', name);
  }

  /** What a crash of this process would leave: the files as they are now, somewhere else. */
  crashCopy(t: TestContext): string {
    return copyOf(t, this.directory);
  }
}

export class RealReplica {
  readonly store: ReplicaStore;

  constructor(store: ReplicaStore) {
    this.store = store;
  }

  write(block: number, ...bytes: number[]): Promise<void> {
    return this.submit('write', block, blocksOf(...bytes));
  }

  zero(block: number, blocks = 1): Promise<void> {
    return this.submit('zero', block, new Uint8Array(0), blocks);
  }

  trim(block: number, blocks = 1): Promise<void> {
    return this.submit('trim', block, new Uint8Array(0), blocks);
  }

  snapshot(name: string, n = 1): Promise<void> {
    return this.store.createSnapshot(name as SnapshotId, { epoch: 1, n });
  }

  deleteSnapshot(name: string): Promise<void> {
    return this.store.deleteSnapshot(name as SnapshotId);
  }

  submit(
    verb: ReplicaVerb,
    block: number,
    data: Uint8Array,
    blocks = data.byteLength / BLOCK_BYTES,
    stamp: Generation = { epoch: 1, n: 1 },
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const request: ReplicaRequest = {
        verb,
        layer: null,
        offsetBytes: block * BLOCK_BYTES,
        lengthBytes: blocks * BLOCK_BYTES,
        data,
        stampEpoch: stamp.epoch,
        stampN: stamp.n,
        done: (error: HoldfastError | null) => {
          if (error === null) resolve();
          else reject(error);
        },
      };
      this.store.submit(request);
    });
  }
}

/** A block for each byte, told apart in every sector. */
export function blocksOf(...bytes: number[]): Uint8Array {
  const data = new Uint8Array(bytes.length * BLOCK_BYTES);
  bytes.forEach((byte, i) => {
    for (let at = 0; at < BLOCK_BYTES; at++)
      data[i * BLOCK_BYTES + at] = (byte + (at >>> 9)) & 255 || 1;
  });
  return data;
}

export function temporaryDirectory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'holdfast-check-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export function copyOf(t: TestContext, directory: string): string {
  const path = temporaryDirectory(t);
  cpSync(directory, path, { recursive: true });
  return path;
}

export function flipBit(path: string, offset: number, bit = 3): void {
  const bytes = readFileSync(path);
  bytes[offset]! ^= 1 << bit;
  writeFileSync(path, bytes);
}

export function filesOf(directory: string): string[] {
  return readdirSync(directory).filter((name) => !name.endsWith('.lock'));
}

export interface Checked {
  readonly code: number;
  readonly report: StoreReport;
  readonly replica: ReplicaReport;
  /** `severity file-name: message` of every finding. */
  readonly says: readonly string[];
}

export async function check(directory: string, ...options: string[]): Promise<Checked> {
  let text = '';
  const flags = Object.fromEntries(options.map((option) => [option.replace('--', ''), true]));
  const onLine = (line: string): void => {
    text += line;
  };
  const code = await runStoreCheck({
    words: [directory],
    ...flags,
    output: 'json',
    disk: host.disk,
    cwd: '/',
    onLine,
  });
  const report = JSON.parse(text) as StoreReport;
  const findings = [
    ...(report.pool?.findings ?? []),
    ...report.replicas.flatMap((replica) => replica.findings),
  ];
  const says = findings.map((f) => `${f.severity} ${f.file.split('/').at(-1)}: ${f.message}`);
  return { code, report, replica: report.replicas[0]!, says };
}

export async function compare(
  left: string,
  right: string,
): Promise<{ readonly code: number; readonly report: ComparisonReport }> {
  let text = '';
  const words = ['compare', left, right];
  const onLine = (line: string): void => {
    text += line;
  };
  const code = await runStoreCheck({ words, output: 'json', disk: host.disk, cwd: '/', onLine });
  return { code, report: JSON.parse(text) as ComparisonReport };
}
