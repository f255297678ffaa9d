/**
 * HTTP/1.1 over TLS or plain TCP, with Node's own modules. They are loaded for the first use: every
 * thread of a volume loads this folder, and would pay megabytes each for what it never speaks.
 */
import { HoldfastError } from '#api/mod.ts';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import type {
  Agent,
  ClientRequest,
  IncomingHttpHeaders,
  IncomingMessage,
  Server as PlainServer,
  ServerResponse,
} from 'node:http';
import type { Server, ServerOptions } from 'node:https';
import type { AddressInfo, ListenOptions } from 'node:net';
import type {
  Http,
  HttpCall,
  HttpListener,
  HttpPlace,
  HttpRequest,
  HttpResponse,
  HttpServeOptions,
  TlsIdentity,
} from '../mod.ts';
import { fromNodeError } from './errno-error.ts';
import { removeStaleSocket } from './stale-socket.ts';

/** A peer that sends no whole request head within this is dropped. */
const HEAD_MS = 10_000;

/** Further calls wait; streams are not counted. */
const SOCKETS_MAX = 16;

export class NodeHttp implements Http {
  #calls: Agent | null = null;

  async serve(options: HttpServeOptions): Promise<HttpListener> {
    const { at, tls, connectionsMax } = options;
    const onRequest = (message: IncomingMessage, response: ServerResponse): void =>
      void answer(message, response, options);
    const limits = { headersTimeout: HEAD_MS, requestTimeout: 60_000, keepAliveTimeout: 90_000 };
    const secure =
      tls === undefined ? undefined : await createSecure(tlsOf(tls, limits), onRequest);
    const server = secure ?? (await import('node:http')).createServer(limits, onRequest);
    server.maxConnections = connectionsMax;
    await listen(server, at);
    // Later ones are of single connections.
    server.on('error', () => undefined);
    return {
      port: 'port' in at ? (server.address() as AddressInfo).port : 0,
      setTls: (identity) => secure?.setSecureContext(tlsOf(identity)),
      close: async () => {
        const closed = once(server, 'close');
        server.close();
        server.closeAllConnections();
        await closed;
      },
    };
  }

  async request(call: HttpCall, wantsStream: boolean): Promise<HttpResponse> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const request = await startRequest(call, wantsStream ? undefined : await this.#agent());
    request.once('response', resolve);
    request.on('error', reject);
    request.setTimeout(call.timeoutMs, () => request.destroy(new TimedOut()));
    request.end(call.body);
    try {
      const message = await promise;
      message.setTimeout(wantsStream ? 0 : call.timeoutMs);
      const stream = bodyOf(message, call);
      return {
        status: message.statusCode ?? 0,
        headers: flatten(message.headers),
        body: wantsStream ? stream : await gather(stream),
      };
    } catch (error) {
      throw callError(error, call);
    }
  }

  async #agent(): Promise<Agent> {
    const { Agent } = await import('node:http');
    return (this.#calls ??= new Agent({ keepAlive: true, maxSockets: SOCKETS_MAX }));
  }
}

async function listen(server: PlainServer | Server, at: HttpPlace): Promise<void> {
  const where = 'port' in at ? at : { path: at.socketPath };
  try {
    await listenOnce(server, where);
  } catch (error) {
    const isStale = !('port' in at) && (await removeStaleSocket(error, at.socketPath));
    const address = 'port' in at ? `${at.host}:${at.port}` : at.socketPath;
    if (!isStale) throw fromNodeError(error, { address });
    await listenOnce(server, where);
  }
  if (!('port' in at)) chmodSync(at.socketPath, 0o600);
}

async function listenOnce(server: PlainServer | Server, where: ListenOptions): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(where, resolve);
  await promise.finally(() => server.removeListener('error', reject));
}

class TimedOut extends Error {}

function tlsOf<More extends object>(tls: TlsIdentity, more?: More) {
  return { cert: tls.certificate, key: tls.key, minVersion: 'TLSv1.2' as const, ...more };
}

/** What TLS costs in memory is not paid by those who speak through a socket. */
async function createSecure(
  options: ServerOptions,
  onRequest: (message: IncomingMessage, response: ServerResponse) => void,
): Promise<Server> {
  const { createServer: createTlsServer } = await import('node:https');
  return createTlsServer(options, onRequest);
}

async function startRequest(call: HttpCall, agent: Agent | undefined): Promise<ClientRequest> {
  const { method, url, headers, signal, authority, body, socketPath } = call;
  const length = body === undefined ? {} : { 'content-length': String(body.byteLength) };
  const options = {
    method,
    headers: { ...headers, ...length },
    ...(signal === undefined ? {} : { signal }),
  };
  if (url.startsWith('http:')) {
    const at = socketPath === undefined ? {} : { socketPath };
    const { request: requestPlain } = await import('node:http');
    return requestPlain(url, { ...options, ...at, agent: agent ?? false });
  }
  const { request: requestTls } = await import('node:https');
  return requestTls(url, { ...options, ...(authority === undefined ? {} : { ca: authority }) });
}

async function answer(
  message: IncomingMessage,
  response: ServerResponse,
  options: HttpServeOptions,
): Promise<void> {
  const gone = new AbortController();
  // An answer that is complete has nobody who waits for it, and an abort is dear.
  response.once('close', () => {
    if (!response.writableFinished) gone.abort();
  });
  response.on('error', () => undefined);
  const request: HttpRequest = {
    method: message.method ?? 'GET',
    target: message.url ?? '/',
    headers: flatten(message.headers),
    readBody: (bytesMax) => readBody(message, bytesMax),
    signal: gone.signal,
  };
  const reply = await options.handle(request);
  // What was not read stands in the way of the next request.
  const isRead = message.complete || !hasBody(message);
  const close = isRead ? {} : { connection: 'close' };
  if (reply.body instanceof Uint8Array) {
    const length = { 'content-length': String(reply.body.byteLength) };
    response.writeHead(reply.status, { ...reply.headers, ...length, ...close });
    response.end(reply.body);
    return;
  }
  response.writeHead(reply.status, { ...reply.headers, ...close });
  response.flushHeaders();
  await pump(reply.body, response, gone.signal);
}

function hasBody(message: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': encoding } = message.headers;
  return encoding !== undefined || (length !== undefined && length !== '0');
}

/** Ends the stream's owner too when the peer is gone while nothing is sent. */
async function pump(
  body: AsyncIterable<Uint8Array>,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const iterator = body[Symbol.asyncIterator]();
  const gone = Promise.withResolvers<IteratorResult<Uint8Array>>();
  signal.addEventListener('abort', () => gone.resolve({ done: true, value: undefined }), {
    once: true,
  });
  try {
    while (!signal.aborted) {
      const next = await Promise.race([iterator.next(), gone.promise]);
      if (next.done === true) break;
      if (!response.write(next.value)) await Promise.race([drained(response), gone.promise]);
    }
  } finally {
    await iterator.return?.();
    response.end();
  }
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => response.once('drain', resolve));
}

async function readBody(message: IncomingMessage, bytesMax: number): Promise<Uint8Array> {
  const tooLong = (): HoldfastError =>
    new HoldfastError('out-of-range', 'Body is too long', { details: { bytesMax } });
  if (Number(message.headers['content-length'] ?? 0) > bytesMax) throw tooLong();
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of message) {
      chunks.push(chunk as Buffer);
      bytes += (chunk as Buffer).byteLength;
      if (bytes > bytesMax) break;
    }
  } catch (error) {
    throw new HoldfastError('disconnected', 'Body is cut short', { cause: error });
  }
  if (bytes > bytesMax) throw tooLong();
  return new Uint8Array(Buffer.concat(chunks));
}

async function* bodyOf(message: IncomingMessage, call: HttpCall): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of message) yield new Uint8Array(chunk as Buffer);
  } catch (error) {
    throw callError(error, call);
  }
}

async function gather(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

function flatten(headers: IncomingHttpHeaders): Readonly<Record<string, string>> {
  const flat: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) flat[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return flat;
}

function callError(error: unknown, call: HttpCall): HoldfastError {
  if (HoldfastError.is(error)) return error;
  const details = { url: call.url };
  if (call.signal?.aborted === true) {
    return new HoldfastError('aborted', 'Request was aborted', { effect: 'unknown', details });
  }
  if (error instanceof TimedOut) {
    return new HoldfastError('timed-out', 'No answer in time', { effect: 'unknown', details });
  }
  const name = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (/CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ALTNAME/.test(name)) {
    return new HoldfastError('wrong-identity', 'Certificate is not believed', {
      details: { ...details, reason: name },
      cause: error,
    });
  }
  return fromNodeError(error, details);
}
