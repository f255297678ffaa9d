import { HoldfastError, type AddressText, type Handlers } from '#api/mod.ts';
import type { Check, Checks } from '#api/checks/mod.ts';
import type { Clock, Conn, Log, Net, Timer } from '#host/mod.ts';
import { formatAddress, parseAddress } from './address.ts';
import {
  asRecord,
  encodeFrame,
  FRAME_BODY_BYTES_MAX,
  FrameDecoder,
  HELLO_BYTES_MAX,
} from './frame.ts';
import { RPC_PROTOCOL, RPC_VERSION } from './version.ts';

export interface RpcServerOptions<Table> {
  readonly clock: Clock;
  readonly log: Log;
  /** Run before the handler: what they throw is the answer. */
  readonly checks: Checks<Table>;
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

interface AnyMethod {
  readonly check: Check<unknown>;
  readonly handler: (params: unknown) => Promise<unknown>;
}

type Methods = ReadonlyMap<string, AnyMethod>;

function methodsOf<Table>(handlers: Handlers<Table>, checks: Checks<Table>): Methods {
  const methods = new Map<string, AnyMethod>();
  for (const name of Object.keys(handlers) as (keyof Table & string)[]) {
    const handler = handlers[name] as AnyMethod['handler'];
    methods.set(name, { check: checks[name], handler });
  }
  return methods;
}

/**
 * Answers calls at `address` until closed. A handler that throws a HoldfastError answers with it;
 * any other exception is a mistake of ours and is not caught here: it ends the process.
 */
export async function serveRpc<Table>(
  net: Net,
  address: AddressText,
  handlers: Handlers<Table>,
  options: RpcServerOptions<Table>,
): Promise<RpcServer> {
  const methods = methodsOf(handlers, options.checks);
  const connectionsMax = options.connectionsMax ?? 64;
  const sessions = new Set<ServerSession>();
  const listener = await net.listen(parseAddress(address), (conn) => {
    if (sessions.size >= connectionsMax) {
      options.log.warn('RPC connection refused: too many', { connections: sessions.size });
      conn.close();
      return;
    }
    const session = new ServerSession(conn, methods, options, () => sessions.delete(session));
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

type SessionOptions = Omit<RpcServerOptions<unknown>, 'checks'>;

class ServerSession {
  readonly #conn: Conn;
  readonly #methods: Methods;
  readonly #options: SessionOptions;
  readonly #onEnd: () => void;
  readonly #decoder = new FrameDecoder(HELLO_BYTES_MAX);
  readonly #helloTimer: Timer;
  #greeted = false;
  #ended = false;
  #callsInFlight = 0;

  constructor(conn: Conn, methods: Methods, options: SessionOptions, onEnd: () => void) {
    this.#conn = conn;
    this.#methods = methods;
    this.#options = options;
    this.#onEnd = onEnd;
    this.#helloTimer = options.clock.after(options.helloTimeoutMs ?? 10_000, () => {
      if (!this.#greeted) this.close();
    });
  }

  start(): void {
    this.#conn.start({
      onBytes: (bytes) => this.#onBytes(bytes),
      onDrain: () => this.#conn.resume(),
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
      this.#decoder.push(bytes, (value) => this.#onMessage(asRecord(value)));
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
      this.#decoder.bodyBytesMax = FRAME_BODY_BYTES_MAX;
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
    const known = this.#methods.get(method);
    if (known === undefined) {
      this.#send({
        id,
        error: new HoldfastError('unsupported', 'Method is unknown', {
          details: {
            method: method.slice(0, 80),
            remedy: 'Compare the versions of both processes',
          },
        }),
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
      const result = await known.handler(known.check(params, ''));
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
    // Who does not fetch answers is not asked for more calls: the queue stays bounded.
    if (!this.#conn.write(encodeFrame(message))) this.#conn.pause();
  }
}
