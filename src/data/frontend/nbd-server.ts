/**
 * Serves block devices over NBD.
 *
 *     const server = await NbdServer.start(host, {
 *       address: { kind: 'unix', path: '/run/holdfast/demo.sock' },
 *       exports: () => [{ name: 'demo', description: 'default/demo', device }],
 *     });
 *     …
 *     await server.stop();
 *
 * - Exports are asked for anew by every connection: what was added, or has grown, is seen by those
 *   that come later. An empty name means the only export, when there is exactly one.
 * - All connections of an export share its device, so a flush on one covers what completed on the
 *   others: that is what NBD_FLAG_CAN_MULTI_CONN promises.
 * - Any offset and length the device takes is served, also below the advertised 512 bytes: put an
 *   AlignDevice around a device of larger blocks.
 */
import { type BlockDevice, SECTOR_BYTES } from '#data/block/mod.ts';
import {
  NBD_FLAG_CAN_MULTI_CONN,
  NBD_FLAG_HAS_FLAGS,
  NBD_FLAG_READ_ONLY,
  NBD_FLAG_SEND_FAST_ZERO,
  NBD_FLAG_SEND_FLUSH,
  NBD_FLAG_SEND_FUA,
  NBD_FLAG_SEND_TRIM,
  NBD_FLAG_SEND_WRITE_ZEROES,
  type NbdExportOffer,
} from '#data/proto/nbd/mod.ts';
import type { Address, Conn, Host, Listener } from '#host/mod.ts';
import { NbdSession } from './nbd-session.ts';

/** Largest request that we ask clients to keep to; up to 64 MiB is served. */
const ADVERTISED_BYTES_MAX = 32 * 1024 * 1024;

export interface NbdExport {
  readonly name: string;
  /** For people: `nbdinfo` shows it. */
  readonly description: string;
  readonly device: BlockDevice;
}

export interface NbdServerOptions {
  readonly address: Address;
  /** The exports of this moment. */
  readonly exports: () => readonly NbdExport[];
  /** Default 10 s. */
  readonly handshakeTimeoutMs?: number;
  /** Further connections are closed at once; default 128. */
  readonly connectionCountMax?: number;
  /** Per connection; default 32 MiB. */
  readonly inFlightBytesMax?: number;
}

export class NbdServer {
  readonly #host: Pick<Host, 'clock' | 'net' | 'log'>;
  readonly #options: NbdServerOptions;
  readonly #sessions = new Set<NbdSession>();
  #listener: Listener | null = null;
  #stopping = false;

  private constructor(host: Pick<Host, 'clock' | 'net' | 'log'>, options: NbdServerOptions) {
    this.#host = host;
    this.#options = options;
  }

  /** Rejects with `address-in-use` and what else `Net.listen` says. */
  static async start(
    host: Pick<Host, 'clock' | 'net' | 'log'>,
    options: NbdServerOptions,
  ): Promise<NbdServer> {
    const server = new NbdServer(host, options);
    server.#listener = await host.net.listen(options.address, (conn) => server.#accept(conn));
    return server;
  }

  /** With the port that was chosen when 0 was asked for. */
  get address(): Address {
    return this.#listener?.address ?? this.#options.address;
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  /**
   * *Lost means failed*: ends every session of the export that began before `beforeMs` (monotonic),
   * because it may have seen acknowledged writes that are gone. Returns how many.
   */
  failSessions(exportName: string, beforeMs: number): number {
    const failed = [...this.#sessions].filter(
      (session) => session.exportName === exportName && session.openedMs < beforeMs,
    );
    for (const session of failed) session.fail('Acknowledged writes may be lost');
    return failed.length;
  }

  /**
   * Accepts no more; sessions get the replies to what they have sent, then end. Devices stay open.
   */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#listener?.close();
    await Promise.all([...this.#sessions].map((session) => session.drain()));
  }

  #accept(conn: Conn): void {
    const { connectionCountMax = 128, handshakeTimeoutMs = 10_000 } = this.#options;
    if (this.#stopping || this.#sessions.size >= connectionCountMax) {
      this.#host.log.warn('NBD connection refused', { peer: conn.peer, connectionCountMax });
      conn.close();
      return;
    }
    const session = new NbdSession(conn, {
      clock: this.#host.clock,
      log: this.#host.log,
      exports: { list: () => this.#offers(), find: (name) => this.#findOffer(name) },
      device: (name) => this.#options.exports().find((found) => found.name === name)?.device,
      handshakeTimeoutMs,
      inFlightBytesMax: this.#options.inFlightBytesMax ?? 32 * 1024 * 1024,
      onClosed: (closed) => this.#sessions.delete(closed),
    });
    this.#sessions.add(session);
    session.start();
  }

  #offers(): NbdExportOffer[] {
    return this.#options.exports().map(offerOf);
  }

  #findOffer(name: string): NbdExportOffer | undefined {
    const offers = this.#offers();
    const found = offers.find((offer) => offer.name === name);
    if (found !== undefined || name !== '' || offers.length !== 1) return found;
    return offers[0];
  }
}

function offerOf({ name, description, device }: NbdExport): NbdExportOffer {
  const { capabilities, limits, sizeBytes } = device;
  const flags =
    NBD_FLAG_HAS_FLAGS |
    NBD_FLAG_CAN_MULTI_CONN |
    (capabilities.readOnly ? NBD_FLAG_READ_ONLY : 0) |
    (capabilities.flush ? NBD_FLAG_SEND_FLUSH : 0) |
    (capabilities.fua ? NBD_FLAG_SEND_FUA : 0) |
    (capabilities.trim && !capabilities.readOnly ? NBD_FLAG_SEND_TRIM : 0) |
    (capabilities.zero && !capabilities.readOnly
      ? NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_FAST_ZERO
      : 0);
  // A size that is no multiple of the sector is served by the byte: the last bytes must be
  // reachable.
  const sectorBytes = sizeBytes % SECTOR_BYTES === 0 ? SECTOR_BYTES : 1;
  const minBytes = Math.max(limits.minBytes, sectorBytes);
  const preferredBytes = Math.max(minBytes, limits.preferredBytes, 4096);
  return {
    name,
    description,
    sizeBytes,
    flags,
    minBytes,
    preferredBytes,
    maxBytes: ADVERTISED_BYTES_MAX,
  };
}
