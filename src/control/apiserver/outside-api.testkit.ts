/**
 * An API server outside of a simulated world, for tests that otherwise have the twin: reconcilers
 * run in simulated time, the server in real time. The world stands still while a request is under
 * way, and after a write until the watches that are open were told of it.
 */
import type { KindName } from '#api/kinds/mod.ts';
import { KINDS } from '#api/kinds/mod.ts';
import { RESOURCES } from '#api/resources/mod.ts';
import type { Resource } from '#api/resources/mod.ts';
import type { ApiAnswer, ApiCall, ApiTransport } from '#control/kube/mod.ts';
import { createHttpTransport } from '#control/kube/mod.ts';
import { NodeHttp } from '#host/node/mod.ts';
import { decodeText, encodeText } from '#lib/mod.ts';
import { setTimeout as realPause } from 'node:timers/promises';

export interface OutsideAddress {
  readonly url: string;
  /** PEM. */
  readonly authority: string;
  readonly token: string;
}

interface OpenWatch {
  readonly path: string;
  /** The version up to which it was told. */
  version: number;
  /** Names of what it was told is gone. */
  readonly gone: Set<string>;
}

interface ObjectFields {
  readonly kind?: string;
  readonly metadata?: {
    readonly name?: string;
    readonly namespace?: string;
    readonly resourceVersion?: string;
    readonly finalizers?: readonly string[];
  };
}

const LOOK_MS = 1;
/** A watch that is not told by then has ended, or leaves it out. */
const TOLD_MS_MAX = 1_000;
const NEVER = new AbortController().signal;
/** What tests leave alone: every cluster has them, and no reconciler writes them. */
const KEPT: ReadonlySet<string> = new Set(['ConfigMap', 'Lease', 'Namespace', 'Secret']);

export class OutsideApi {
  readonly #send: ApiTransport;
  readonly #ready: Promise<void>;
  readonly #watches = new Set<OpenWatch>();
  #inFlight = 0;
  /** What open watches of a collection have not been told yet. */
  #untold: (() => boolean)[] = [];

  /** Empties the server first: it is shared by tests, one at a time. */
  constructor(address: OutsideAddress) {
    this.#send = createHttpTransport(new NodeHttp(), address);
    this.#ready = this.#tracked(this.#wipe());
  }

  readonly transport: ApiTransport = async (call) => {
    await this.#ready;
    return call.query.get('watch') === 'true' ? this.#watch(call) : this.#call(call);
  };

  /** Resolves when nothing is under way outside. */
  async settled(): Promise<void> {
    for (let waitedMs = 0; ; waitedMs += LOOK_MS) {
      this.#untold = this.#untold.filter((isTold) => !isTold());
      const isOver = this.#untold.length === 0 || waitedMs > TOLD_MS_MAX;
      if (this.#inFlight === 0 && isOver) break;
      await realPause(LOOK_MS);
    }
    this.#untold = [];
  }

  async #tracked<T>(action: Promise<T>): Promise<T> {
    this.#inFlight += 1;
    try {
      return await action;
    } finally {
      this.#inFlight -= 1;
    }
  }

  async #call(call: ApiCall): Promise<ApiAnswer> {
    return this.#tracked(
      (async () => {
        const before = [...this.#watches].map((watch) => [watch, watch.version] as const);
        const answer = await this.#send(call);
        if (call.method !== 'GET' && answer.status < 300) this.#expect(call, answer, before);
        return answer;
      })(),
    );
  }

  /** After a write, every watch of that collection will be told: also one that opens just now. */
  #expect(
    { method, path }: ApiCall,
    { body }: ApiAnswer,
    before: readonly (readonly [OpenWatch, number])[],
  ): void {
    if (!(body instanceof Uint8Array)) return;
    const { kind, metadata = {} } = JSON.parse(decodeText(body)) as ObjectFields;
    const version = Number(metadata.resourceVersion ?? 0);
    const isOf = (watch: OpenWatch): boolean => isWithin(path, watch.path);
    this.#untold.push(() =>
      [...this.#watches].every((watch) => !isOf(watch) || watch.version >= version),
    );
    if (method !== 'DELETE') return;
    // An object that is gone tells an old version, or none.
    const name = path.split('/').at(-1) ?? '';
    for (const [watch, was] of before.filter(([one]) => isOf(one))) {
      if (kind !== 'Status' && version > was) continue;
      this.#untold.push(() => !this.#watches.has(watch) || watch.gone.has(name));
    }
  }

  async #watch(call: ApiCall): Promise<ApiAnswer> {
    return this.#tracked(
      (async () => {
        const answer = await this.#send(call);
        const { body } = answer;
        if (body instanceof Uint8Array || answer.status !== 200) return answer;
        const version = Number(call.query.get('resourceVersion') ?? 0);
        const watch: OpenWatch = { path: call.path, version, gone: new Set() };
        this.#watches.add(watch);
        return { ...answer, body: this.#follow(watch, body) };
      })(),
    );
  }

  async *#follow(watch: OpenWatch, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let rest = '';
    try {
      for await (const chunk of body) {
        const lines = (rest + decodeText(chunk)).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) note(watch, line);
        yield chunk;
      }
    } finally {
      this.#watches.delete(watch);
    }
  }

  async #wipe(): Promise<void> {
    for (const resource of RESOURCES.filter(isWiped)) {
      const { items = [] } = (await this.#ask('GET', collectionOf(resource))) as {
        readonly items?: readonly ObjectFields[];
      };
      for (const { metadata = {} } of items) {
        const path = `${collectionOf(resource, metadata.namespace)}/${metadata.name}`;
        await this.#ask('DELETE', path);
        if ((metadata.finalizers ?? []).length === 0) continue;
        await this.#ask('PATCH', path, { metadata: { finalizers: null } });
      }
    }
  }

  async #ask(method: string, path: string, patch?: object): Promise<unknown> {
    const { body } = await this.#send({
      method,
      path,
      query: new URLSearchParams(),
      headers: patch === undefined ? {} : { 'content-type': 'application/merge-patch+json' },
      body: encodeText(patch === undefined ? '' : JSON.stringify(patch)),
      signal: NEVER,
    });
    return JSON.parse(decodeText(body as Uint8Array));
  }
}

function note(watch: OpenWatch, line: string): void {
  if (line === '') return;
  const { type, object } = JSON.parse(line) as { type: string; object: ObjectFields };
  const { name = '', resourceVersion = '0' } = object.metadata ?? {};
  watch.version = Math.max(watch.version, Number(resourceVersion));
  if (type === 'DELETED') watch.gone.add(name);
  else watch.gone.delete(name);
}

/** Whether an object, or its status, is of a collection: those of a namespace are of the whole. */
function isWithin(path: string, collection: string): boolean {
  const whole = path.replace(/\/namespaces\/[^/]+(?=\/)/, '');
  return whole === collection || whole.startsWith(`${collection}/`);
}

function isWiped({ kind, group }: Resource): boolean {
  const isEvent = kind === 'Event' && group !== '';
  return kind in KINDS && !KEPT.has(kind as KindName) && !isEvent;
}

function collectionOf({ group, version, plural }: Resource, namespace?: string): string {
  const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  return namespace === undefined
    ? `${root}/${plural}`
    : `${root}/namespaces/${namespace}/${plural}`;
}
