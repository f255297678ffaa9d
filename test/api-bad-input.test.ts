/** What clients of the API get wrong, and what becomes of its database: nothing is lost by it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test, { type TestContext } from 'node:test';
import { RESOURCES } from '#api/resources/mod.ts';
import { ApiServer, MemoryStore, serveApi } from '#control/apiserver/mod.ts';
import type { HttpResponse } from '#host/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { type ApiAnswer, type ApiCall, callApi } from './cluster/api-call.testkit.ts';
import { OurHttpsServer } from './cluster/our-https.testkit.ts';

const ENTRY = new URL('../src/cmd/holdfast.ts', import.meta.url).pathname;
const MAPS = '/api/v1/namespaces/default/configmaps';
const VOLUMES = '/apis/holdfast.dev/v1alpha1/volumes';
const CLAIMS = '/api/v1/namespaces/default/persistentvolumeclaims';

interface StatusText {
  readonly code: number;
  readonly reason: string;
  readonly message: string;
}

interface Scene {
  readonly ours: OurHttpsServer;
  call(call: ApiCall): Promise<ApiAnswer>;
  create(path: string, object: object): Promise<ApiAnswer>;
  patch(path: string, body: string, type?: string): Promise<ApiAnswer>;
  read(path: string): Promise<Record<string, unknown>>;
}

async function scene(t: TestContext, limits = {}): Promise<Scene> {
  const ours = await OurHttpsServer.start(limits);
  t.after(() => ours.stop());
  const call = (one: ApiCall): Promise<ApiAnswer> => callApi(ours.address, one);
  return {
    ours,
    call,
    create: (path, object) => call({ method: 'POST', path, body: JSON.stringify(object) }),
    patch: (path, body, type = 'merge') => {
      const headers = { 'content-type': `application/${type}-patch+json` };
      return call({ method: 'PATCH', path, body, headers });
    },
    read: async (path) => JSON.parse((await call({ path })).text) as Record<string, unknown>,
  };
}

function statusOf({ text }: ApiAnswer): StatusText {
  return JSON.parse(text) as StatusText;
}

function map(name: string, data: object = {}): object {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data };
}

function volume(name: string, more: object = {}): object {
  const spec = { size: '64Mi', replicas: 1 };
  return { apiVersion: 'holdfast.dev/v1alpha1', kind: 'Volume', metadata: { name }, spec, ...more };
}

function claim(name: string): object {
  const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };
  return { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name }, spec };
}

async function namesAt(api: Scene, path: string): Promise<string[]> {
  const { items } = await api.read(path);
  return (items as { metadata: { name: string } }[]).map(({ metadata }) => metadata.name);
}

test('Names of 254 characters are refused by the API for every kind', async (t) => {
  const api = await scene(t);
  const long = 'n'.repeat(254);
  for (const [path, object] of [
    [MAPS, map(long)],
    [VOLUMES, volume(long)],
    [CLAIMS, claim(long)],
  ] as const) {
    const answer = await api.create(path, object);
    assert.equal(answer.status, 422);
    assert.match(statusOf(answer).message, /metadata\.name: Invalid value: "n+": must be no more/);
    assert.deepEqual(await namesAt(api, path), []);
  }
  assert.equal((await api.create(MAPS, map('n'.repeat(253)))).status, 201);
});

test('A path in a name or in an address reaches no object, and no file', async (t) => {
  const api = await scene(t);
  for (const name of ['../up', '..', '.', 'a/b', 'a\0b']) {
    const answer = await api.create(MAPS, map(name));
    assert.equal(answer.status, 422, JSON.stringify(name));
    assert.match(statusOf(answer).message, /metadata\.name: Invalid value/);
  }
  await api.create('/api/v1/namespaces/default/secrets', {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'hidden' },
  });
  for (const path of [`${MAPS}/..%2Fsecrets%2Fhidden`, `${MAPS}/%2e%2e%2fobjects.db`]) {
    assert.equal((await api.call({ path })).status, 404, path);
  }
  assert.equal((await api.call({ path: `${MAPS}/%E0%A4%A` })).status, 400);
  assert.deepEqual(await namesAt(api, MAPS), []);
});

test('Malformed patches are refused with what is wrong, and the object stays', async (t) => {
  const api = await scene(t);
  await api.create(MAPS, map('one', { a: '1' }));
  const before = await api.read(`${MAPS}/one`);
  for (const [type, body, status] of [
    ['merge', '{"data":', 400],
    ['merge', '[1]', 400],
    ['merge', '"text"', 400],
    ['merge', '{"data":{"a":1}}', 422],
    ['merge', '{"metadata":{"name":"two"}}', 400],
    ['json', '{"a":1}', 400],
    ['json', '[{"op":"leap","path":"/data"}]', 422],
    ['json', '[{"op":"remove","path":"/data/absent"}]', 422],
    ['json', '[{"op":"test","path":"/data/a","value":"2"}]', 422],
    ['strategic-merge', '{"data":"none"}', 422],
    ['unheard-of', '{}', 415],
  ] as const) {
    const answer = await api.patch(`${MAPS}/one`, body, type);
    assert.equal(answer.status, status, `${type} ${body}: ${answer.text}`);
    assert.notEqual(statusOf(answer).message, '');
  }
  assert.deepEqual(await api.read(`${MAPS}/one`), before);
});

test('An object of 1.5 MiB is refused as too large, and so is a body of 3 MiB', async (t) => {
  const api = await scene(t);
  const parameters = { a: 'x'.repeat(1_572_864) };
  const path = '/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses';
  const large = {
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshotClass',
    metadata: { name: 'large' },
    driver: 'a.example.com',
    deletionPolicy: 'Delete',
  };
  const refused = await api.create(path, { ...large, parameters });
  assert.equal(refused.status, 413);
  assert.match(statusOf(refused).message, /Request entity too large: limit is 1572864/);
  const huge = await api.create(path, { ...large, parameters: { a: 'x'.repeat(3_200_000) } });
  assert.equal(huge.status, 413);
  // It grows by a patch no further than it could be made.
  assert.equal((await api.create(path, large)).status, 201);
  const grown = await api.patch(`${path}/large`, JSON.stringify({ parameters }));
  assert.equal(grown.status, 413);
  assert.equal('parameters' in (await api.read(`${path}/large`)), false);
});

/** The first line of a stream. */
async function lineOf({ body }: HttpResponse): Promise<string> {
  if (body instanceof Uint8Array) return Buffer.from(body).toString();
  for await (const chunk of body) return Buffer.from(chunk).toString();
  return '';
}

test('Of 10,000 watches those past the limit get 429, and the others go on', async (t) => {
  const { clock, rng, log } = createNodeHost({ logLevel: 'error' });
  const store = new MemoryStore({ wallMs: () => clock.wallMs() });
  const server = new ApiServer({ store, clock, rng, log, resources: RESOURCES, version: '0.0.0' });
  t.after(() => server.close());
  const face = serveApi({ server, token: undefined });
  const stop = new AbortController();
  const ask = (method: string, target: string, text = ''): Promise<HttpResponse> =>
    face({
      method,
      target,
      headers: { 'content-type': 'application/json' },
      readBody: async () => Buffer.from(text),
      signal: stop.signal,
    });
  const watches: HttpResponse[] = [];
  for (let n = 0; n < 10_000; n += 1) watches.push(await ask('GET', `${MAPS}?watch=true`));
  const granted = watches.filter(({ status }) => status === 200);
  const refused = watches.filter(({ status }) => status === 429);
  assert.equal(granted.length, 1_000);
  assert.equal(refused.length, 9_000);
  assert.ok(refused.every(({ headers }) => Number(headers['retry-after']) >= 1));
  const made = await ask('POST', MAPS, JSON.stringify(map('one')));
  assert.equal(made.status, 201);
  assert.equal((await ask('GET', `${MAPS}/one`)).status, 200);
  const lines = await Promise.all(granted.map(lineOf));
  assert.ok(lines.every((line) => line.includes('"ADDED"') && line.includes('"one"')));
  assert.equal(server.watches, 0, 'who has read is gone');
  const again = await ask('GET', `${MAPS}?watch=true`);
  assert.equal(again.status, 200);
  stop.abort();
  await lineOf(again).catch(() => '');
});

test('A watch past the limit is answered 429 over HTTPS, other calls are not', async (t) => {
  const api = await scene(t, { watchesMax: 0 });
  const answer = await api.call({ path: `${MAPS}?watch=true` });
  assert.equal(answer.status, 429);
  assert.equal(statusOf(answer).reason, 'TooManyRequests');
  assert.equal((await api.call({ path: MAPS })).status, 200);
});

test('A token that is missing or wrong opens nothing, and tells nothing', async (t) => {
  const api = await scene(t);
  await api.create(MAPS, map('one'));
  const { token } = api.ours.address;
  for (const said of [
    '',
    'Bearer',
    `Bearer ${token.slice(1)}`,
    `Bearer ${token}x`,
    `Basic ${token}`,
  ]) {
    for (const [method, path] of [
      ['GET', `${MAPS}/one`],
      ['GET', `${MAPS}/absent`],
      ['DELETE', `${MAPS}/one`],
      ['GET', `${MAPS}?watch=true`],
      ['GET', '/apis'],
    ] as const) {
      const answer = await api.call({ method, path, headers: { authorization: said } });
      assert.equal(answer.status, 401, `${said} ${path}`);
      assert.equal(statusOf(answer).message, 'Unauthorized');
    }
  }
  assert.deepEqual(await namesAt(api, MAPS), ['one']);
});

test('A status that a stranger writes with an object is dropped', async (t) => {
  const api = await scene(t);
  const condition = {
    type: 'Ready',
    status: 'True',
    reason: 'Forged',
    message: '',
    lastTransitionTime: '2026-01-01T00:00:00Z',
  };
  const status = { conditions: [condition] };
  const made = await api.create(VOLUMES, volume('one', { status }));
  assert.equal(made.status, 201);
  await api.patch(`${VOLUMES}/one`, JSON.stringify({ status }));
  const whole = await api.read(`${VOLUMES}/one`);
  await api.call({
    method: 'PUT',
    path: `${VOLUMES}/one`,
    body: JSON.stringify({ ...whole, status }),
  });
  assert.equal('status' in (await api.read(`${VOLUMES}/one`)), false);
  const forged = JSON.stringify({ status: { conditions: 'all well' }, spec: { replicas: 3 } });
  assert.equal((await api.patch(`${VOLUMES}/one/status`, forged)).status, 422);
  const spec = (await api.read(`${VOLUMES}/one`))['spec'] as { readonly replicas: number };
  assert.equal(spec.replicas, 1);
});

test('Fields that are fixed, and sizes that shrink, are refused by field', async (t) => {
  const api = await scene(t);
  await api.create(CLAIMS, claim('one'));
  await api.create(VOLUMES, volume('one'));
  await api.patch(`${VOLUMES}/one`, '{"spec":{"claimRef":{"namespace":"a","name":"b"}}}');
  const before = [await api.read(`${CLAIMS}/one`), await api.read(`${VOLUMES}/one`)];
  for (const [path, body, field] of [
    [CLAIMS, '{"spec":{"accessModes":["ReadWriteMany"]}}', 'spec'],
    [CLAIMS, '{"spec":{"resources":{"requests":{"storage":"512Mi"}}}}', 'spec'],
    [CLAIMS, '{"metadata":{"uid":"11111111-2222-4333-8444-555555555555"}}', 'metadata.uid'],
    [VOLUMES, '{"spec":{"size":"32Mi"}}', 'spec.size'],
  ] as const) {
    const answer = await api.patch(`${path}/one`, body);
    assert.ok(answer.status === 422 || answer.status === 409, `${body}: ${answer.text}`);
    assert.ok(statusOf(answer).message.includes(field), answer.text);
  }
  const after = [await api.read(`${CLAIMS}/one`), await api.read(`${VOLUMES}/one`)];
  assert.deepEqual(after, before);
});

test('Of two writers with one version one wins, the other is told to look again', async (t) => {
  const api = await scene(t);
  await api.create(MAPS, map('one', { a: '1' }));
  const seen = await api.read(`${MAPS}/one`);
  const put = (data: object): Promise<ApiAnswer> => {
    const body = JSON.stringify({ ...seen, data });
    return api.call({ method: 'PUT', path: `${MAPS}/one`, body });
  };
  const answers = await Promise.all([put({ a: '2' }), put({ a: '3' })]);
  assert.deepEqual(
    answers.map(({ status }) => status).toSorted((a, b) => a - b),
    [200, 409],
  );
  const loser = answers.find(({ status }) => status === 409);
  assert.ok(loser !== undefined);
  assert.match(statusOf(loser).message, /the object has been modified; please apply your changes/);
});

test('A claim grows only where its class lets it', async (t) => {
  const api = await scene(t);
  await api.create(CLAIMS, claim('one'));
  const status = { phase: 'Bound', capacity: { storage: '1Gi' } };
  await api.patch(`${CLAIMS}/one/status`, JSON.stringify({ status }));
  const answer = await api.patch(
    `${CLAIMS}/one`,
    '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}',
  );
  assert.equal(answer.status, 403, answer.text);
  assert.match(
    statusOf(answer).message,
    /storageclass that provisions the pvc must support resize/,
  );
});

interface Ended {
  readonly exitCode: number | null;
  readonly errors: string;
}

/** Runs `holdfast apiserver` until it ends, or serves: then it is ended. */
async function start(directory: string): Promise<Ended> {
  const args = ['--disable-warning=ExperimentalWarning', ENTRY, 'apiserver', '--dir', directory];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => void (errors += chunk.toString()));
  child.stdout.on('data', () => child.kill('SIGTERM'));
  const { promise, resolve } = Promise.withResolvers<number | null>();
  child.on('close', resolve);
  return { exitCode: await promise, errors };
}

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'hf-api-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function digest(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

test('A database that another process holds is refused, and served once it is free', async (t) => {
  const directory = scratch(t);
  assert.equal((await start(directory)).exitCode, 0);
  const held = new DatabaseSync(join(directory, 'objects.db'));
  held.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; COMMIT;');
  const { exitCode, errors } = await start(directory);
  held.close();
  assert.equal(exitCode, 4, errors);
  assert.match(errors, /store-locked/);
  assert.match(errors, /objects\.db/);
  assert.match(errors, /Stop the other process/);
  assert.equal((await start(directory)).exitCode, 0);
});

test('A corrupt database is refused and left as it is; an older copy is served', async (t) => {
  const directory = scratch(t);
  assert.equal((await start(directory)).exitCode, 0);
  const path = join(directory, 'objects.db');
  const good = readFileSync(path);
  writeFileSync(path, Buffer.from('no database, but longer than a header '.repeat(200)));
  const before = digest(path);
  const { exitCode, errors } = await start(directory);
  assert.equal(exitCode, 8, errors);
  assert.match(errors, /store-corrupt/);
  assert.match(errors, /Restore the file from a copy, or move it away/);
  assert.equal(digest(path), before);
  writeFileSync(path, good);
  assert.equal((await start(directory)).exitCode, 0);
});

test('A database of a newer version is refused untouched, with the way back', async (t) => {
  const directory = scratch(t);
  assert.equal((await start(directory)).exitCode, 0);
  const path = join(directory, 'objects.db');
  const mark = (layout: number): void => {
    const raw = new DatabaseSync(path);
    raw.exec(`PRAGMA user_version = ${layout}`);
    raw.close();
  };
  mark(99);
  const { exitCode, errors } = await start(directory);
  assert.equal(exitCode, 8, errors);
  assert.match(errors, /store-newer-format/);
  assert.match(errors, /Run the newer version again, or restore the copy made before the upgrade/);
  const raw = new DatabaseSync(path);
  const { user_version: layout } = raw.prepare('PRAGMA user_version').get() ?? {};
  raw.close();
  assert.equal(layout, 99);
  mark(1);
  assert.equal((await start(directory)).exitCode, 0);
});
