/**
 * KubeClient over the Kubernetes REST dialect: the one client for a real API server, for ours, and
 * for ours in the same process.
 *
 * Invariants
 * - A write that the server did not take (429, 503) is tried again; one whose effect is unknown is
 *   not: its caller looks first.
 * - managedFields stay with the server: no cache holds them.
 */
import type { KindName, ObjectOf } from '#api/kinds/mod.ts';
import { KINDS } from '#api/kinds/mod.ts';
import { hasCode } from '#api/mod.ts';
import type { Clock, Log, Rng } from '#host/mod.ts';
import { backOffMs, concatBytes, decodeText, EMPTY_BYTES, encodeText } from '#lib/mod.ts';
import { failureFrom } from './api-failure.ts';
import type { ApiAnswer, ApiTransport } from './api-transport.ts';
import { formatKey, keyOf } from './client.ts';
import type {
  KubeClient,
  ListOptions,
  ObjectKey,
  ObjectList,
  ObjectPatch,
  Watch,
  WatchHandler,
} from './client.ts';
import { linesOf, RestWatch } from './rest-watch.ts';

export interface RestClientOptions {
  readonly transport: ApiTransport;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  /** Who owns the fields that are written: the program's part, as `holdfast-controller`. */
  readonly manager: string;
}

interface Request {
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly contentType?: string;
  readonly body?: unknown;
}

interface ListBody {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly unknown[];
}

const PAGE_OBJECTS = '500';
const TRIES_MAX = 5;
const RETRY = { firstMs: 200, maxMs: 5_000 };
const NEVER = new AbortController().signal;
/** The server ends a watch after this many seconds; spread, so that not all come back together. */
const WATCH_SECONDS = 300;
/** A watch that is not ended by then has a server that hangs. */
const WATCH_SLACK_MS = 30_000;

export class RestClient implements KubeClient {
  readonly #options: RestClientOptions;

  constructor(options: RestClientOptions) {
    this.#options = options;
  }

  async get<Kind extends KindName>(kind: Kind, key: ObjectKey): Promise<ObjectOf<Kind>> {
    return this.#object(kind, key, { method: 'GET', path: pathOf(kind, key) });
  }

  async list<Kind extends KindName>(
    kind: Kind,
    options: ListOptions = {},
  ): Promise<ObjectList<Kind>> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#listOnce(kind, options);
      } catch (error) {
        // The history went while pages were read.
        if (!hasCode(error, 'conflict') || attempt >= TRIES_MAX) throw error;
      }
    }
  }

  watch<Kind extends KindName>(
    kind: Kind,
    resourceVersion: string,
    handler: WatchHandler<Kind>,
  ): Watch {
    const { clock, rng, log } = this.#options;
    return new RestWatch(
      {
        kind,
        clock,
        rng,
        log,
        handler,
        open: (version, signal) => this.#openWatch(kind, version, signal),
        accept: (object) => accept(kind, object),
      },
      resourceVersion,
    );
  }

  async create<Kind extends KindName>(kind: Kind, object: ObjectOf<Kind>): Promise<ObjectOf<Kind>> {
    const key = keyOf(object);
    const path = collectionOf(kind, key.namespace ?? namespaceFor(kind));
    return this.#object(kind, key, { method: 'POST', path, body: object });
  }

  async update<Kind extends KindName>(kind: Kind, object: ObjectOf<Kind>): Promise<ObjectOf<Kind>> {
    const key = keyOf(object);
    return this.#object(kind, key, { method: 'PUT', path: pathOf(kind, key), body: object });
  }

  async updateStatus<Kind extends KindName>(
    kind: Kind,
    object: ObjectOf<Kind>,
  ): Promise<ObjectOf<Kind>> {
    const key = keyOf(object);
    const path = `${pathOf(kind, key)}/status`;
    return this.#object(kind, key, { method: 'PUT', path, body: object });
  }

  async patch<Kind extends KindName>(
    kind: Kind,
    key: ObjectKey,
    patch: ObjectPatch,
  ): Promise<ObjectOf<Kind>> {
    const contentType = `application/${Array.isArray(patch) ? 'json' : 'merge'}-patch+json`;
    const path = pathOf(kind, key);
    return this.#object(kind, key, { method: 'PATCH', path, contentType, body: patch });
  }

  async delete(kind: KindName, key: ObjectKey): Promise<void> {
    await this.#send(kind, key, { method: 'DELETE', path: pathOf(kind, key) });
  }

  async #listOnce<Kind extends KindName>(
    kind: Kind,
    { namespace, labels = {} }: ListOptions,
  ): Promise<ObjectList<Kind>> {
    const path = collectionOf(kind, namespace);
    const labelSelector = Object.entries(labels)
      .map(([label, value]) => `${label}=${value}`)
      .join(',');
    const selecting: Record<string, string> = labelSelector === '' ? {} : { labelSelector };
    const items: ObjectOf<Kind>[] = [];
    for (let next = ''; ; ) {
      const query = {
        limit: PAGE_OBJECTS,
        ...selecting,
        ...(next === '' ? {} : { continue: next }),
      };
      const subject = { name: '', namespace };
      const text = await this.#send(kind, subject, { method: 'GET', path, query });
      const page = JSON.parse(text) as ListBody;
      for (const item of page.items) items.push(accept(kind, item));
      next = page.metadata.continue ?? '';
      if (next === '') return { items, resourceVersion: page.metadata.resourceVersion };
    }
  }

  async #openWatch(
    kind: KindName,
    resourceVersion: string,
    signal: AbortSignal,
  ): Promise<AsyncIterable<string>> {
    const { transport, clock, rng } = this.#options;
    const seconds = WATCH_SECONDS + rng.below(WATCH_SECONDS);
    const query = new URLSearchParams({
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion,
      timeoutSeconds: String(seconds),
    });
    const over = new AbortController();
    const end = (): void => over.abort();
    const timer = clock.after(seconds * 1_000 + WATCH_SLACK_MS, end);
    signal.addEventListener('abort', end, { once: true });
    const letGo = (): void => {
      timer.cancel();
      signal.removeEventListener('abort', end);
    };
    try {
      const call = { method: 'GET', path: collectionOf(kind, undefined), query, body: EMPTY_BYTES };
      const answer = await transport({ ...call, headers: {}, signal: over.signal });
      if (answer.body instanceof Uint8Array) {
        throw failureFrom(answer.status, answer.body, { kind, name: '' });
      }
      const { status, body } = answer;
      if (status !== 200) throw failureFrom(status, await gather(body), { kind, name: '' });
      return endingWith(linesOf(body), letGo);
    } catch (error) {
      letGo();
      throw error;
    }
  }

  async #object<Kind extends KindName>(
    kind: Kind,
    key: ObjectKey,
    request: Request,
  ): Promise<ObjectOf<Kind>> {
    return accept(kind, JSON.parse(await this.#send(kind, key, request)));
  }

  /** The text of the answer; a refusal is thrown. */
  async #send(kind: KindName, key: ObjectKey, request: Request): Promise<string> {
    const { clock, rng } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      const { status, headers, body } = await this.#transfer(request);
      const bytes = body instanceof Uint8Array ? body : await gather(body);
      if (status < 300) return decodeText(bytes);
      const isBusy = status === 429 || status === 503;
      if (!isBusy || attempt >= TRIES_MAX) {
        throw failureFrom(status, bytes, { kind, name: formatKey(key) }, request.body);
      }
      const asked = Number(headers['retry-after'] ?? 0) * 1_000;
      const waitMs = Math.max(asked, RETRY.firstMs);
      await clock.sleep(waitMs + backOffMs(attempt, RETRY, rng.float()));
    }
  }

  #transfer({ method, path, query, contentType, body }: Request): Promise<ApiAnswer> {
    const isWrite = body !== undefined;
    const writing = isWrite
      ? { fieldManager: this.#options.manager, fieldValidation: 'Strict' }
      : {};
    return this.#options.transport({
      method,
      path,
      query: new URLSearchParams({ ...query, ...writing }),
      headers: isWrite ? { 'content-type': contentType ?? 'application/json' } : {},
      body: isWrite ? encodeText(JSON.stringify(body)) : EMPTY_BYTES,
      signal: NEVER,
    });
  }
}

function namespaceFor(kind: KindName): string | undefined {
  return KINDS[kind].isNamespaced ? 'default' : undefined;
}

/** Of a namespace, or of all. */
function collectionOf(kind: KindName, namespace: string | undefined): string {
  const { apiVersion, plural, isNamespaced } = KINDS[kind];
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const scope =
    isNamespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${root}${scope}/${plural}`;
}

function pathOf(kind: KindName, { name, namespace }: ObjectKey): string {
  return `${collectionOf(kind, namespace ?? namespaceFor(kind))}/${encodeURIComponent(name)}`;
}

/** Items of a list of a built-in kind do not say what they are. */
function accept<Kind extends KindName>(kind: Kind, value: unknown): ObjectOf<Kind> {
  const { metadata, ...rest } = value as {
    readonly metadata: { readonly managedFields?: unknown };
  };
  const { managedFields: _managedFields, ...shown } = metadata;
  const { apiVersion } = KINDS[kind];
  return { apiVersion, kind, ...rest, metadata: shown } as unknown as ObjectOf<Kind>;
}

async function gather(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return concatBytes(all);
}

async function* endingWith<Value>(
  values: AsyncIterable<Value>,
  onEnd: () => void,
): AsyncGenerator<Value> {
  try {
    yield* values;
  } finally {
    onEnd();
  }
}
