/**
 * The Kubernetes REST dialect over an object store, without transport: a request in, a response
 * out. Nothing here reads a clock or a socket by itself, so the simulator runs it.
 */
import { formatTime } from '#api/kinds/mod.ts';
import type { JsonObject, Resource } from '#api/resources/mod.ts';
import type { Clock, Log, Rng } from '#host/mod.ts';
import {
  answerFailure,
  answerJson,
  answerList,
  answerObject,
  answerText,
  watchView,
} from './answer.ts';
import { Catalog, keyOfObject, metaOf } from './catalog.ts';
import { parseDeleteOptions } from './deletion.ts';
import { Discovery } from './discovery.ts';
import { EventLimit } from './event-limit.ts';
import {
  failureOf,
  methodNotAllowed,
  noSuchResource,
  tooLarge,
  tooManyRequests,
} from './failure.ts';
import { GarbageCollector } from './garbage-collector.ts';
import { chooseForm, contentTypeOf, parseBody } from './negotiate.ts';
import type { ObjectStore } from './object-store.ts';
import { OpenApi } from './open-api.ts';
import { patchObject } from './patching.ts';
import { EMPTY_OPENAPI_V2, OPENAPI_V2_PROTOBUF } from './kube-protobuf.ts';
import { getObject, listObjects, selectorOf } from './reads.ts';
import type { ApiRequest, ApiResponse, ResourceRequest } from './request.ts';
import { BODY_BYTES_MAX, flagOf, writeOptionsOf } from './request.ts';
import { answerReview, findReview } from './reviews.ts';
import { parseRoute } from './route.ts';
import type { ResourceRoute } from './route.ts';
import { createUid } from './uid.ts';
import { planWatch } from './watch-plan.ts';
import { streamWatch } from './watch-stream.ts';
import { Writer } from './writes.ts';

export interface ApiServerOptions {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly resources: readonly Resource[];
  /** What /version says after the Kubernetes version. */
  readonly version: string;
  /** Further ones are answered 429. */
  readonly watchesMax?: number;
}

const WATCHES_MAX = 1_000;
/** The dialect that is spoken. */
const KUBERNETES = { major: '1', minor: '36', gitVersion: 'v1.36.3' };
const ABSENT_LISTS: Readonly<Record<string, string>> = {
  limitranges: 'LimitRangeList',
  pods: 'PodList',
  resourcequotas: 'ResourceQuotaList',
};
/** Answered as they were; others with what became of them. */
const RETURNED_WHEN_DELETED: ReadonlySet<string> = new Set([
  '/persistentvolumeclaims',
  '/persistentvolumes',
  'storage.k8s.io/csidrivers',
  'storage.k8s.io/csinodes',
  'storage.k8s.io/storageclasses',
  'storage.k8s.io/volumeattachments',
]);
const NAMESPACES = ['default', 'kube-node-lease', 'kube-public', 'kube-system'];

export class ApiServer {
  readonly #options: ApiServerOptions;
  readonly #catalog: Catalog;
  readonly #discovery: Discovery;
  readonly #openApi: OpenApi;
  readonly #writer: Writer;
  readonly #garbage: GarbageCollector;
  readonly #events: EventLimit;
  readonly #closing = new AbortController();
  #watches = 0;

  /** The store may be empty: the namespaces that every cluster has are made. */
  constructor(options: ApiServerOptions) {
    const { store, clock, log, resources } = options;
    this.#options = options;
    this.#catalog = new Catalog(resources);
    this.#discovery = new Discovery(this.#catalog);
    this.#openApi = new OpenApi(resources);
    this.#writer = new Writer(options);
    this.#ensureNamespaces();
    this.#garbage = new GarbageCollector({ store, catalog: this.#catalog, clock, log });
    this.#events = new EventLimit({ store, clock, log });
  }

  /** Watches that are open. */
  get watches(): number {
    return this.#watches;
  }

  /** Never rejects for what a client or the disk did. */
  handle(request: ApiRequest): Promise<ApiResponse> {
    try {
      return Promise.resolve(this.#answer(request));
    } catch (error) {
      const failure = failureOf(error);
      if (failure === undefined) return Promise.reject(error);
      if (failure.body.reason === 'InternalError') {
        this.#options.log.error('request failed', { path: request.path, reason: failure.message });
      }
      return Promise.resolve(answerFailure(failure));
    }
  }

  /** Ends the watches; the store stays open. */
  close(): void {
    this.#closing.abort();
    this.#garbage.stop();
    this.#events.stop();
  }

  #answer(request: ApiRequest): ApiResponse {
    if (request.body.byteLength > BODY_BYTES_MAX) throw tooLarge(BODY_BYTES_MAX);
    const route = parseRoute(request.path);
    switch (route.kind) {
      case 'resource':
        return this.#answerRoute(request, route);
      case 'health':
        return answerText(200, 'ok');
      case 'version':
        return answerJson(this.#versionBody());
      case 'openapi-v2':
        return {
          status: 200,
          headers: { 'content-type': OPENAPI_V2_PROTOBUF, vary: 'Accept' },
          body: EMPTY_OPENAPI_V2,
        };
      case 'openapi': {
        const answer = this.#openApi.answer(route.rest, request);
        return answer ?? answerText(404, '404 page not found\n');
      }
      case 'discovery':
        return this.#discover(request, route.path);
      case 'unknown':
        // A path below a root that is known is answered as an object.
        if (/^\/(?:version|healthz|livez|readyz)\//.test(request.path)) throw noSuchResource();
        return answerText(404, '404 page not found\n');
    }
  }

  #discover(request: ApiRequest, path: readonly string[]): ApiResponse {
    if (request.method !== 'GET' && request.method !== 'HEAD') throw methodNotAllowed();
    const form = chooseForm(request.headers['accept']);
    const [root, group = '', version] = path;
    const isCore = root === 'api';
    if (path.length === 1 && form.discovery !== undefined) {
      const type = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
      const headers = { 'content-type': type, vary: 'Accept' };
      return answerJson(this.#discovery.aggregated(isCore), { headers });
    }
    const body = isCore
      ? path.length === 1
        ? this.#discovery.coreVersions(request.headers['host'] ?? '')
        : this.#discovery.resourceList('', group)
      : path.length === 1
        ? this.#discovery.groupList()
        : version === undefined
          ? this.#discovery.group(group)
          : this.#discovery.resourceList(group, version);
    return body === undefined
      ? answerText(404, '404 page not found\n')
      : answerJson(body, { form });
  }

  #versionBody(): JsonObject {
    const gitVersion = `${KUBERNETES.gitVersion}+holdfast.${this.#options.version}`;
    return { ...KUBERNETES, gitVersion, gitTreeState: 'clean', platform: 'linux/amd64' };
  }

  #answerRoute(request: ApiRequest, route: ResourceRoute): ApiResponse {
    const { group, version, plural, subresource, namespace, name } = route;
    const review = findReview(group, version, plural);
    if (review !== undefined) {
      if (request.method !== 'POST' || name !== '') throw methodNotAllowed();
      const type = contentTypeOf(request.headers['content-type']);
      return answerJson(answerReview(review, parseBody(request.body, type)), { status: 201 });
    }
    const resource = this.#catalog.find(group, version, plural);
    if (resource === undefined) {
      const absent = this.#answerAbsent(request, route);
      if (absent !== undefined) return absent;
      if (this.#catalog.hasGroupVersion(group, version)) throw noSuchResource();
      return answerText(404, '404 page not found\n');
    }
    const hasSubresource = subresource === '' || (subresource === 'status' && resource.hasStatus);
    const isPlaced = resource.isNamespaced ? name === '' || namespace !== '' : namespace === '';
    if (!hasSubresource || !isPlaced) throw noSuchResource();
    const form = chooseForm(request.headers['accept']);
    const to = { request, resource, namespace, name, subresource, form, warnings: [] };
    return name === '' ? this.#answerCollection(to) : this.#answerOne(to);
  }

  /** `kubectl describe` also lists kinds that use or limit what it describes: there are none. */
  #answerAbsent(request: ApiRequest, route: ResourceRoute): ApiResponse | undefined {
    const { group, version, plural, name } = route;
    const kind = ABSENT_LISTS[plural];
    const isAsked = group === '' && version === 'v1' && name === '' && request.method === 'GET';
    if (kind === undefined || !isAsked || flagOf(request.query, 'watch') === true) return undefined;
    const metadata = { resourceVersion: String(this.#options.store.version) };
    const form = chooseForm(request.headers['accept']);
    return answerJson({ kind, apiVersion: version, metadata, items: [] }, { form });
  }

  #answerCollection(to: ResourceRequest): ApiResponse {
    const { method, query } = to.request;
    const { store } = this.#options;
    switch (method) {
      case 'GET':
      case 'HEAD':
        if (flagOf(query, 'watch') === true) return this.#watch(to);
        return answerList(to, listObjects(store, to), this.#nowMs());
      case 'POST': {
        if (to.resource.isNamespaced && to.namespace === '') throw methodNotAllowed();
        const options = writeOptionsOf(to.request, 'CreateOptions');
        const object = this.#writer.create(to, bodyOf(to), options);
        return answerObject(to, object, this.#nowMs(), 201);
      }
      case 'DELETE':
        return this.#deleteCollection(to);
      default:
        throw methodNotAllowed();
    }
  }

  #answerOne(to: ResourceRequest): ApiResponse {
    const { request, subresource } = to;
    switch (request.method) {
      case 'GET':
      case 'HEAD':
        if (flagOf(request.query, 'watch') === true) return this.#watch(to);
        return answerObject(to, getObject(this.#options.store, to), this.#nowMs());
      case 'PUT': {
        const options = writeOptionsOf(request, 'UpdateOptions');
        const object = this.#writer.update(to, bodyOf(to), options);
        return answerObject(to, object, this.#nowMs());
      }
      case 'PATCH': {
        const { object, isCreated } = patchObject(this.#writer, to);
        return answerObject(to, object, this.#nowMs(), isCreated ? 201 : 200);
      }
      case 'DELETE':
        if (subresource !== '') throw methodNotAllowed();
        return this.#delete(to);
      default:
        throw methodNotAllowed();
    }
  }

  #delete(to: ResourceRequest): ApiResponse {
    const { resource, form } = to;
    const { object, isGone } = this.#writer.delete(to, optionalBodyOf(to.request));
    const isShown = RETURNED_WHEN_DELETED.has(`${resource.group}/${resource.plural}`);
    if (!isGone || isShown) return answerObject(to, object, this.#nowMs());
    const { name, uid } = metaOf(object);
    const group = resource.group === '' ? {} : { group: resource.group };
    return answerJson(
      {
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Success',
        details: { name, ...group, kind: resource.plural, uid },
      },
      { form },
    );
  }

  #deleteCollection(to: ResourceRequest): ApiResponse {
    const isNamespaces = to.resource.group === '' && to.resource.kind === 'Namespace';
    if (isNamespaces) throw methodNotAllowed();
    const options = parseDeleteOptions(optionalBodyOf(to.request), to.request.query);
    const list = listObjects(this.#options.store, to);
    this.#writer.deleteAll(to.resource, list.items, options);
    return answerList(to, list, this.#nowMs());
  }

  #watch(to: ResourceRequest): ApiResponse {
    const { store, clock, rng, watchesMax = WATCHES_MAX } = this.#options;
    const show = watchView(to, () => this.#nowMs());
    const plan = planWatch(store, rng, to, { selector: selectorOf(to), show });
    if (this.#watches >= watchesMax) throw tooManyRequests();
    this.#watches += 1;
    const signal = AbortSignal.any([to.request.signal, this.#closing.signal]);
    const onEnd = (): void => void (this.#watches -= 1);
    return {
      status: 200,
      headers: { 'content-type': 'application/json', 'cache-control': 'no-cache, private' },
      body: streamWatch({ store, clock, signal, onEnd }, to, plan),
    };
  }

  #nowMs(): number {
    return this.#options.clock.wallMs();
  }

  #ensureNamespaces(): void {
    const { store, rng } = this.#options;
    const resource = this.#catalog.find('', 'v1', 'namespaces');
    if (resource === undefined) return;
    store.transact((transaction) => {
      for (const name of NAMESPACES) {
        const namespace = {
          apiVersion: 'v1',
          kind: 'Namespace',
          metadata: {
            name,
            uid: createUid(rng),
            creationTimestamp: formatTime(this.#nowMs()),
            labels: { 'kubernetes.io/metadata.name': name },
          },
          spec: { finalizers: ['kubernetes'] },
          status: { phase: 'Active' },
        };
        const key = keyOfObject(resource, namespace);
        if (transaction.find(key) === undefined) transaction.put(key, namespace);
      }
    });
  }
}

function bodyOf({ request, resource }: ResourceRequest): unknown {
  const { isCustom, kind } = resource;
  const type = contentTypeOf(request.headers['content-type']);
  return parseBody(request.body, type, isCustom ? undefined : kind);
}

function optionalBodyOf({ body, headers }: ApiRequest): unknown {
  return body.byteLength === 0
    ? undefined
    : parseBody(body, contentTypeOf(headers['content-type']));
}
