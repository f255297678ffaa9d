import { HoldfastError, type AddressText, type Handlers } from '#api/mod.ts';
import type { Clock, Conn, Log, Net, Timer } from '#host/mod.ts';
import { formatAddress, parseAddress } from './address.ts';
import { asRecord, encodeFrame, FrameDecoder } from './frame.ts';
import { RPC_PROTOCOL, RPC_VERSION } from './version.ts';

export interface RpcServerOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Further connections are closed at once. */
  readonly connectionsMax?: number;
  /** Calls in flight on one connection; further ones are answered with `refused`. */
  readonly callsMax?: number;
  /** A connection that has not said hello by then is closed. */
  readonly helloTimeoutMs?: number;
}

export interface RpcServer {
  /** With the port that was chosen when 0 was asked for. */
  readonly address: AddressText;
  /** Stops accepting and closes every connection; calls in flight run on, unheard. */
  close(): Promise<void>;
}

type AnyHandler = (params: unknown) => Promise<unknown>;

/**
 * Answers calls at `address` until closed. A handler that throws a HoldfastError answers with it;
 * any other exception is a mistake of ours and is not caught here: it ends the process.
 */
export async function serveRpc<Table>(
  net: Net,
  address: AddressText,
  handlers: Handlers<Table>,
  options: RpcServerOptions,
): Promise<RpcServer> {
  const table = handlers as unknown as Readonly<Record<string, AnyHandler>>;
  const connectionsMax = options.connectionsMax ?? 64;
  const sessions = new Set<ServerSession>();
  const listener = await net.listen(parseAddress(address), (conn) => {
    if (sessions.size >= connectionsMax) {
      options.log.warn('RPC connection refused: too many', { connections: sessions.size });
      conn.close();
      return;
    }
    const session = new ServerSession(conn, table, options, () => sessions.delete(session));
    sessions.add(session);
    session.start();
  });
  return {
    address: formatAddress(listener.address),
    async close() {
      await listener.close();
      for (const session of sessions) session.close();
    },
  };
}

class ServerSession {
  readonly #conn: Conn;
  readonly #table: Readonly<Record<string, AnyHandler>>;
  readonly #options: RpcServerOptions;
  readonly #onEnd: () => void;
  readonly #decoder = new FrameDecoder();
  readonly #helloTimer: Timer;
  #greeted = false;
  #ended = false;
  #callsInFlight = 0;

  constructor(
    conn: Conn,
    table: Readonly<Record<string, AnyHandler>>,
    options: RpcServerOptions,
    onEnd: () => void,
  ) {
    this.#conn = conn;
    this.#table = table;
    this.#options = options;
    this.#onEnd = onEnd;
    this.#helloTimer = options.clock.after(options.helloTimeoutMs ?? 10_000, () => {
      if (!this.#greeted) this.close();
    });
  }

  start(): void {
    this.#conn.start({
      onBytes: (bytes) => this.#onBytes(bytes),
      onClose: () => this.#end(),
    });
  }

  close(): void {
    this.#conn.close();
    this.#end();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#helloTimer.cancel();
    this.#onEnd();
  }

  #onBytes(bytes: Uint8Array): void {
    if (this.#ended) return;
    try {
      for (const value of this.#decoder.push(bytes)) this.#onMessage(asRecord(value));
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      this.#options.log.warn('RPC connection closed: bad frame', {
        peer: this.#conn.peer,
        code: error.code,
        message: error.message,
      });
      this.close();
    }
  }

  #onMessage(message: Readonly<Record<string, unknown>>): void {
    if (!this.#greeted) {
      if (message['hello'] !== RPC_PROTOCOL || message['version'] !== RPC_VERSION) {
        throw new HoldfastError('protocol-violation', 'RPC peer speaks another protocol', {
          details: { hello: String(message['hello']), version: String(message['version']) },
        });
      }
      this.#greeted = true;
      this.#helloTimer.cancel();
      this.#send({ hello: RPC_PROTOCOL, version: RPC_VERSION });
      return;
    }
    const { id, method, params } = message;
    if (!Number.isSafeInteger(id) || typeof method !== 'string') {
      throw new HoldfastError('protocol-violation', 'RPC call has no id or method');
    }
    void this.#answer(id as number, method, params);
  }

  async #answer(id: number, method: string, params: unknown): Promise<void> {
    const handler = Object.hasOwn(this.#table, method) ? this.#table[method] : undefined;
    if (handler === undefined) {
      this.#send({
        id,
        error: new HoldfastError('unsupported', 'Method is unknown', { details: { method } }),
      });
      return;
    }
    if (this.#callsInFlight >= (this.#options.callsMax ?? 256)) {
      this.#send({
        id,
        error: new HoldfastError('refused', 'Too many calls in flight', { details: { method } }),
      });
      return;
    }
    this.#callsInFlight += 1;
    try {
      const result = await handler(params);
      this.#send({ id, result: result ?? null });
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      this.#send({ id, error });
    } finally {
      this.#callsInFlight -= 1;
    }
  }

  #send(message: Readonly<Record<string, unknown>>): void {
    if (this.#ended) return;
    this.#conn.write(encodeFrame(message));
  }
}
