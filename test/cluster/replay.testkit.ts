/**
 * Asks a server what kubectl asked the real one, and compares the answers. A placeholder stands for
 * whatever the server chose when it first appeared, and must mean the same from then on.
 */
import {
  isComparable,
  isWatch,
  type Json,
  type JsonFields,
  type RecordedExchange,
} from './recorded-exchanges.testkit.ts';

export interface ReplayRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly signal: AbortSignal;
}

export interface ReplayAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | AsyncIterable<Uint8Array>;
}

export interface ReplayFinding {
  readonly titles: readonly string[];
  readonly request: string;
  readonly differences: readonly string[];
}

const EVENT_MS = 2_000;
const GONE_MS = 5_000;
const TURNS = 50;
const PROTOBUF = 'application/vnd.kubernetes.protobuf';

interface RunningWatch {
  readonly exchange: RecordedExchange;
  readonly stop: AbortController;
  readonly events: Json[];
  readonly answer: Promise<ReplayAnswer>;
}

export class Replay {
  readonly #handle: (request: ReplayRequest) => Promise<ReplayAnswer>;
  readonly #bound = new Map<string, string>();
  /** Versions known from lists and bookmarks alone, which count what happens elsewhere too. */
  readonly #loose = new Set<string>();
  readonly #findings: ReplayFinding[] = [];

  constructor(handle: (request: ReplayRequest) => Promise<ReplayAnswer>) {
    this.#handle = handle;
  }

  async run(exchanges: readonly RecordedExchange[]): Promise<readonly ReplayFinding[]> {
    for (const step of stepsOf(exchanges)) {
      await this.#runStep(step);
      // Starting the next kubectl took longer than a server needs to tidy up.
      for (let turn = 0; turn < TURNS; turn += 1) await new Promise(setImmediate);
    }
    return this.#findings;
  }

  async #runStep(step: readonly RecordedExchange[]): Promise<void> {
    let watches: RunningWatch[] = [];
    for (const [index, exchange] of step.entries()) {
      for (const watch of watches.filter((one) => one.exchange.watchEndsAfter === index)) {
        await this.#endWatch(watch);
      }
      watches = watches.filter((one) => one.exchange.watchEndsAfter !== index);
      if (exchange.goneFirst !== undefined) await this.#awaitGone(exchange, exchange.goneFirst);
      const gone = goneBeforeWatch(exchange) ?? goneBeforeGet(exchange, step.slice(0, index));
      if (gone !== undefined) await this.#awaitGone(exchange, gone);
      if (!isComparable(exchange.path)) continue;
      if (isWatch(exchange.path) && exchange.status === 200) watches.push(this.#begin(exchange));
      else await this.#ask(exchange);
    }
    for (const watch of watches) await this.#endWatch(watch);
  }

  async #ask(exchange: RecordedExchange): Promise<void> {
    const answer = await this.#handle(this.#requestOf(exchange, new AbortController().signal));
    const { status, body } = answer;
    const differences: string[] = [];
    if (status !== exchange.status) differences.push(`status: ${exchange.status}, got ${status}`);
    const contentType = headerOf(answer, 'content-type');
    if (contentType !== exchange.contentType) {
      differences.push(`content type: ${exchange.contentType}, got ${contentType}`);
    }
    const warnings = headerOf(answer, 'warning');
    const expected = exchange.warnings.join(', ');
    if (warnings !== expected) differences.push(`warnings: ${expected}, got ${warnings}`);
    differences.push(...this.#compare(exchange.answer, parse(await textOf(body)), ''));
    this.#note(exchange, differences);
  }

  #begin(exchange: RecordedExchange): RunningWatch {
    const stop = new AbortController();
    const events: Json[] = [];
    const answer = this.#handle(this.#requestOf(exchange, stop.signal));
    const watch = { exchange, stop, events, answer };
    void gather(watch);
    return watch;
  }

  async #endWatch({ exchange, stop, events, answer }: RunningWatch): Promise<void> {
    const expected = exchange.answer as readonly Json[];
    const untilMs = performance.now() + EVENT_MS;
    while (events.length < expected.length && performance.now() < untilMs) await pause();
    stop.abort();
    const { status } = await answer;
    const differences = status === 200 ? [] : [`status: 200, got ${status}`];
    if (events.length < expected.length) {
      differences.push(`events: ${expected.length}, got ${events.length}`);
    }
    for (const [index, event] of expected.slice(0, events.length).entries()) {
      differences.push(...this.#compare(event, events[index] ?? null, `[${index}]`));
    }
    this.#note(exchange, differences);
  }

  async #awaitGone(exchange: RecordedExchange, path: string): Promise<void> {
    const request = { ...exchange, method: 'GET', path, body: '', headers: {} };
    const untilMs = performance.now() + GONE_MS;
    for (;;) {
      const answer = await this.#handle(this.#requestOf(request, new AbortController().signal));
      if (answer.status === 404) return;
      if (performance.now() > untilMs) break;
      await pause();
    }
    this.#note(request, ['gone: it is still there']);
  }

  #note(exchange: RecordedExchange, differences: readonly string[]): void {
    if (differences.length === 0) return;
    const { titles, method, path } = exchange;
    this.#findings.push({ titles, request: `${method} ${path}`, differences });
  }

  #requestOf(exchange: RecordedExchange, signal: AbortSignal): ReplayRequest {
    const target = new URL(this.#fill(exchange.path, encodeURIComponent), 'http://localhost');
    const isProtobuf = exchange.headers['content-type'] === PROTOBUF;
    return {
      method: exchange.method,
      path: target.pathname,
      query: target.searchParams,
      headers: { 'user-agent': 'kubectl/v1.36.3', ...exchange.headers },
      body: isProtobuf
        ? Buffer.from(exchange.body, 'base64')
        : Buffer.from(this.#fill(exchange.body, (value) => value)),
      signal,
    };
  }

  #fill(text: string, encode: (value: string) => string): string {
    return text
      .replaceAll(/<(?:uid|version|continue|name):\d+>/g, (one) =>
        encode(this.#bound.get(one) ?? '0'),
      )
      .replaceAll('<time>', '2026-01-02T00:00:00Z');
  }

  #compare(expected: Json, actual: Json, path: string): string[] {
    if (typeof expected === 'string' && typeof actual === 'string') {
      if (this.#matches(expected, actual, false)) return [];
    } else if (Array.isArray(expected) && Array.isArray(actual)) {
      return this.#compareLists(expected, actual, path);
    } else if (isFields(expected) && isFields(actual)) {
      return this.#compareFields(expected, actual, path);
    } else if (expected === actual) {
      return [];
    }
    return [`${path || 'answer'}: ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`];
  }

  #compareLists(wanted: readonly Json[], got: readonly Json[], path: string): string[] {
    // The metadata of a built-in kind is checked twice, and each problem told twice.
    const isCauses = path.endsWith('.details.causes');
    const [expected, actual] = isCauses ? [distinct(wanted), distinct(got)] : [wanted, got];
    if (expected.length !== actual.length) {
      return [`${path}: ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`];
    }
    const isUnordered = /\.(?:managedFields|causes)$/.test(path);
    const [left, right] = isUnordered ? [sorted(expected), sorted(actual)] : [expected, actual];
    return left.flatMap((one, at) => this.#compare(one, right[at] ?? null, `${path}[${at}]`));
  }

  #compareFields(expected: JsonFields, actual: JsonFields, path: string): string[] {
    const differences: string[] = [];
    // A field manager's entry names uids in its keys.
    const filled = Object.entries(expected).map(([name, value]) => [
      this.#fill(name, String),
      value,
    ]);
    const wanted = Object.fromEntries(filled) as JsonFields;
    for (const name of new Set([...Object.keys(wanted), ...Object.keys(actual)])) {
      const [left, right] = [wanted[name], actual[name]];
      const at = `${path}.${name}`;
      // kubectl prints none of them, and of built-in kinds ours are our own words.
      if (name === 'description' && /\.columnDefinitions\[\d+\]$/.test(path)) continue;
      if (left === undefined) differences.push(`${at}: absent, got ${JSON.stringify(right)}`);
      else if (right === undefined) differences.push(`${at}: ${JSON.stringify(left)}, got nothing`);
      else if (
        name === 'resourceVersion' &&
        typeof left === 'string' &&
        typeof right === 'string'
      ) {
        // Of a list it is the server's, which counts what happens elsewhere too.
        if (!this.#matches(left, right, expected['uid'] === undefined)) {
          differences.push(`${at}: ${left} was ${this.#bound.get(left)}, got ${right}`);
        }
      } else if (name === 'message' && areSameWords(left, right)) continue;
      else differences.push(...this.#compare(left, right, at));
    }
    return differences;
  }

  #matches(expected: string, actual: string, mayChange: boolean): boolean {
    const names = expected.match(/<(?:uid|version|continue|name):\d+>/g) ?? [];
    const pattern = expected
      .split(/(<(?:uid|version|continue|name):\d+>|<time>|<age>)/)
      .map((part) => patternOf(part))
      .join('');
    const match = new RegExp(`^${pattern}$`, 's').exec(actual);
    if (match === null) return false;
    return names.every((name, at) => {
      const value = match[at + 1] ?? '';
      const before = this.#bound.get(name);
      this.#bound.set(name, value);
      const wasLoose = this.#loose.delete(name);
      if (mayChange && (before === undefined || wasLoose)) this.#loose.add(name);
      return before === undefined || before === value || mayChange || wasLoose;
    });
  }
}

function patternOf(part: string): string {
  if (part.startsWith('<uid:')) return '([0-9a-f-]{36})';
  if (part.startsWith('<version:')) return String.raw`(\d+)`;
  if (part.startsWith('<continue:')) return '(.+)';
  if (part.startsWith('<name:')) return '(gen-[a-z0-9]{5})';
  if (part === '<time>') return String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z`;
  if (part === '<age>') return String.raw`(?:\d+[smhdy])+`;
  return part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}

/** The one object of a watch that the real server had lost before the watch began. */
function goneBeforeWatch({ path, answer }: RecordedExchange): string | undefined {
  if (!isWatch(path) || !Array.isArray(answer)) return undefined;
  const name = /fieldSelector=metadata\.name%3D([^&]+)/.exec(path)?.[1];
  const first = answer[0] as JsonFields | undefined;
  if (name === undefined || first?.['type'] !== 'BOOKMARK') return undefined;
  return `${path.split('?')[0]}/${name}`;
}

/** What the same command had deleted, and the real server had lost before it was asked for. */
function goneBeforeGet(
  { method, path, status }: RecordedExchange,
  before: readonly RecordedExchange[],
): string | undefined {
  const isDeleted = before.some((one) => one.method === 'DELETE' && one.path === path);
  return method === 'GET' && status === 404 && isDeleted ? path : undefined;
}

/** Consecutive exchanges of the same commands. */
function stepsOf(exchanges: readonly RecordedExchange[]): RecordedExchange[][] {
  const steps: RecordedExchange[][] = [];
  let key = '';
  for (const exchange of exchanges) {
    const own = exchange.titles.join('\n');
    if (own !== key) steps.push([]);
    key = own;
    steps.at(-1)?.push(exchange);
  }
  return steps;
}

function headerOf({ headers }: ReplayAnswer, name: string): string {
  const found = Object.keys(headers).find((one) => one.toLowerCase() === name);
  return found === undefined ? '' : (headers[found] ?? '');
}

async function textOf(body: ReplayAnswer['body']): Promise<string> {
  if (body instanceof Uint8Array) return Buffer.from(body).toString();
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text;
  }
}

async function gather(watch: RunningWatch): Promise<void> {
  const { body } = await watch.answer;
  if (body instanceof Uint8Array) return;
  let rest = '';
  try {
    for await (const chunk of body) {
      const lines = (rest + Buffer.from(chunk).toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) watch.events.push(parse(line));
    }
  } catch (error) {
    if (!watch.stop.signal.aborted) watch.events.push(String(error));
  }
}

function isFields(value: Json): value is JsonFields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function distinct(values: readonly Json[]): Json[] {
  const texts = values.map((value) => JSON.stringify(value));
  return values.filter((_, at) => texts.indexOf(texts[at] ?? '') === at);
}

/** By what does not differ between servers. */
function sorted(values: readonly Json[]): Json[] {
  const key = (value: Json): string => {
    if (!isFields(value)) return JSON.stringify(value);
    const { time: _, ...rest } = value;
    return JSON.stringify(Object.entries(rest).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  };
  return values.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}

/** Go walks the properties of an object in any order, and lists their problems so. */
function areSameWords(expected: Json, actual: Json): boolean {
  if (typeof expected !== 'string' || typeof actual !== 'string') return false;
  if (!expected.includes(' is invalid: [')) return false;
  const words = (text: string): string =>
    text
      .split(/[\s,[\]]+/)
      .toSorted()
      .join(' ');
  return words(expected) === words(actual);
}

async function pause(): Promise<void> {
  await new Promise((done) => setTimeout(done, 2));
}
