/**
 * What clients rely on, as a table: each case talks to an API server and returns what it saw,
 * without anything that a server may choose. recorded/behaviour.json is what a real one showed.
 */
import type { Json, JsonFields } from './recorded-exchanges.testkit.ts';

export interface BehaviourCall {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface BehaviourAnswer {
  readonly status: number;
  readonly body: JsonFields;
}

export interface BehaviourWatch {
  /** The next events, or fewer when no more came in time. */
  take(count: number): Promise<readonly JsonFields[]>;
  stop(): void;
}

/** An API server, however it is reached. */
export interface BehaviourServer {
  call(call: BehaviourCall): Promise<BehaviourAnswer>;
  watch(path: string): Promise<BehaviourWatch>;
  /** Forgets the history up to now, as a server does after a while. */
  compact(): Promise<void>;
}

/** A namespace of its own, and the verbs on ConfigMaps in it. */
class Place {
  readonly server: BehaviourServer;
  readonly namespace: string;
  readonly path: string;

  constructor(server: BehaviourServer, namespace: string) {
    this.server = server;
    this.namespace = namespace;
    this.path = `/api/v1/namespaces/${namespace}/configmaps`;
  }

  create(name: string, fields: object = {}, query = ''): Promise<BehaviourAnswer> {
    return this.call('POST', query, configMap(name, fields));
  }

  get(name: string): Promise<BehaviourAnswer> {
    return this.call('GET', `/${name}`);
  }

  merge(name: string, body: object, query = ''): Promise<BehaviourAnswer> {
    return this.call('PATCH', `/${name}${query}`, body, 'application/merge-patch+json');
  }

  apply(manager: string, name: string, fields: object, query = ''): Promise<BehaviourAnswer> {
    const path = `/${name}?fieldManager=${manager}${query}`;
    return this.call('PATCH', path, configMap(name, fields), 'application/apply-patch+yaml');
  }

  remove(name: string, body?: object): Promise<BehaviourAnswer> {
    return this.call('DELETE', `/${name}`, body);
  }

  list(query: string): Promise<BehaviourAnswer> {
    return this.call('GET', query);
  }

  call(method: string, rest: string, body?: object, type?: string): Promise<BehaviourAnswer> {
    return this.server.call({
      method,
      path: this.path + rest,
      ...(body === undefined ? {} : { body }),
      ...(type === undefined ? {} : { headers: { 'content-type': type } }),
    });
  }
}

/** A volume, which belongs to no namespace: named after one that the case has for itself. */
class VolumeOf {
  readonly #place: Place;
  readonly #name: string;
  readonly #path = '/apis/holdfast.dev/v1alpha1/volumes';

  constructor(place: Place, name = place.namespace) {
    this.#place = place;
    this.#name = name;
  }

  create(more: object): Promise<BehaviourAnswer> {
    const body = {
      apiVersion: 'holdfast.dev/v1alpha1',
      kind: 'Volume',
      metadata: { name: this.#name },
      spec: { size: '64Mi', replicas: 1 },
      ...more,
    };
    return this.#place.server.call({ method: 'POST', path: this.#path, body });
  }

  merge(subresource: string, body: object): Promise<BehaviourAnswer> {
    const headers = { 'content-type': 'application/merge-patch+json' };
    const path = `${this.#path}/${this.#name}${subresource}`;
    return this.#place.server.call({ method: 'PATCH', path, body, headers });
  }

  get(): Promise<BehaviourAnswer> {
    const path = `${this.#path}/${this.#name}`;
    return this.#place.server.call({ method: 'GET', path });
  }

  remove(): Promise<BehaviourAnswer> {
    const path = `${this.#path}/${this.#name}`;
    return this.#place.server.call({ method: 'DELETE', path });
  }

  hide(value: Json): Json {
    return JSON.parse(JSON.stringify(value).replaceAll(this.#name, '<volume>')) as Json;
  }
}

/** Kinds of Kubernetes have limits of their own; a custom one meets that of the store. */
async function createLargeClass({ server, namespace: name }: Place): Promise<Json> {
  const path = '/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses';
  const body = {
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshotClass',
    metadata: { name },
    driver: 'a.example.com',
    deletionPolicy: 'Delete',
    parameters: { a: 'x'.repeat(1_600_000) },
  };
  const large = await server.call({ method: 'POST', path, body });
  const after = await server.call({ method: 'GET', path: `${path}/${name}` });
  // There the words, and 500 for 413, are those of etcd.
  return [large.status >= 400, after.status];
}

function condition(type: string): JsonFields {
  const lastTransitionTime = '2026-01-01T00:00:00Z';
  return { type, status: 'True', reason: type, message: '', lastTransitionTime };
}

function configMap(name: string, fields: object): object {
  const { metadata, ...rest } = fields as { metadata?: object };
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, ...metadata }, ...rest };
}

function metaOf(object: Json | undefined): JsonFields {
  return ((object as JsonFields | undefined)?.['metadata'] ?? {}) as JsonFields;
}

function versionOf(answer: BehaviourAnswer): string {
  return metaText(answer, 'resourceVersion');
}

/** A field of the metadata that is a text; empty when it is none. */
function metaText({ body }: BehaviourAnswer, field: string): string {
  const value = metaOf(body)[field];
  return typeof value === 'string' ? value : '';
}

function namesOf(answer: BehaviourAnswer): Json {
  const items = (answer.body['items'] ?? []) as readonly Json[];
  return items.map((item) => metaOf(item)['name'] ?? null);
}

/** Status and words of a refusal; of a success only its status. */
function outcome({ status, body }: BehaviourAnswer): Json {
  if (body['kind'] !== 'Status' || status < 300) return status;
  return { status, reason: body['reason'] ?? null, message: hideVersions(body['message']) };
}

function hideVersions(message: Json | undefined): Json {
  if (typeof message !== 'string') return null;
  return message
    .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '<uid>')
    .replaceAll(/(ResourceVersion in record) \(\d+\)/g, '$1 (<version>)');
}

function ownersOf(answer: BehaviourAnswer): Json {
  const managers = (metaOf(answer.body)['managedFields'] ?? []) as readonly JsonFields[];
  const shown = managers.map(({ manager, operation, fieldsV1 }) => [manager, operation, fieldsV1]);
  return shown.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) as Json;
}

function eventsOf(events: readonly JsonFields[]): Json {
  return events.map((event) => {
    if (event['kind'] === 'Status')
      return ['Status', event['code'] ?? null, event['reason'] ?? null];
    const object = event['object'] as JsonFields;
    if (event['type'] === 'ERROR') {
      const { code = null, reason = null } = object;
      return ['ERROR', code, reason];
    }
    const { name = null, annotations = null } = metaOf(object);
    if (event['type'] === 'BOOKMARK') return ['BOOKMARK', annotations];
    return [event['type'] ?? null, name, object['data'] ?? null];
  });
}

type Case = (place: Place) => Promise<Json>;

export const BEHAVIOUR: Readonly<Record<string, Case>> = {
  'an update with an old version conflicts and changes nothing': async (place) => {
    const made = await place.create('one', { data: { a: '1' } });
    await place.merge('one', { data: { a: '2' } });
    const old = configMap('one', {
      metadata: { resourceVersion: versionOf(made) },
      data: { a: '3' },
    });
    const refused = await place.call('PUT', '/one', old);
    const after = await place.get('one');
    return [outcome(refused), after.body['data'] ?? null];
  },

  'an update without a version wins': async (place) => {
    await place.create('one', { data: { a: '1' } });
    const put = await place.call('PUT', '/one', configMap('one', { data: { a: '2' } }));
    return [outcome(put), put.body['data'] ?? null];
  },

  'an update that changes nothing keeps the version': async (place) => {
    const made = await place.create('one', { data: { a: '1' } });
    const put = await place.merge('one', { data: { a: '1' } });
    return versionOf(put) === versionOf(made);
  },

  'an object may not be made with a version, or twice': async (place) => {
    const versioned = await place.create('one', { metadata: { resourceVersion: '1' } });
    const first = await place.create('one');
    const second = await place.create('one');
    return [outcome(versioned), outcome(first), outcome(second)];
  },

  'a patch with a version or a uid is conditional': async (place) => {
    await place.create('one');
    const version = await place.merge('one', { metadata: { resourceVersion: '1' } });
    const uid = '11111111-2222-4333-8444-555555555555';
    const stranger = await place.merge('one', { metadata: { uid } });
    return [outcome(version), outcome(stranger)];
  },

  'a deletion may name the uid and the version it means': async (place) => {
    const made = await place.create('one');
    const uid = '11111111-2222-4333-8444-555555555555';
    const stranger = await place.remove('one', { preconditions: { uid } });
    const old = await place.remove('one', { preconditions: { resourceVersion: '1' } });
    const { uid: own = '' } = metaOf(made.body);
    const right = await place.remove('one', { preconditions: { uid: own } });
    const gone = await place.get('one');
    return [outcome(stranger), outcome(old), outcome(right), outcome(gone)];
  },

  'a finalizer holds an object until it is taken away': async (place) => {
    await place.create('one', { metadata: { finalizers: ['example.com/hold'] } });
    const removed = await place.remove('one');
    const held = await place.get('one');
    const again = await place.create('one');
    const more = await place.merge('one', {
      metadata: { finalizers: ['example.com/hold', 'example.com/more'] },
    });
    const free = await place.merge('one', { metadata: { finalizers: null } });
    const gone = await place.get('one');
    return [
      removed.status,
      'deletionTimestamp' in metaOf(held.body),
      outcome(again),
      outcome(more),
      free.status,
      outcome(gone),
    ];
  },

  'selectors choose by label and by field': async (place) => {
    await place.create('one', { metadata: { labels: { tier: 'a', app: 'x' } } });
    await place.create('two', { metadata: { labels: { tier: 'b' } } });
    await place.create('three');
    const seen: Json[] = [];
    for (const query of [
      'labelSelector=tier',
      'labelSelector=!tier',
      'labelSelector=tier%3Da',
      'labelSelector=tier!%3Da',
      'labelSelector=tier+in+(a,b),app',
      'labelSelector=tier+notin+(a)',
      'fieldSelector=metadata.name%3Dtwo',
      'fieldSelector=metadata.name!%3Dtwo',
      'labelSelector=tier&fieldSelector=metadata.name%3Dtwo',
      'labelSelector=%3D%3D',
      'fieldSelector=data.a%3Db',
    ]) {
      const answer = await place.list(`?${query}`);
      seen.push([query, answer.status === 200 ? namesOf(answer) : answer.status]);
    }
    return seen;
  },

  'pages show one moment, whatever happens between them': async (place) => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) await place.create(name);
    const first = await place.list('?limit=2');
    const token = encodeURIComponent(metaText(first, 'continue'));
    await place.create('bb');
    await place.create('cc');
    await place.remove('e');
    const second = await place.list(`?limit=2&continue=${token}`);
    const next = encodeURIComponent(metaText(second, 'continue'));
    const third = await place.list(`?limit=2&continue=${next}`);
    return [
      [namesOf(first), metaOf(first.body)['remainingItemCount'] ?? null],
      [namesOf(second), metaOf(second.body)['remainingItemCount'] ?? null],
      [namesOf(third), 'continue' in metaOf(third.body)],
      versionOf(first) === versionOf(third),
    ];
  },

  'a watch tells every change since a version, in order': async (place) => {
    const made = await place.create('one', { data: { a: '1' } });
    await place.merge('one', { data: { a: '2' } });
    const watch = await place.server.watch(
      `${place.path}?watch=1&resourceVersion=${versionOf(made)}`,
    );
    await place.create('two');
    await place.remove('one');
    const events = await watch.take(3);
    watch.stop();
    return eventsOf(events);
  },

  'a watch with a selector sees objects come and go by their labels': async (place) => {
    const made = await place.create('one');
    const version = versionOf(made);
    const query = `watch=1&labelSelector=tier%3Da&resourceVersion=${version}`;
    const watch = await place.server.watch(`${place.path}?${query}`);
    await place.merge('one', { metadata: { labels: { tier: 'a' } } });
    await place.merge('one', { data: { a: '1' } });
    await place.merge('one', { metadata: { labels: { tier: 'b' } } });
    const events = await watch.take(3);
    watch.stop();
    return eventsOf(events);
  },

  'a watch may begin with what is there': async (place) => {
    await place.create('one');
    await place.create('two');
    const query =
      'watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';
    const watch = await place.server.watch(`${place.path}?${query}`);
    const initial = await watch.take(3);
    await place.create('three');
    const later = await watch.take(1);
    watch.stop();
    return [eventsOf(initial), eventsOf(later)];
  },

  'a page or a watch from a forgotten version is expired': async (place) => {
    for (const name of ['a', 'b', 'c']) await place.create(name);
    const first = await place.list('?limit=1');
    const token = encodeURIComponent(metaText(first, 'continue'));
    await place.create('d');
    await place.server.compact();
    const second = await place.list(`?limit=1&continue=${token}`);
    const { reason = null } = second.body;
    const watch = await place.server.watch(`${place.path}?watch=1&resourceVersion=1`);
    const events = await watch.take(1);
    watch.stop();
    return [second.status, reason, eventsOf(events)];
  },

  'a version from the future is refused': async (place) => {
    const answer = await place.list('?resourceVersion=999999999&resourceVersionMatch=Exact');
    return answer.status;
  },

  'appliers own fields, meet in conflicts, and let go': async (place) => {
    const alice = await place.apply('alice', 'one', { data: { a: '1', b: '1' } });
    const clash = await place.apply('bob', 'one', { data: { a: '2' } });
    const shared = await place.apply('bob', 'one', { data: { a: '1', c: '1' } });
    const owners = ownersOf(shared);
    const forced = await place.apply('bob', 'one', { data: { a: '2' } }, '&force=true');
    const freed = await place.apply('alice', 'one', {});
    return [
      outcome(alice),
      outcome(clash),
      owners,
      [forced.body['data'] ?? null, ownersOf(forced)],
      [freed.body['data'] ?? null, ownersOf(freed)],
    ];
  },

  'an apply needs a manager': async (place) => {
    const body = configMap('one', {});
    const type = 'application/apply-patch+yaml';
    return outcome(await place.call('PATCH', '/one', body, type));
  },

  'a dry run answers as if, and leaves nothing': async (place) => {
    const made = await place.create('dry', { data: { a: '1' } }, '?dryRun=All');
    const absent = await place.get('dry');
    await place.create('one', { data: { a: '1' } });
    const patched = await place.merge('one', { data: { a: '2' } }, '?dryRun=All');
    const removed = await place.remove('one', { dryRun: ['All'] });
    const after = await place.get('one');
    const some = await place.create('dry', {}, '?dryRun=Some');
    return [
      outcome(made),
      outcome(absent),
      patched.body['data'] ?? null,
      removed.status,
      after.body['data'] ?? null,
      some.status,
    ];
  },

  'a name may be asked for by its beginning': async (place) => {
    const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { generateName: 'gen-' } };
    const [one, two] = [await place.call('POST', '', body), await place.call('POST', '', body)];
    const names = [metaText(one, 'name'), metaText(two, 'name')];
    return [names.map((name) => /^gen-[a-z0-9]{5}$/.test(name)), names[0] !== names[1]];
  },

  'a collection is deleted by selector': async (place) => {
    await place.create('one', { metadata: { labels: { a: 'b' } } });
    await place.create('two', { metadata: { labels: { a: 'b' } } });
    await place.create('three');
    const removed = await place.call('DELETE', '?labelSelector=a%3Db');
    return [removed.status, namesOf(await place.list(''))];
  },

  'dependents go with their owner, and only with theirs': async (place) => {
    const owner = await place.create('owner');
    const { uid = '' } = metaOf(owner.body);
    const reference = { apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid };
    await place.create('dependent', { metadata: { ownerReferences: [reference] } });
    await place.create('stranger');
    await place.remove('owner', { propagationPolicy: 'Background' });
    const untilMs = performance.now() + 10_000;
    while ((await place.get('dependent')).status !== 404 && performance.now() < untilMs) {
      await new Promise((done) => setTimeout(done, 20));
    }
    return namesOf(await place.list(''));
  },

  'answers may be tables or metadata alone': async (place) => {
    await place.create('one', { data: { a: '1' } });
    const ask = async (accept: string): Promise<JsonFields> => {
      const headers = { accept };
      return (await place.server.call({ method: 'GET', path: place.path, headers })).body;
    };
    const table = await ask('application/json;as=Table;v=v1;g=meta.k8s.io');
    const metadata = await ask('application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io');
    const columns = table['columnDefinitions'] as readonly JsonFields[];
    const items = metadata['items'] as readonly JsonFields[];
    return [
      table['kind'] ?? null,
      columns.map(({ name = null }) => name),
      metadata['kind'] ?? null,
      Object.keys(items[0] ?? {}).toSorted(),
    ];
  },

  'a status is written by its own path, and the rest by the other': async (place) => {
    const volume = new VolumeOf(place);
    const said = { conditions: [condition('Said')] };
    const made = await volume.create({ status: said });
    const patched = await volume.merge('', { status: said, spec: { replicas: 2 } });
    const status = await volume.merge('/status', { status: said, spec: { replicas: 3 } });
    const after = await volume.get();
    await volume.remove();
    return [made, patched, status, after].map((answer) => [
      outcome(answer),
      (answer.body['spec'] as JsonFields | undefined)?.['replicas'] ?? null,
      'status' in answer.body,
      metaOf(answer.body)['generation'] ?? null,
    ]);
  },

  'a status of a wrong type is refused whole': async (place) => {
    const volume = new VolumeOf(place);
    await volume.create({});
    const wrong = await volume.merge('/status', { status: { conditions: 'none' } });
    const after = await volume.get();
    await volume.remove();
    return [outcome(wrong), 'status' in after.body].map((one) => volume.hide(one));
  },

  'a fixed field cannot be changed, and a size only grows': async (place) => {
    const volume = new VolumeOf(place);
    await volume.create({});
    const fixed = await volume.merge('', { spec: { claimRef: { namespace: 'a', name: 'b' } } });
    const changed = await volume.merge('', { spec: { claimRef: { namespace: 'a', name: 'c' } } });
    const grown = await volume.merge('', { spec: { size: '128Mi' } });
    const shrunk = await volume.merge('', { spec: { size: '64Mi' } });
    const after = await volume.get();
    await volume.remove();
    const outcomes = [fixed, changed, grown, shrunk].map((answer) => volume.hide(outcome(answer)));
    return [...outcomes, (after.body['spec'] as JsonFields)['size'] ?? null];
  },

  'a name of 254 characters, or with a path in it, makes nothing': async (place) => {
    const answers = [
      await place.create('n'.repeat(254)),
      await place.create('../up'),
      await place.create('..'),
      await new VolumeOf(place, 'v'.repeat(254)).create({}),
      await new VolumeOf(place, '../up').create({}),
      await place.get('..%2F..%2Fsecrets'),
    ];
    return [answers.map(outcome), namesOf(await place.list(''))];
  },

  'a patch that is none changes nothing': async (place) => {
    await place.create('one', { data: { a: '1' } });
    const raw = async (text: unknown, type: string): Promise<Json> =>
      outcome(await place.call('PATCH', '/one', text as object, `application/${type}+json`));
    const seen = [
      await raw([1], 'merge-patch'),
      await raw({ a: 1 }, 'json-patch'),
      await raw([{ op: 'leap', path: '/data' }], 'json-patch'),
      await raw([{ op: 'test', path: '/data/a', value: '2' }], 'json-patch'),
      await raw([{ op: 'remove', path: '/data/b' }], 'json-patch'),
      await raw({ metadata: { name: 'two' } }, 'merge-patch'),
    ];
    return [seen, (await place.get('one')).body['data'] ?? null];
  },

  'an object of 1.5 MiB is too large, one below is taken': async (place) => {
    const half = await place.create('half', { data: { a: 'x'.repeat(700_000) } });
    const whole = await place.create('whole', { data: { a: 'x'.repeat(1_572_864) } });
    const grown = await place.merge('half', { data: { b: 'x'.repeat(900_000) } });
    const body = await place.create('body', { data: { a: 'x'.repeat(3_200_000) } });
    const names = namesOf(await place.list('?limit=500'));
    const size = Object.keys((await place.get('half')).body['data'] as JsonFields);
    const custom = await createLargeClass(place);
    return [half.status, whole.status, grown.status, body.status, names, size, custom];
  },

  'an event tells its time with microseconds, or is refused': async (place) => {
    const { server, namespace } = place;
    const seen: Json[] = [];
    for (const fraction of ['', '.000', '.000000']) {
      const body = {
        apiVersion: 'events.k8s.io/v1',
        kind: 'Event',
        metadata: { name: `event${fraction}`, namespace },
        type: 'Normal',
        reason: 'Seen',
        action: 'Look',
        eventTime: `2026-01-01T00:00:00${fraction}Z`,
        regarding: { kind: 'ConfigMap', name: 'one', namespace },
        reportingController: 'holdfast.dev/test',
        reportingInstance: 'test',
      };
      const path = `/apis/events.k8s.io/v1/namespaces/${namespace}/events`;
      seen.push(outcome(await server.call({ method: 'POST', path, body })));
    }
    return seen;
  },

  'a namespace that is absent takes nothing': async (place) => {
    const path = '/api/v1/namespaces/nowhere/configmaps';
    const body = configMap('one', {});
    return outcome(await place.server.call({ method: 'POST', path, body }));
  },
};

/** Of a real server only without its caches: they remember what etcd forgot. */
export const FORGETTING = ['a page or a watch from a forgotten version is expired'];

/** Each case in a namespace of its own; the results by the case's name. */
export async function observeBehaviour(
  server: BehaviourServer,
  run: string,
  names: readonly string[] = Object.keys(BEHAVIOUR),
): Promise<Record<string, Json>> {
  const seen: Record<string, Json> = {};
  for (const [index, name] of names.entries()) {
    const one = BEHAVIOUR[name];
    if (one === undefined) throw new Error(`No such case: ${name}`);
    const namespace = `${run}-${index}`;
    const metadata = { name: namespace };
    const body = { apiVersion: 'v1', kind: 'Namespace', metadata };
    const made = await server.call({ method: 'POST', path: '/api/v1/namespaces', body });
    if (made.status !== 201) throw new Error(`No namespace: ${JSON.stringify(made.body)}`);
    const text = JSON.stringify(await one(new Place(server, namespace)));
    seen[name] = JSON.parse(text.replaceAll(namespace, '<namespace>')) as Json;
  }
  return seen;
}
