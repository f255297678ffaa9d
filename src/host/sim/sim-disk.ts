import { HoldfastError } from '#api/mod.ts';
import { assert } from '#lib/mod.ts';
import { ActiveDiskFault } from './disk-fault.ts';
import type { DiskAccess, DiskFault } from './disk-fault.ts';
import type { EventLoop } from './event-loop.ts';
import { DiskRequests } from './disk-requests.ts';
import type { SimProcess } from './sim-process.ts';
import { PAGE_BYTES } from './sim-file.ts';
import type { SimFile } from './sim-file.ts';
import { SimProcessDisk } from './sim-process-disk.ts';
import type { SimRng } from './sim-rng.ts';
import { SimTree } from './sim-tree.ts';
import type { SimNode } from './sim-tree.ts';

export interface SimDiskOptions {
  readonly capacityBytes: number;
  /** Base latencies; each operation draws between half and double, rarely ten times as much. */
  readonly accessMs: number;
  readonly flushMs: number;
  /** Share of hot reads and writes that complete before `submit` returns. */
  readonly inlineShare: number;
  /** Share of writes that the kernel writes back on its own. */
  readonly writeBackShare: number;
}

export const DISK_DEFAULTS: SimDiskOptions = {
  capacityBytes: 2 ** 40,
  accessMs: 0.05,
  flushMs: 1,
  inlineShare: 0.25,
  writeBackShare: 0.05,
};

/** What cloneDirectory took: opaque, never changed, restored as often as one likes. */
export class DirectoryClone {
  readonly node: SimNode;

  constructor(node: SimNode) {
    this.node = node;
  }
}

/**
 * The disk of one machine, from outside: faults, and what can be done behind the back of the code
 * under test. Every process life sees it through a `Disk` of its own (sim-process-disk.ts).
 */
export class SimDisk {
  readonly node: string;
  readonly tree = new SimTree();
  readonly loop: EventLoop;
  readonly rng: SimRng;
  readonly options: SimDiskOptions;
  /** Path of the lock, and who holds it. */
  readonly locks = new Map<string, SimProcess>();
  readonly #faults: ActiveDiskFault[] = [];
  #boots = 1;
  #mounts = 1;

  constructor(loop: EventLoop, node: string, rng: SimRng, options: SimDiskOptions) {
    this.loop = loop;
    this.node = node;
    this.rng = rng;
    this.options = options;
  }

  /** In force until it is removed or has struck `times`. */
  addFault(fault: DiskFault): ActiveDiskFault {
    const active = new ActiveDiskFault(fault, (gone) => {
      const at = this.#faults.indexOf(gone);
      if (at >= 0) this.#faults.splice(at, 1);
    });
    this.#faults.push(active);
    return active;
  }

  removeFaults(): void {
    for (const fault of this.#faults.splice(0)) fault.remove();
  }

  /** The faults that strike this access: asking counts as a hit. */
  striking(access: DiskAccess): ActiveDiskFault[] {
    return this.#faults.filter((fault) => fault.strikes(access, this.rng));
  }

  /** A directory as it is now: what a copy of its files would hold, or what the platter would. */
  cloneDirectory(path: string, contents: 'visible' | 'durable' = 'visible'): DirectoryClone {
    const directory = this.tree.getDirectory(path);
    return new DirectoryClone(this.tree.copy(directory, this.loop.nowMs, contents, true));
  }

  /**
   * Puts a clone in place of a directory (of this disk or another), as a restore from yesterday's
   * copy does: new inodes and birth times. `sameInodes`: as a snapshot of the whole disk does.
   */
  restoreDirectory(path: string, clone: DirectoryClone, sameInodes = false): void {
    const node = this.tree.copy(clone.node, this.loop.nowMs, 'visible', sameInodes);
    this.tree.replace(path, node);
  }

  /** The disk came back blank, or somebody ran rm -rf. */
  eraseDirectory(path: string): void {
    this.tree.replace(path, undefined);
  }

  /** Two disks were swapped. */
  swapDirectories(one: string, other: string): void {
    const a = this.tree.getDirectory(one);
    const b = this.tree.getDirectory(other);
    this.tree.replace(one, b);
    this.tree.replace(other, a);
  }

  flipBit(path: string, offsetBytes: number, bit = 0): void {
    this.tree.getFile(path).flipBit(offsetBytes, bit);
  }

  /** Reads of these sectors fail until they are written again. */
  breakSectors(path: string, offsetBytes: number, lengthBytes: number): void {
    this.tree.getFile(path).breakSectors(offsetBytes, lengthBytes);
  }

  /** What a reader sees now, without time or faults. */
  peek(path: string, offsetBytes: number, lengthBytes: number): Uint8Array {
    const bytes = new Uint8Array(lengthBytes);
    this.tree.getFile(path).read(offsetBytes, bytes);
    return bytes;
  }

  /** Since when data in a file of this directory has waited for a sync; Infinity when none has. */
  unsyncedSinceMs(directory: string, suffix: string): number {
    const node = this.tree.find(directory);
    let sinceMs = Infinity;
    if (node?.kind !== 'directory') return sinceMs;
    for (const [name, file] of node.entries) {
      if (file.kind === 'file' && name.endsWith(suffix)) {
        sinceMs = Math.min(sinceMs, file.unsyncedSinceMs());
      }
    }
    return sinceMs;
  }

  sizeOf(path: string): number {
    return this.tree.getFile(path).sizeBytes;
  }

  /**
   * Unmounted and mounted again while no process has a file open: flushes, changes cacheIdentity.
   */
  remount(): void {
    for (const file of this.tree.files()) file.completeFlush(file.beginFlush());
    this.#mounts++;
  }

  /** Called by the world once the processes are gone. */
  losePower(): void {
    // Some crashes lose nothing that was written, some everything, most a part.
    const keep = [0, 1, this.rng.float(), this.rng.float() * 0.2][this.rng.below(4)]!;
    for (const file of this.tree.files()) if (file.dirty) file.losePower(this.rng, keep);
    this.tree.losePower(this.rng, keep);
    this.#boots++;
  }

  cacheIdentity(): string {
    return `sim-boot-${this.#boots}/mount-${this.#mounts}`;
  }

  attach(process: SimProcess): SimProcessDisk {
    return new SimProcessDisk(this, process, new DiskRequests(this, process));
  }

  usedBytes(): number {
    let pages = 0;
    for (const file of this.tree.files()) pages += file.allocatedPages;
    return pages * PAGE_BYTES;
  }

  /** Throws `no-space` when these bytes of the file do not fit any more. */
  checkRoom(file: SimFile, offsetBytes: number, lengthBytes: number): void {
    const addedBytes = file.pagesMissing(offsetBytes, lengthBytes) * PAGE_BYTES;
    if (addedBytes === 0 || this.usedBytes() + addedBytes <= this.options.capacityBytes) return;
    throw new HoldfastError('no-space', 'The disk is full');
  }

  latencyMs(verb: string): number {
    const { accessMs, flushMs } = this.options;
    const base = verb === 'flush' || verb === 'syncDirectory' ? flushMs : accessMs;
    const drawn = base * this.rng.between(0.5, 2);
    assert(drawn >= 0, 'a latency is not negative');
    return this.rng.chance(0.01) ? drawn * 10 : drawn;
  }
}
