/** An API server in this process, as the behaviour table asks it. */
import { takeEvents } from './behaviour-over-https.testkit.ts';
import type {
  BehaviourAnswer,
  BehaviourCall,
  BehaviourServer,
  BehaviourWatch,
} from './client-behaviour.testkit.ts';
import type { JsonFields } from './recorded-exchanges.testkit.ts';
import type { ReplayAnswer, ReplayRequest } from './replay.testkit.ts';

export class BehaviourInMemory implements BehaviourServer {
  readonly #handle: (request: ReplayRequest) => Promise<ReplayAnswer>;
  readonly #compact: () => Promise<void>;

  constructor(
    handle: (request: ReplayRequest) => Promise<ReplayAnswer>,
    compact: () => Promise<void>,
  ) {
    this.#handle = handle;
    this.#compact = compact;
  }

  async call(call: BehaviourCall): Promise<BehaviourAnswer> {
    const { status, body } = await this.#handle(requestOf(call, new AbortController().signal));
    if (!(body instanceof Uint8Array)) throw new Error(`${call.path} answers with a stream`);
    return { status, body: JSON.parse(Buffer.from(body).toString()) as JsonFields };
  }

  async watch(path: string): Promise<BehaviourWatch> {
    const stop = new AbortController();
    const { body } = await this.#handle(requestOf({ method: 'GET', path }, stop.signal));
    const events: JsonFields[] = [];
    void gather(body, events, stop.signal);
    return { take: (count) => takeEvents(events, count), stop: () => stop.abort() };
  }

  compact(): Promise<void> {
    return this.#compact();
  }
}

function requestOf(call: BehaviourCall, signal: AbortSignal): ReplayRequest {
  const { method, path, body, headers } = call;
  const { pathname, searchParams } = new URL(path, 'http://localhost');
  return {
    method,
    path: pathname,
    query: searchParams,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    body: Buffer.from(body === undefined ? '' : JSON.stringify(body)),
    signal,
  };
}

async function gather(
  body: ReplayAnswer['body'],
  events: JsonFields[],
  signal: AbortSignal,
): Promise<void> {
  const chunks = body instanceof Uint8Array ? [body] : body;
  let rest = '';
  try {
    for await (const chunk of chunks) {
      const lines = (rest + Buffer.from(chunk).toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) events.push(JSON.parse(line) as JsonFields);
    }
  } catch (error) {
    if (!signal.aborted) events.push({ type: 'broken', object: { message: String(error) } });
  }
}
