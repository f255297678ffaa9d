/**
 * VolumeMounts: formats and mounts devices, and takes them down again.
 *
 * Invariants
 * - *Never format what may hold data*: mkfs runs only when the caller's metadata says that the
 *   volume was never written, and every area where a filesystem keeps a superblock was read and is
 *   zero. A read error is not "unformatted": it is an error.
 * - Every call is idempotent: what is already so is left alone.
 * - What is mounted is known to the next process of this node, however this one ends: it is written
 *   down before the mount, and counts for as long as the kernel shows it.
 */
import type { MkfsOption } from '#api/kinds/mod.ts';
import { mergeMkfsOptions } from '#api/kinds/mod.ts';
import { HoldfastError, type MountReport, type MountSpace, type VolumeId } from '#api/mod.ts';
import {
  type Clock,
  type Disk,
  type Exec,
  type ExecResult,
  readWholeFile,
  replaceWholeFile,
} from '#host/mod.ts';
import { decodeText, encodeText, isZero, KeyedMutex } from '#lib/mod.ts';
import { readMounts } from './mount-table.ts';
import { ext4Bytes, probeFilesystem, superblockAreas } from './superblocks.ts';

const MKFS_TIMEOUT_MS = 120_000;
const SPACE_MS_MAX = 1_000;
const MOUNT_TIMEOUT_MS = 60_000;
/** A last group smaller than its own tables is left out by mkfs.ext4 and resize2fs alike. */
const EXT4_LAST_GROUP_BYTES = 4 * 1024 * 1024;
const E2FSCK_CORRECTED = 1;

const MKFS_ARGV = {
  ext4: ['mkfs.ext4', '-q'],
  xfs: ['mkfs.xfs', '-q', '-K'],
} as const;
const MKFS_OPTIONS = {
  // Discarding a device that was read as zero says nothing new; lazy parts keep the first mount
  // quick.
  ext4: [{ flag: '-E', value: 'nodiscard,lazy_itable_init=1,lazy_journal_init=1' }],
  xfs: [],
} as const;

export interface MountParams {
  readonly volume: VolumeId;
  readonly device: string;
  readonly path: string;
  readonly fsType: 'ext4' | 'xfs';
  /** Our metadata says that the volume was never written. */
  readonly mayFormat: boolean;
  readonly readOnly: boolean;
  /** For mount(8), beside ours. */
  readonly options?: readonly string[];
  /** For mkfs, beside ours: read from the class with its allow-list. */
  readonly mkfsOptions?: readonly MkfsOption[];
}

export class VolumeMounts {
  readonly #disk: Disk;
  readonly #exec: Exec;
  readonly #stateFile: string;
  readonly #mounts = new Map<string, MountReport>();
  readonly #writing = new KeyedMutex();

  /** `stateFile`: where what is mounted is remembered; its directory exists. */
  static async open(disk: Disk, exec: Exec, stateFile: string): Promise<VolumeMounts> {
    const mounts = new VolumeMounts(disk, exec, stateFile);
    await mounts.#load();
    return mounts;
  }

  private constructor(disk: Disk, exec: Exec, stateFile: string) {
    this.#disk = disk;
    this.#exec = exec;
    this.#stateFile = stateFile;
  }

  list(): MountReport[] {
    return [...this.#mounts.values()];
  }

  /** How full each filesystem is; one that does not answer soon is left out. */
  async space(clock: Clock): Promise<MountSpace[]> {
    const asking = this.list().map(async ({ volume, path }): Promise<MountSpace[]> => {
      const { promise: late, resolve } = Promise.withResolvers<null>();
      const timer = clock.after(SPACE_MS_MAX, () => resolve(null));
      try {
        const space = await Promise.race([this.#disk.space(path), late]);
        if (space === null) return [];
        const { totalBytes, usedBytes } = space;
        return [{ volume, totalBytes, usedBytes }];
      } catch (error) {
        if (HoldfastError.is(error)) return [];
        throw error;
      } finally {
        timer.cancel();
      }
    });
    return (await Promise.all(asking)).flat();
  }

  async mount(params: MountParams): Promise<MountReport> {
    const { volume, device, path, fsType } = params;
    const mounted = (await readMounts(this.#exec)).findLast((entry) => entry.path === path);
    if (mounted && mounted.device !== device) {
      throw new HoldfastError('in-use', 'Another device is mounted there', {
        details: { path, device: mounted.device, remedy: 'Unmount it, or choose another path' },
      });
    }
    const found = mounted ? fsType : await this.#ensureFormatted(params);
    if (!mounted) {
      if (found === 'ext4' && !params.readOnly) await this.#growOffline(device);
    }
    const report: MountReport = { volume, path, fsType: found, device, error: '' };
    this.#mounts.set(path, report);
    await this.#remember();
    if (!mounted) await this.#mountOrForget(report, params);
    return report;
  }

  async #mountOrForget(report: MountReport, params: MountParams): Promise<void> {
    const { device, path, fsType } = report;
    try {
      await this.#mountDevice(device, path, fsType, optionsOf(params, fsType));
    } catch (error) {
      this.#mounts.delete(path);
      await this.#remember();
      throw error;
    }
  }

  async unmount(volume: VolumeId, path: string): Promise<void> {
    const entry = (await readMounts(this.#exec)).findLast((candidate) => candidate.path === path);
    if (entry) {
      const result = await this.#exec.run(['umount', path], { timeoutMs: MOUNT_TIMEOUT_MS });
      if (result.exitCode !== 0) {
        throw new HoldfastError('in-use', 'Filesystem cannot be unmounted', {
          details: {
            volume,
            path,
            stderr: result.stderr.trim(),
            remedy: 'End the programs that use it',
          },
        });
      }
    }
    this.#mounts.delete(path);
    await this.#remember();
  }

  async #load(): Promise<void> {
    const bytes = await readWholeFile(this.#disk, this.#stateFile);
    if (bytes === undefined) return;
    const remembered = parseReports(decodeText(bytes));
    const table = await readMounts(this.#exec);
    for (const report of remembered) {
      const { path, device } = report;
      if (table.some((entry) => entry.path === path && entry.device === device)) {
        this.#mounts.set(path, report);
      }
    }
  }

  /** One after another: volumes are mounted at the same time, and the file is one. */
  #remember(): Promise<void> {
    return this.#writing.run(this.#stateFile, () => {
      const text = JSON.stringify([...this.#mounts.values()]);
      return replaceWholeFile(this.#disk, this.#stateFile, encodeText(text));
    });
  }

  /**
   * Grows the filesystem to its device. Online, ext4 needs CAP_SYS_RESOURCE; without, it grows when
   * it is mounted the next time.
   */
  async expand(path: string): Promise<MountReport> {
    const report = this.#mounts.get(path);
    if (!report)
      throw new HoldfastError('not-found', 'Nothing is mounted there', { details: { path } });
    if (report.fsType === 'ext4' && !(await this.#isTooSmall(report.device))) return report;
    const argv = report.fsType === 'xfs' ? ['xfs_growfs', path] : ['resize2fs', report.device];
    const result = await this.#exec.run(argv, { timeoutMs: MKFS_TIMEOUT_MS });
    if (result.exitCode === 0) return report;
    throw new HoldfastError('permission-denied', 'Filesystem did not grow', {
      details: {
        path,
        stderr: result.stderr.trim(),
        remedy:
          'ext4 grows online only with CAP_SYS_RESOURCE: unmount and mount again to grow it offline',
      },
    });
  }

  async #isTooSmall(device: string): Promise<boolean> {
    const deviceBytes = await this.#deviceSize(device);
    const [first] = await this.#readAreas(device, deviceBytes);
    const bytes = first === undefined ? undefined : ext4Bytes(first.bytes);
    return bytes !== undefined && deviceBytes - bytes >= EXT4_LAST_GROUP_BYTES;
  }

  /**
   * Where resize2fs has nothing to forbid it. A filesystem that e2fsck will not repair by itself is
   * mounted as it is: `expand` then says what is wrong.
   */
  async #growOffline(device: string): Promise<void> {
    if (!(await this.#isTooSmall(device))) return;
    const check = ['e2fsck', '-f', '-p', device];
    const { exitCode } = await this.#exec.run(check, { timeoutMs: MKFS_TIMEOUT_MS });
    if (exitCode > E2FSCK_CORRECTED) return;
    await this.#exec.run(['resize2fs', device], { timeoutMs: MKFS_TIMEOUT_MS });
  }

  async #ensureFormatted(params: MountParams): Promise<'ext4' | 'xfs'> {
    const { device, fsType, mayFormat, volume } = params;
    const sizeBytes = await this.#deviceSize(device);
    const areas = await this.#readAreas(device, sizeBytes);
    const found = probeFilesystem(areas);
    if (found) return found;
    if (!mayFormat || !areas.every(({ bytes }) => isZero(bytes))) {
      throw new HoldfastError(
        'in-use',
        'Volume has no filesystem that we know, and may hold data',
        {
          details: {
            volume,
            device,
            remedy: 'Use it as a block device, or write zeroes over it yourself',
          },
        },
      );
    }
    const options = mergeMkfsOptions(MKFS_OPTIONS[fsType], params.mkfsOptions ?? []);
    await this.#demand([...MKFS_ARGV[fsType], ...options, device], MKFS_TIMEOUT_MS);
    return fsType;
  }

  async #readAreas(
    device: string,
    sizeBytes: number,
  ): Promise<{ offsetBytes: number; bytes: Uint8Array }[]> {
    const file = await this.#disk.open(device, { write: false });
    try {
      const areas = [];
      for (const { offsetBytes, lengthBytes } of superblockAreas(sizeBytes)) {
        areas.push({ offsetBytes, bytes: await file.read(offsetBytes, lengthBytes) });
      }
      return areas;
    } finally {
      await file.close();
    }
  }

  async #deviceSize(device: string): Promise<number> {
    const { stdout } = await this.#demand(['blockdev', '--getsize64', device], MOUNT_TIMEOUT_MS);
    return Number(stdout.trim());
  }

  async #mountDevice(device: string, path: string, fsType: string, options: string): Promise<void> {
    await this.#disk.makeDirectory(path);
    await this.#demand(['mount', '-t', fsType, '-o', options, device, path], MOUNT_TIMEOUT_MS);
  }

  async #demand(argv: readonly string[], timeoutMs: number): Promise<ExecResult> {
    const result = await this.#exec.run(argv, { timeoutMs });
    if (result.exitCode === 0) return result;
    throw new HoldfastError('io-error', 'Program failed', {
      details: { program: argv.join(' '), exitCode: result.exitCode, stderr: result.stderr.trim() },
    });
  }
}

/** A clone has the uuid of its source, which xfs refuses to mount twice. */
function optionsOf(params: MountParams, fsType: string): string {
  const access = params.readOnly ? 'ro' : 'rw';
  const identity = fsType === 'xfs' ? ['nouuid'] : [];
  return [access, ...identity, ...(params.options ?? [])].join(',');
}

/** Nothing where the file was damaged: what is mounted is then seen when it is mounted again. */
function parseReports(text: string): MountReport[] {
  try {
    return JSON.parse(text) as MountReport[];
  } catch {
    return [];
  }
}
