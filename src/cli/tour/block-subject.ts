/**
 * Blocks over NBD, for a machine or user that cannot mount. Checksums are kept here, outside the
 * volume, from the moment a write is durable; what was never written must read as zero.
 */
import { formatBytes } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import { isZero } from '#lib/mod.ts';
import { withCluster } from '../cluster-client.ts';
import type { BlockExport } from '../context.ts';
import { findVolume } from '../find-volume.ts';
import { nbdUrl } from '../serve-volume.ts';
import { summarise } from './file-subject.ts';
import type { Guide } from './guide.ts';
import { checksum } from './pattern.ts';
import type { Moment, Subject, Verification } from './subject.ts';
import type { WriteOne } from './writer.ts';

/** A piece has one checksum. */
const PIECE_BYTES = 64 * 1024;
/** Pieces are written near each other: a scrub reads every segment that was ever written. */
const WINDOW_BYTES = 64 * 1024 * 1024;
const READ_BYTES = 1024 * 1024;
const RETRY_MS = 20;
/** What a client sees while nobody serves the export. */
const PASSING = new Set(['disconnected', 'refused', 'not-found', 'timed-out', 'stale-session']);
const RETRY_MS_MAX = 60_000;

type Pieces = Map<number, string>;

interface Client {
  readonly url: string;
  current: BlockExport;
}

export class BlockSubject implements Subject {
  readonly noun = 'blocks over NBD';
  readonly #guide: Guide;
  readonly #pieces: Pieces = new Map();
  #snapshot: Pieces = new Map();
  readonly #clients = new Set<Client>();

  constructor(guide: Guide) {
    this.#guide = guide;
  }

  async open(claim: string): Promise<void> {
    await this.#guide.run('volume', 'attach', claim);
  }

  async close(claim: string): Promise<void> {
    await this.#guide.run('volume', 'detach', claim);
  }

  /** Two clients with halves of their own, so that no write is answered by another's. */
  async writes(claim: string): Promise<readonly WriteOne[]> {
    const clients = [await this.#connect(claim), await this.#connect(claim)];
    return clients.map((client, half) => () => this.#writePiece(client, half));
  }

  async settle(): Promise<void> {
    for (const one of this.#clients) await this.#disconnect(one);
  }

  describe(): string {
    return describePieces(this.#pieces);
  }

  rememberSnapshot(): void {
    this.#snapshot = new Map(this.#pieces);
  }

  async overwrite(claim: string): Promise<string> {
    const client = await this.#connect(claim);
    for (const [index, piece] of [...this.#pieces.keys()].entries()) {
      if (index % 2 === 0) await this.#write(client, piece);
    }
    await this.#disconnect(client);
    return 'every second piece overwritten';
  }

  async verify(claim: string, moment: Moment): Promise<Verification> {
    const wanted = moment === 'now' ? this.#pieces : this.#snapshot;
    const client = await this.#connect(claim);
    const { current } = client;
    const differences: string[] = [];
    try {
      for (let at = 0; at < current.sizeBytes; at += READ_BYTES) {
        const bytes = await current.read(at, Math.min(READ_BYTES, current.sizeBytes - at));
        for (let inner = 0; inner < bytes.byteLength; inner += PIECE_BYTES) {
          const piece = bytes.subarray(inner, inner + PIECE_BYTES);
          const sum = wanted.get((at + inner) / PIECE_BYTES);
          const isRight = sum === undefined ? isZero(piece) : checksum(piece) === sum;
          if (!isRight) differences.push(`64 KiB at ${at + inner} have another checksum`);
        }
      }
      const size = formatBytes(current.sizeBytes);
      const compared = `${describePieces(wanted)}, and zeroes in the rest of ${size}`;
      return { differences: summarise(differences), compared };
    } finally {
      await this.#disconnect(client);
    }
  }

  async #writePiece(client: Client, half: number): Promise<void> {
    const pieces = WINDOW_BYTES / PIECE_BYTES / 2;
    const piece = half * pieces + this.#guide.context.host.rng.below(pieces);
    await this.#write(client, piece);
  }

  /** The same bytes again after a broken connection: whether they had arrived is not known. */
  async #write(client: Client, piece: number): Promise<void> {
    const bytes = this.#guide.context.host.rng.bytes(PIECE_BYTES);
    const { clock } = this.#guide;
    const begunMs = clock.monotonicMs();
    for (;;) {
      try {
        await client.current.write(piece * PIECE_BYTES, bytes);
        await client.current.flush();
        this.#pieces.set(piece, checksum(bytes));
        return;
      } catch (error) {
        if (!isPassing(error) || clock.monotonicMs() - begunMs > RETRY_MS_MAX) throw error;
        await clock.sleep(RETRY_MS);
        await this.#reconnect(client);
      }
    }
  }

  /** To the same address, as any NBD client would: the next engine serves it there. */
  async #reconnect(client: Client): Promise<void> {
    try {
      const broken = client.current;
      client.current = await this.#guide.context.machine.connectExport(client.url);
      await broken.close();
    } catch (error) {
      if (!isPassing(error)) throw error;
    }
  }

  async #connect(claim: string): Promise<Client> {
    const { context, clusterPath } = this.#guide;
    const url = await withCluster(context, { cluster: clusterPath }, async (cluster) => {
      const { volume } = await findVolume(cluster, claim, undefined);
      return nbdUrl(volume);
    });
    if (url === undefined) throw new HoldfastError('not-found', 'Volume is not served over NBD');
    const client = { url, current: await context.machine.connectExport(url) };
    this.#clients.add(client);
    return client;
  }

  async #disconnect(client: Client): Promise<void> {
    this.#clients.delete(client);
    await client.current.close();
  }
}

function isPassing(error: unknown): boolean {
  return HoldfastError.is(error) && PASSING.has(error.code);
}

function describePieces(pieces: Pieces): string {
  return `${pieces.size} pieces of 64 KiB`;
}
