/**
 * FuseFrontend: a volume as a loop device. Owns the mount, its holder and the loop device, and
 * remembers them durably so that the next engine takes the same session over
 * (docs/design/0008-fuse.md).
 *
 * A session is as old as its mount: when the volume lost writes after the session began, the device
 * that it was given fails everything for good (Lost means failed), whichever engine finds it.
 */
import { type FrontendReport, hasCode, HoldfastError } from '#api/mod.ts';
import type { BlockDevice } from '#data/block/mod.ts';
import {
  readWholeFile,
  replaceWholeFile,
  type Disk,
  type FuseChannel,
  type FuseMountState,
  type FuseMounts,
  type Log,
} from '#host/mod.ts';
import { decodeText, encodeText } from '#lib/mod.ts';
import { FuseServer } from './fuse-server.ts';

export interface FuseFrontendOptions {
  readonly mounts: FuseMounts;
  readonly disk: Disk;
  readonly log: Log;
  /** The file that the session is mounted on. */
  readonly imageFile: string;
  /** Where the session is remembered. */
  readonly stateFile: string;
  /** The volume as a client session sees it that began under this epoch (Lost means failed). */
  readonly openDevice: (sessionEpoch: number) => BlockDevice;
  /** Epoch of the nexus that serves now. */
  readonly epoch: number;
}

interface SessionState extends FuseMountState {
  /** Epoch of the nexus under which the session began. */
  readonly sessionEpoch: number;
  readonly loopDevice: string;
}

export class FuseFrontend {
  readonly #options: FuseFrontendOptions;
  readonly #server: FuseServer;
  #state: SessionState;
  #error = '';

  private constructor(
    options: FuseFrontendOptions,
    channel: FuseChannel,
    state: SessionState,
    takenOver: boolean,
  ) {
    this.#options = options;
    this.#state = state;
    this.#server = new FuseServer({
      channel,
      device: options.openDevice(state.sessionEpoch),
      takenOver,
      onEnd: (error) => this.#onEnd(error),
    });
  }

  /**
   * Takes the session of the last engine over, or begins one. The device serves already:
   * the kernel asks as soon as the loop device exists.
   */
  static async start(options: FuseFrontendOptions): Promise<FuseFrontend> {
    const remembered = await readState(options);
    if (remembered !== undefined) {
      const channel = await takeOver(options, remembered);
      if (channel) return FuseFrontend.#resume(options, channel, remembered);
    }
    await clearDevices(options, remembered);
    const { channel, state } = await options.mounts.mount(options.imageFile);
    const session: SessionState = { ...state, sessionEpoch: options.epoch, loopDevice: '' };
    const frontend = new FuseFrontend(options, channel, session, false);
    await frontend.#remember(session);
    await frontend.#attachLoop();
    return frontend;
  }

  static async #resume(
    options: FuseFrontendOptions,
    channel: FuseChannel,
    state: SessionState,
  ): Promise<FuseFrontend> {
    const frontend = new FuseFrontend(options, channel, state, true);
    // The former engine may have died between the mount and the loop device.
    if (state.loopDevice === '') await frontend.#attachLoop();
    return frontend;
  }

  report(): FrontendReport {
    return { kind: 'fuse', url: this.#state.loopDevice, error: this.#error };
  }

  /** After the volume grew: the loop device shows the new size. */
  async showSize(): Promise<void> {
    await this.#options.mounts.resizeLoop(this.#state.loopDevice);
  }

  /**
   * A planned restart: answers what is in flight; the kernel keeps what comes until the next
   * engine.
   */
  async handOver(): Promise<void> {
    await this.#server.stop();
  }

  /**
   * A device that is taken from under a mounted filesystem leaves it unclean, whoever asks for it.
   * Throws `in-use`. Asked of the session as it lies on this machine, whichever engine made it.
   */
  static async demandUnmounted({ mounts, imageFile }: FuseFrontendOptions): Promise<void> {
    for (const device of await mounts.findLoops(imageFile)) {
      const [path] = await mounts.findMountPoints(device);
      if (path === undefined) continue;
      throw new HoldfastError('in-use', 'Volume is mounted', {
        details: { device, path, remedy: 'Unmount it first' },
      });
    }
  }

  /**
   * The end of the attachment: loop device, mount, holder and state go, whichever engine made them;
   * one that serves does so until this returns, and is abandoned then.
   */
  static async clear(options: FuseFrontendOptions): Promise<void> {
    const { disk, stateFile, imageFile } = options;
    await clearDevices(options, await readState(options));
    await disk.remove(stateFile);
    await disk.remove(imageFile);
  }

  abandon(): void {
    this.#server.abandon();
  }

  #onEnd(error: HoldfastError | null): void {
    this.#error = error
      ? `${error.code}: ${error.message}`
      : 'disconnected: unmounted by someone else';
    this.#options.log.warn('FUSE session ended', { imageFile: this.#state.imageFile, error });
  }

  async #attachLoop(): Promise<void> {
    const { mounts } = this.#options;
    const [found] = await mounts.findLoops(this.#state.imageFile);
    const loopDevice = found ?? (await mounts.attachLoop(this.#state.imageFile));
    await this.#remember({ ...this.#state, loopDevice });
  }

  async #remember(state: SessionState): Promise<void> {
    this.#state = state;
    const { disk, stateFile } = this.#options;
    await replaceWholeFile(disk, stateFile, encodeText(JSON.stringify(state)));
  }
}

async function readState(options: FuseFrontendOptions): Promise<SessionState | undefined> {
  const bytes = await readWholeFile(options.disk, options.stateFile);
  if (bytes === undefined) return undefined;
  try {
    return JSON.parse(decodeText(bytes)) as SessionState;
  } catch {
    options.log.warn('FUSE session state is unreadable', { file: options.stateFile });
    return undefined;
  }
}

/** Without its state: an engine was killed between the mount and the note of it. */
async function clearDevices(
  { mounts, imageFile }: FuseFrontendOptions,
  state: FuseMountState | undefined,
): Promise<void> {
  if (state !== undefined) {
    for (const device of await mounts.findLoops(imageFile)) await mounts.detachLoop(device);
    await mounts.unmount(state);
  }
  await mounts.clearUnknown(imageFile);
}

async function takeOver(
  options: FuseFrontendOptions,
  state: SessionState,
): Promise<FuseChannel | null> {
  try {
    return await options.mounts.takeOver(state);
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error;
    return null;
  }
}
