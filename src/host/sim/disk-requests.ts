import { HoldfastError } from '#api/mod.ts';
import type { ActiveDiskFault, DiskAccess } from './disk-fault.ts';
import type { SimDisk } from './sim-disk.ts';
import { PAGE_BYTES, SECTOR_BYTES } from './sim-file.ts';
import type { SimFile } from './sim-file.ts';
import type { SimProcess } from './sim-process.ts';

/** A write that the kernel has not finished: it may still happen when the process is killed. */
interface WriteUnderWay {
  readonly file: SimFile;
  readonly offsetBytes: number;
  readonly data: Uint8Array;
}

/**
 * The one place where operations of a process take time and meet faults.
 *
 *     access ─▶ which faults strike ─▶ latency, hang ─▶ act on the file or the tree ─▶ finish
 */
export class DiskRequests {
  readonly #disk: SimDisk;
  readonly #process: SimProcess;
  readonly #writes = new Set<WriteUnderWay>();

  constructor(disk: SimDisk, process: SimProcess) {
    this.#disk = disk;
    this.#process = process;
    process.onDeath(() => this.#settleWrites());
  }

  /**
   * Runs `act` when the time has come. A fault that fails the operation calls `finish` with its
   * error instead. `act` throws HoldfastError only.
   */
  perform(
    access: DiskAccess,
    act: (faults: readonly ActiveDiskFault[]) => void,
    finish: (error: HoldfastError | null) => void,
    mayRunInline = false,
  ): void {
    // What a dead process asks for does not happen.
    if (!this.#process.alive) return;
    const faults = this.#disk.striking(access);
    const { rng, options } = this.#disk;
    if (faults.length === 0 && mayRunInline && rng.chance(options.inlineShare)) {
      finish(attempt(access, faults, act));
      return;
    }
    const run = (): void => finish(attempt(access, faults, act));
    const waitMs = this.#waitMs(access, faults);
    if (waitMs === Infinity) {
      const hang = faults.find(({ fault }) => fault.effect.kind === 'hang');
      hang?.whenRemoved(() => this.#schedule(access, this.#disk.latencyMs(access.verb), run));
      return;
    }
    this.#schedule(access, waitMs, run);
  }

  /** Reads into `into` beyond nothing: the range must lie in the file. */
  read(
    path: string,
    file: SimFile,
    offsetBytes: number,
    into: Uint8Array,
    hot: boolean,
    finish: Finish,
  ): void {
    const access = { verb: 'read', path, offsetBytes, lengthBytes: into.byteLength } as const;
    const act = (faults: readonly ActiveDiskFault[]): void => {
      if (offsetBytes + into.byteLength > file.sizeBytes) {
        throw new HoldfastError('io-error', 'Read beyond the end of the file', {
          details: { path, offsetBytes, lengthBytes: into.byteLength, sizeBytes: file.sizeBytes },
        });
      }
      if (file.isBroken(offsetBytes, into.byteLength)) throw ioError(access);
      for (const { fault } of faults) {
        if (fault.effect.kind === 'flip' && fault.effect.stored) this.#flip(file, access);
      }
      file.read(offsetBytes, into);
      for (const { fault } of faults) {
        if (fault.effect.kind !== 'flip' || fault.effect.stored || into.byteLength === 0) continue;
        into[this.#disk.rng.below(into.byteLength)]! ^= 1 << this.#disk.rng.below(8);
      }
    };
    this.perform(access, act, finish, hot);
  }

  write(
    path: string,
    file: SimFile,
    offsetBytes: number,
    data: Uint8Array,
    hot: boolean,
    finish: Finish,
  ): void {
    const access = { verb: 'write', path, offsetBytes, lengthBytes: data.byteLength } as const;
    const underWay: WriteUnderWay = { file, offsetBytes, data };
    this.#writes.add(underWay);
    const act = (faults: readonly ActiveDiskFault[]): void => {
      this.#disk.checkRoom(file, offsetBytes, data.byteLength);
      if (faults.some(({ fault }) => fault.effect.kind === 'lose')) return;
      const misdirected = faults.some(({ fault }) => fault.effect.kind === 'misdirect');
      const place = misdirected ? this.#elsewhere(file, access) : offsetBytes;
      file.write(place, data, this.#disk.loop.nowMs);
      for (const { fault } of faults) if (fault.effect.kind === 'flip') this.#flip(file, access);
      const { rng, options } = this.#disk;
      if (rng.chance(options.writeBackShare)) file.writeBack(offsetBytes, data.byteLength);
    };
    this.perform(
      access,
      act,
      (error) => {
        this.#writes.delete(underWay);
        // A write that failed may have got anywhere.
        if (error?.code === 'io-error') this.#leaveCut(underWay, SECTOR_BYTES);
        finish(error);
      },
      hot,
    );
  }

  flush(path: string, file: SimFile, finish: Finish): void {
    const access = { verb: 'flush', path, offsetBytes: 0, lengthBytes: 0 } as const;
    if (!this.#process.alive) return;
    // What is written from now on waits for the next flush.
    const round = file.beginFlush();
    let lost = false;
    this.perform(
      access,
      (faults) => {
        lost = faults.some(({ fault }) => fault.effect.kind === 'lose');
      },
      (error) => {
        if (error !== null) file.failFlush(round, this.#disk.rng);
        else if (!lost) file.completeFlush(round);
        finish(error);
      },
    );
  }

  #schedule(access: DiskAccess, delayMs: number, run: () => void): void {
    const kind = `disk ${access.verb}`;
    this.#process.loop.schedule(this.#process, kind, access.offsetBytes, delayMs, run);
  }

  #waitMs(access: DiskAccess, faults: readonly ActiveDiskFault[]): number {
    // Slowness multiplies what the disk itself takes, not a hang that strikes at the same time.
    let latencyMs = this.#disk.latencyMs(access.verb);
    let waitMs = 0;
    for (const { fault } of faults) {
      const { effect } = fault;
      if (effect.kind === 'slow') latencyMs *= effect.factor;
      if (effect.kind === 'delay') waitMs += effect.ms;
      if (effect.kind === 'hang') waitMs += effect.ms ?? Infinity;
    }
    return waitMs + latencyMs;
  }

  #flip(file: SimFile, access: DiskAccess): void {
    if (access.lengthBytes === 0) return;
    const { rng } = this.#disk;
    file.flipBit(access.offsetBytes + rng.below(access.lengthBytes), rng.below(8));
  }

  #elsewhere(file: SimFile, access: DiskAccess): number {
    const unit = access.offsetBytes % SECTOR_BYTES === 0 ? SECTOR_BYTES : 1;
    const places = Math.floor((file.sizeBytes - access.lengthBytes) / unit) + 1;
    if (places <= 1) return access.offsetBytes;
    const place = this.#disk.rng.below(places) * unit;
    // Never where it belongs.
    return place === access.offsetBytes ? (place + unit) % (places * unit) : place;
  }

  /** A killed process ends once the kernel has left its writes: whole, cut at a page, or undone. */
  #settleWrites(): void {
    for (const underWay of this.#writes) this.#leaveCut(underWay, PAGE_BYTES);
    this.#writes.clear();
  }

  /** Whole or none of it as often as anything between. */
  #leaveCut({ file, offsetBytes, data }: WriteUnderWay, unitBytes: number): void {
    const { rng } = this.#disk;
    const units = Math.ceil(data.byteLength / unitBytes);
    const kept = [0, units, rng.below(units + 1)][rng.below(3)]!;
    const cut = data.subarray(0, Math.min(data.byteLength, kept * unitBytes));
    if (cut.byteLength > 0) file.write(offsetBytes, cut, this.#disk.loop.nowMs);
  }
}

type Finish = (error: HoldfastError | null) => void;

function attempt(
  access: DiskAccess,
  faults: readonly ActiveDiskFault[],
  act: (faults: readonly ActiveDiskFault[]) => void,
): HoldfastError | null {
  for (const { fault } of faults) {
    if (fault.effect.kind !== 'fail') continue;
    return new HoldfastError(fault.effect.code, 'The simulated disk failed', {
      effect: access.verb === 'write' || access.verb === 'flush' ? 'unknown' : 'none',
      details: { verb: access.verb, path: access.path, offsetBytes: access.offsetBytes },
    });
  }
  try {
    act(faults);
    return null;
  } catch (error) {
    // Anything else is a mistake of the simulator.
    if (!HoldfastError.is(error)) throw error;
    return error;
  }
}

function ioError(access: DiskAccess): HoldfastError {
  return new HoldfastError('io-error', 'The simulated sector cannot be read', {
    details: { path: access.path, offsetBytes: access.offsetBytes },
  });
}
