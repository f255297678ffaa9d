/**
 * Stands between kubectl and an API server and keeps what they say to each other. kubectl speaks
 * plain HTTP to it; it adds the token and speaks HTTPS onwards.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Agent, request } from 'node:https';
import type { ApiAddress } from './api-call.testkit.ts';

export interface Exchange {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  /** Those that change the answer. */
  readonly headers: Readonly<Record<string, string>>;
  /** Base64 when the content type says protobuf. */
  readonly body: string;
  status: number;
  contentType: string;
  warnings: readonly string[];
  /** Of a watch, everything that was sent until it ended. */
  answer: string;
  /** How many exchanges had begun when this one ended: tells what a watch ran beside. */
  endedAfter: number;
}

const KEPT_HEADERS = ['accept', 'content-type'];
const PROTOBUF = 'application/vnd.kubernetes.protobuf';

export class RecordingProxy {
  readonly #target: ApiAddress;
  readonly #server: Server;
  readonly #agent: Agent;
  #exchanges: Exchange[] = [];
  #open = 0;

  private constructor(target: ApiAddress) {
    this.#target = target;
    this.#agent = new Agent({ keepAlive: true, ca: target.authority });
    this.#server = createServer((incoming, outgoing) => void this.#pass(incoming, outgoing));
  }

  static async start(target: ApiAddress): Promise<RecordingProxy> {
    const proxy = new RecordingProxy(target);
    const { promise, resolve } = Promise.withResolvers<void>();
    proxy.#server.listen(0, '127.0.0.1', resolve);
    await promise;
    return proxy;
  }

  get address(): ApiAddress {
    const address = this.#server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    return { url: `http://127.0.0.1:${port}`, authority: '', token: '' };
  }

  /** What was said since the last call; waits until answers are complete. */
  async take(): Promise<Exchange[]> {
    while (this.#open > 0) await new Promise((done) => setTimeout(done, 5));
    const taken = this.#exchanges;
    this.#exchanges = [];
    return taken;
  }

  async #pass(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    this.#open += 1;
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const headers: Record<string, string> = {};
    for (const name of KEPT_HEADERS) {
      const value = incoming.headers[name];
      if (typeof value === 'string') headers[name] = value;
    }
    const exchange: Exchange = {
      method: incoming.method ?? '',
      path: incoming.url ?? '',
      headers,
      body: body.toString(headers['content-type'] === PROTOBUF ? 'base64' : 'utf8'),
      status: 0,
      contentType: '',
      warnings: [],
      answer: '',
      endedAfter: 0,
    };
    this.#exchanges.push(exchange);
    const exchanges = this.#exchanges;
    const end = (): void => {
      if (exchange.endedAfter !== 0) return;
      exchange.endedAfter = exchanges.length;
      this.#open -= 1;
    };
    const sent = this.#send(exchange, body, incoming.headers['user-agent']);
    sent.on('response', (response) => {
      exchange.status = response.statusCode ?? 0;
      exchange.contentType = response.headers['content-type'] ?? '';
      const raw = response.rawHeaders;
      exchange.warnings = raw.filter(
        (_, at) => at % 2 === 1 && /^warning$/i.test(raw[at - 1] ?? ''),
      );
      const { connection: _, 'transfer-encoding': __, ...kept } = response.headers;
      outgoing.writeHead(exchange.status, kept);
      outgoing.flushHeaders();
      const answer: Buffer[] = [];
      response.on('data', (chunk: Buffer) => {
        answer.push(chunk);
        outgoing.write(chunk);
      });
      response.on('close', () => {
        exchange.answer = Buffer.concat(answer).toString();
        outgoing.end();
        end();
      });
    });
    sent.on('error', () => {
      outgoing.destroy();
      end();
    });
    outgoing.on('close', () => {
      // A watch ends when kubectl has seen enough.
      if (!outgoing.writableFinished) sent.destroy();
    });
  }

  #send({ method, path, headers }: Exchange, body: Buffer, userAgent: string | undefined) {
    const url = new URL(this.#target.url);
    const sent = request({
      method,
      path,
      host: url.hostname,
      port: url.port,
      agent: this.#agent,
      headers: {
        ...headers,
        // Answers are to be read and compared: JSON, which kubectl takes too.
        ...(headers['accept'] === undefined
          ? {}
          : { accept: headers['accept'].replace(`${PROTOBUF},`, '') }),
        ...(body.length > 0 ? { 'content-length': body.length } : {}),
        'user-agent': userAgent ?? 'kubectl',
        authorization: `Bearer ${this.#target.token}`,
      },
    });
    sent.end(body);
    return sent;
  }

  async stop(): Promise<void> {
    this.#agent.destroy();
    this.#server.closeAllConnections();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    await promise;
  }
}
