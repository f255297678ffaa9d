/** Bytes as NBD clients send them, and a connection that only remembers: for session tests. */
import { concatBytes, encodeText } from '#lib/mod.ts';
import { encodeRequest, NBD_OPT_GO, NBD_OPT_SET_META_CONTEXT } from '#data/proto/nbd/mod.ts';
import type { Conn, ConnHandler } from '#host/mod.ts';

export function optionBytes(option: number, data: Uint8Array = new Uint8Array()): Uint8Array {
  return concatBytes([encodeText('IHAVEOPT'), u32(option), u32(data.byteLength), data]);
}

export function clientFlags(flags = 3): Uint8Array {
  return u32(flags);
}

export function goBytes(name: string, infos: readonly number[] = []): Uint8Array {
  const encoded = encodeText(name);
  const count = Uint8Array.of(0, infos.length, ...infos.flatMap((info) => [0, info]));
  return optionBytes(NBD_OPT_GO, concatBytes([u32(encoded.byteLength), encoded, count]));
}

export function metaContextBytes(name: string, queries: readonly string[]): Uint8Array {
  const encoded = encodeText(name);
  const parts = [u32(encoded.byteLength), encoded, u32(queries.length)];
  for (const query of queries) parts.push(u32(query.length), encodeText(query));
  return optionBytes(NBD_OPT_SET_META_CONTEXT, concatBytes(parts));
}

export function requestBytes(
  command: number,
  cookie: number,
  offsetBytes: number,
  lengthBytes: number,
  options: { readonly flags?: number; readonly data?: Uint8Array } = {},
): Uint8Array {
  const header = new Uint8Array(28);
  encodeRequest(header, command, options.flags ?? 0, cookie, offsetBytes, lengthBytes);
  return concatBytes([header, options.data ?? new Uint8Array()]);
}

export function u32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

/** Remembers what was written and what became of it. */
export class RecordingConn implements Conn {
  readonly peer = 'test';
  handler: ConnHandler | null = null;
  written: Uint8Array[] = [];
  writeCount = 0;
  paused = false;
  ended = false;
  closed = false;
  /** What `write` answers. */
  takes = true;

  start(handler: ConnHandler): void {
    this.handler = handler;
  }
  write(chunks: readonly Uint8Array[]): boolean {
    this.writeCount++;
    for (const chunk of chunks) this.written.push(chunk.slice());
    return this.takes;
  }
  queuedBytes(): number {
    return 0;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  end(): void {
    this.ended = true;
  }
  close(): void {
    this.closed = true;
  }

  /**
   * Delivers through memory that is overwritten afterwards, as a static receive buffer is; a
   * Buffer, as from Node's sockets, whose slice is no copy.
   */
  deliver(bytes: Uint8Array): void {
    const buffer = Buffer.from(bytes);
    this.handler?.onBytes(buffer);
    buffer.fill(0xdd);
  }

  takeWritten(): Uint8Array {
    const all = concatBytes(this.written);
    this.written = [];
    return all;
  }
}
