/**
 * VolumeFrontends: what clients of one attached volume talk to: an NBD server, a loop device over
 * FUSE, or both. One that does not start is tried again; the others serve meanwhile.
 *
 * Invariants
 * - One change at a time: an end waits for a start that is under way, so that nothing is left that
 *   nobody knows of.
 * - After `stop` there is no mount, holder or loop device of the volume, whichever engine made it.
 */
import { type AttachSpec, type FrontendReport, HoldfastError } from '#api/mod.ts';
import type { BlockDevice } from '#data/block/mod.ts';
import { FuseFrontend, NbdServer } from '#data/frontend/mod.ts';
import type { FuseMounts, Host } from '#host/mod.ts';
import { KeyedMutex } from '#lib/mod.ts';

export interface VolumeFrontendsOptions {
  readonly host: Host;
  /** Null where this machine cannot mount. */
  readonly fuseMounts: FuseMounts | null;
  readonly spec: Pick<AttachSpec, 'volume' | 'claim' | 'frontends'>;
  readonly nbdPath: string;
  /** Where sessions are remembered. */
  readonly stateDirectory: string;
  /** What a new NBD session is given. */
  readonly nbdDevice: () => BlockDevice;
  /** The volume as a client session sees it that began under this epoch (Lost means failed). */
  readonly openSession: (sessionEpoch: number) => BlockDevice;
  /** Epoch of the nexus that serves now. */
  readonly epoch: () => number;
}

type FrontendKind = FrontendReport['kind'];

const RETRY_MS = 1_000;

export class VolumeFrontends {
  readonly #options: VolumeFrontendsOptions;
  readonly #mutex = new KeyedMutex();
  readonly #errors = new Map<FrontendKind, string>();
  #nbd: NbdServer | null = null;
  #fuse: FuseFrontend | null = null;
  #ended = false;

  constructor(options: VolumeFrontendsOptions) {
    this.#options = options;
  }

  /** The nexus serves. Returns when each has been tried once. */
  start(): Promise<void> {
    return this.#alone(async () => {
      if (this.#ended) return;
      for (const kind of this.#options.spec.frontends) await this.#tryStart(kind);
      if (this.#errors.size > 0) {
        this.#options.host.clock.after(RETRY_MS, () => void this.start());
      }
    });
  }

  reports(): FrontendReport[] {
    return this.#options.spec.frontends.map((kind) => this.#report(kind));
  }

  /** After the volume grew. */
  async showSize(): Promise<void> {
    await this.#fuse?.showSize();
  }

  /** Lost means failed: FUSE sessions fail by the age of their device, NBD sessions end here. */
  failNbdSessions(): void {
    const { host, spec } = this.#options;
    this.#nbd?.failSessions(spec.volume, host.clock.monotonicMs());
  }

  /**
   * The end of the attachment. `in-use` when a filesystem is mounted on the device and the end is
   * not forced; everything serves on then. Forced, what is mounted gets errors from now on.
   */
  stop(force: boolean): Promise<void> {
    return this.#alone(async () => {
      if (!force) await this.#demandUnmounted();
      this.#ended = true;
      await this.#nbd?.stop();
      this.#nbd = null;
      await this.#stopFuse();
    });
  }

  /** End of the process to come: the session stays with its holder for the next engine. */
  handOver(): Promise<void> {
    return this.#alone(async () => {
      this.#ended = true;
      await this.#nbd?.stop();
      await this.#fuse?.handOver();
    });
  }

  #alone<T>(action: () => Promise<T>): Promise<T> {
    return this.#mutex.run('frontends', action);
  }

  async #tryStart(kind: FrontendKind): Promise<void> {
    try {
      if (kind === 'nbd') this.#nbd ??= await this.#startNbd();
      else this.#fuse ??= await FuseFrontend.start(this.#fuseOptions(this.#demandMounts()));
      this.#errors.delete(kind);
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      const { log } = this.#options.host;
      this.#errors.set(kind, `${error.code}: ${error.message}`);
      log.error('Frontend did not start', { kind, error, details: error.details });
    }
  }

  #startNbd(): Promise<NbdServer> {
    const { host, nbdPath, nbdDevice, spec } = this.#options;
    const { volume: name, claim: description } = spec;
    return NbdServer.start(host, {
      address: { kind: 'unix', path: nbdPath },
      exports: () => [{ name, description, device: nbdDevice() }],
    });
  }

  #demandMounts(): FuseMounts {
    const { fuseMounts } = this.#options;
    if (fuseMounts) return fuseMounts;
    throw new HoldfastError('capability-missing', 'This machine cannot mount volumes', {
      details: { remedy: 'Run `holdfast doctor`; the volume is served over NBD meanwhile' },
    });
  }

  #fuseOptions(mounts: FuseMounts): Parameters<typeof FuseFrontend.start>[0] {
    const { host, spec, stateDirectory, openSession, epoch } = this.#options;
    return {
      mounts,
      disk: host.disk,
      log: host.log,
      imageFile: `${stateDirectory}/${spec.volume}.img`,
      stateFile: `${stateDirectory}/${spec.volume}.fuse.json`,
      openDevice: openSession,
      epoch: epoch(),
    };
  }

  /** Also the session of an engine before this one, which nobody took over yet. */
  async #demandUnmounted(): Promise<void> {
    const { fuseMounts } = this.#options;
    if (fuseMounts) await FuseFrontend.demandUnmounted(this.#fuseOptions(fuseMounts));
  }

  async #stopFuse(): Promise<void> {
    const { fuseMounts } = this.#options;
    const serving = this.#fuse;
    if (fuseMounts) await FuseFrontend.clear(this.#fuseOptions(fuseMounts));
    // It answers until the kernel has let go.
    serving?.abandon();
    this.#fuse = null;
  }

  #report(kind: FrontendKind): FrontendReport {
    const error = this.#errors.get(kind) ?? '';
    if (kind === 'fuse') return this.#fuse?.report() ?? { kind, url: '', error };
    const { spec, nbdPath } = this.#options;
    const url = this.#nbd ? `nbd+unix:///${spec.volume}?socket=${nbdPath}` : '';
    return { kind, url, error };
  }
}
