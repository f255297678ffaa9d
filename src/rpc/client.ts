import { HoldfastError, type AddressText, type ParamsOf, type ResultOf } from '#api/mod.ts';
import type { Clock, Conn, Net, Timer } from '#host/mod.ts';
import { Deferred } from '#lib/mod.ts';
import { parseAddress } from './address.ts';
import { asRecord, encodeFrame, FrameDecoder } from './frame.ts';
import { RPC_PROTOCOL, RPC_VERSION } from './version.ts';

export interface RpcClientOptions {
  readonly net: Net;
  readonly clock: Clock;
  readonly address: AddressText;
  readonly connectTimeoutMs?: number;
  /** Calls in flight; further ones fail with `refused`. */
  readonly callsMax?: number;
  /** The connection ends when so long no call was under way; the next call connects again. */
  readonly idleMs?: number;
}

export interface RpcCallOptions {
  /** Default 10 s. The time to connect counts too. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

const DEFAULT_TIMEOUT_MS = 10_000;

/**
 * Calls the methods of `Table` at one address. It connects at the first call and again at the next
 * call after a loss; it never sends a call twice.
 *
 * Errors besides the callee's own: `refused` and `not-found` (nothing listens, effect none),
 * `timed-out`, `disconnected` and `aborted` (effect unknown once the call was sent).
 */
export class RpcClient<Table> {
  readonly address: AddressText;
  readonly #options: RpcClientOptions;
  #session: Promise<ClientSession> | null = null;
  #calls = 0;
  #idle: Timer | null = null;
  #closed = false;

  constructor(options: RpcClientOptions) {
    this.#options = options;
    this.address = options.address;
  }

  async call<Name extends keyof Table & string>(
    method: Name,
    params: ParamsOf<Table, Name>,
    options: RpcCallOptions = {},
  ): Promise<ResultOf<Table, Name>> {
    if (this.#closed) throw new HoldfastError('aborted', 'RPC client is closed');
    const { clock } = this.#options;
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const startMs = clock.monotonicMs();
    this.#beginCall();
    try {
      const session = await this.#openSession(timeoutMs);
      const leftMs = timeoutMs - (clock.monotonicMs() - startMs);
      return (await session.call(method, params, leftMs, options.signal)) as ResultOf<Table, Name>;
    } finally {
      this.#endCall();
    }
  }

  /** Calls in flight fail with `aborted`. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#idle?.cancel();
    this.#disconnect();
  }

  #disconnect(): void {
    void this.#session?.then(
      (session) => session.close(new HoldfastError('aborted', 'RPC client is closed')),
      () => {},
    );
    this.#session = null;
  }

  #beginCall(): void {
    this.#calls += 1;
    this.#idle?.cancel();
    this.#idle = null;
  }

  #endCall(): void {
    this.#calls -= 1;
    const { idleMs, clock } = this.#options;
    if (idleMs === undefined || this.#calls > 0 || this.#closed) return;
    this.#idle = clock.after(idleMs, () => this.#disconnect());
  }

  async #openSession(timeoutMs: number): Promise<ClientSession> {
    if (this.#session === null) {
      const opening = openSession(this.#options, timeoutMs, () => {
        if (this.#session === opening) this.#session = null;
      });
      this.#session = opening;
      opening.catch(() => {
        if (this.#session === opening) this.#session = null;
      });
    }
    return this.#session;
  }
}

async function openSession(
  options: RpcClientOptions,
  timeoutMs: number,
  onEnd: () => void,
): Promise<ClientSession> {
  const connectMs = Math.min(timeoutMs, options.connectTimeoutMs ?? 5_000);
  const conn = await options.net.connect(parseAddress(options.address), { timeoutMs: connectMs });
  const session = new ClientSession(conn, options, onEnd);
  await session.greet(connectMs);
  return session;
}

interface PendingCall {
  readonly method: string;
  readonly answer: Deferred<unknown>;
}

class ClientSession {
  readonly #conn: Conn;
  readonly #options: RpcClientOptions;
  readonly #onEnd: () => void;
  readonly #decoder = new FrameDecoder();
  readonly #pending = new Map<number, PendingCall>();
  readonly #hello = new Deferred<void>();
  #nextId = 1;
  #ended: HoldfastError | null = null;

  constructor(conn: Conn, options: RpcClientOptions, onEnd: () => void) {
    this.#conn = conn;
    this.#options = options;
    this.#onEnd = onEnd;
  }

  async greet(timeoutMs: number): Promise<void> {
    this.#conn.start({
      onBytes: (bytes) => this.#onBytes(bytes),
      onClose: (error) =>
        this.#end(
          new HoldfastError('disconnected', 'RPC peer went away', {
            effect: 'unknown',
            ...(error === null ? {} : { cause: error }),
          }),
        ),
    });
    this.#conn.write(encodeFrame({ hello: RPC_PROTOCOL, version: RPC_VERSION }));
    const timer = this.#options.clock.after(timeoutMs, () =>
      this.close(new HoldfastError('timed-out', 'RPC peer did not say hello')),
    );
    try {
      await this.#hello.promise;
    } finally {
      timer.cancel();
    }
  }

  async call(
    method: string,
    params: unknown,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    if (this.#ended !== null) throw this.#ended;
    if (signal?.aborted === true) throw new HoldfastError('aborted', 'Call was cancelled');
    if (this.#pending.size >= (this.#options.callsMax ?? 256)) {
      throw new HoldfastError('refused', 'Too many calls in flight', { details: { method } });
    }
    const id = this.#nextId;
    this.#nextId += 1;
    const frame = encodeFrame({ id, method, params });
    const answer = new Deferred<unknown>();
    this.#pending.set(id, { method, answer });
    const give = (code: 'timed-out' | 'aborted', message: string): void => {
      this.#pending.delete(id);
      answer.reject(new HoldfastError(code, message, { effect: 'unknown', details: { method } }));
    };
    const timer: Timer = this.#options.clock.after(Math.max(0, timeoutMs), () =>
      give('timed-out', 'Call was not answered in time'),
    );
    const onAbort = (): void => give('aborted', 'Call was cancelled');
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#conn.write(frame);
    try {
      return await answer.promise;
    } finally {
      timer.cancel();
      signal?.removeEventListener('abort', onAbort);
    }
  }

  close(error: HoldfastError): void {
    this.#conn.close();
    this.#end(error);
  }

  #end(error: HoldfastError): void {
    if (this.#ended !== null) return;
    this.#ended = error;
    this.#onEnd();
    this.#hello.reject(error);
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const call of pending) {
      call.answer.reject(
        new HoldfastError(error.code, error.message, {
          effect: 'unknown',
          details: { ...error.details, method: call.method },
          cause: error,
        }),
      );
    }
  }

  #onBytes(bytes: Uint8Array): void {
    if (this.#ended !== null) return;
    try {
      this.#decoder.push(bytes, (value) => this.#onMessage(asRecord(value)));
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      this.close(error);
    }
  }

  #onMessage(message: Readonly<Record<string, unknown>>): void {
    if (!this.#hello.settled) {
      if (message['hello'] !== RPC_PROTOCOL || message['version'] !== RPC_VERSION) {
        throw new HoldfastError('protocol-violation', 'RPC peer speaks another protocol');
      }
      this.#hello.resolve();
      return;
    }
    const id = message['id'];
    if (typeof id !== 'number') throw new HoldfastError('protocol-violation', 'Answer has no id');
    const call = this.#pending.get(id);
    // An answer after the deadline: nobody waits for it any more.
    if (call === undefined) return;
    this.#pending.delete(id);
    if (HoldfastError.is(message['error'])) call.answer.reject(message['error']);
    else call.answer.resolve(message['result']);
  }
}
