/** An API server that listens somewhere, as the behaviour table asks it. */
import { request } from 'node:https';
import { type ApiAddress, callApi } from './api-call.testkit.ts';
import type {
  BehaviourAnswer,
  BehaviourCall,
  BehaviourServer,
  BehaviourWatch,
} from './client-behaviour.testkit.ts';
import type { JsonFields } from './recorded-exchanges.testkit.ts';

const EVENT_MS = 5_000;

export class BehaviourOverHttps implements BehaviourServer {
  readonly #address: ApiAddress;
  readonly #compact: () => Promise<void>;

  constructor(address: ApiAddress, compact: () => Promise<void>) {
    this.#address = address;
    this.#compact = compact;
  }

  async call({ method, path, body, headers }: BehaviourCall): Promise<BehaviourAnswer> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const call = { method, path, body: text, ...(headers === undefined ? {} : { headers }) };
    const answer = await callApi(this.#address, call);
    return { status: answer.status, body: JSON.parse(answer.text) as JsonFields };
  }

  async watch(path: string): Promise<BehaviourWatch> {
    const { url, authority, token } = this.#address;
    const { hostname, port } = new URL(url);
    const headers = { authorization: `Bearer ${token}` };
    const sent = request({ host: hostname, port, path, ca: authority, agent: false, headers });
    const events: JsonFields[] = [];
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let rest = '';
    sent.on('error', reject);
    sent.on('response', (response) => {
      resolve();
      response.on('error', () => {});
      response.on('data', (chunk: Buffer) => {
        const lines = (rest + chunk.toString()).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) events.push(JSON.parse(line) as JsonFields);
      });
    });
    sent.end();
    await promise;
    return {
      take: (count) => takeEvents(events, count),
      stop: () => void sent.destroy(),
    };
  }

  compact(): Promise<void> {
    return this.#compact();
  }
}

/** Takes from the front of what arrives. */
export async function takeEvents(events: JsonFields[], count: number): Promise<JsonFields[]> {
  const untilMs = performance.now() + EVENT_MS;
  while (events.length < count && performance.now() < untilMs) {
    await new Promise((done) => setTimeout(done, 5));
  }
  return events.splice(0, count);
}
