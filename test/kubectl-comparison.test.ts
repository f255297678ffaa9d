/** The means of comparing our API server with a real one: each must see what is planted. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { RESOURCES } from '#api/resources/mod.ts';
import { ApiServer, MemoryStore } from '#control/apiserver/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { compareReplay, compareTranscripts } from './cluster/kubectl-comparison.testkit.ts';
import { KUBECTL_DIFFERENCES } from './cluster/kubectl-differences.ts';
import { parseScript, readScripts } from './cluster/kubectl-script.testkit.ts';
import { mask } from './cluster/masking.testkit.ts';
import {
  readRecorded,
  type RecordedExchange,
  isWatch,
} from './cluster/recorded-exchanges.testkit.ts';
import { Replay, type ReplayAnswer, type ReplayRequest } from './cluster/replay.testkit.ts';
import { StorageProtection } from './cluster/storage-protection.testkit.ts';

const REAL = new Map([
  ['a: kubectl get x', 'NAME\nx\n--- exit 0\n'],
  ['a: kubectl get y', '--- exit 1\n'],
]);
const LISTED = [{ what: 'w', why: 'y', commands: ['a: kubectl get y'] }];

test('A comparison of transcripts finds a planted difference in output and in exit code', () => {
  assert.deepEqual(compareTranscripts(REAL, REAL, []), []);
  const other = new Map([...REAL, ['a: kubectl get x', 'NAME\nz\n--- exit 0\n']]);
  assert.match(compareTranscripts(REAL, other, [])[0] ?? '', /^a: kubectl get x\n--- expected/);
  const failed = new Map([...REAL, ['a: kubectl get y', '--- exit 0\n']]);
  assert.equal(compareTranscripts(REAL, failed, []).length, 1);
});

test('A listed difference passes while it is there, and fails when it is gone', () => {
  const other = new Map([...REAL, ['a: kubectl get y', '--- exit 0\n']]);
  assert.deepEqual(compareTranscripts(REAL, other, LISTED), []);
  assert.match(compareTranscripts(REAL, REAL, LISTED)[0] ?? '', /no longer differs/);
  const gone = [{ what: 'w', why: 'y', commands: ['a: kubectl get z'] }];
  assert.match(compareTranscripts(REAL, REAL, gone)[0] ?? '', /no command/);
});

test('More than ten listed differences fail', () => {
  const many = Array.from({ length: 11 }, () => ({ what: 'w', why: 'y', commands: [] }));
  assert.match(compareTranscripts(REAL, REAL, many)[0] ?? '', /at most 10/);
});

test('The scripts hold at least 120 commands, each with a title of its own', () => {
  const commands = readScripts();
  assert.ok(commands.length >= 120, `${commands.length} commands`);
  assert.equal(new Set(commands.map(({ title }) => title)).size, commands.length);
});

test('A script is read with quotes, input, watches and waits', () => {
  const [watch, create] = parseScript(
    'x',
    "@2 kubectl get a --watch -l 'a in (b)'\n% gone /api/v1/x\n$ kubectl create -f -\n| a: b\n@3 end\n",
  );
  assert.deepEqual(watch?.args, ['get', 'a', '--watch', '-l', 'a in (b)']);
  assert.equal(watch?.begunAfterLines, 2);
  assert.equal(create?.input, 'a: b\n');
  assert.equal(create?.goneFirst, '/api/v1/x');
  assert.equal(create?.endsWatchAfterLines, 3);
  assert.throws(() => parseScript('x', 'kubectl get a\n'), /x:1: neither/);
});

test('Masking takes out what no two runs share, and nothing else', () => {
  assert.equal(
    mask('NAME   AGE   ROLE\none    12s   a\ntwo    3m4s   b\n'),
    mask('NAME   AGE   ROLE\none    9s    a\ntwo    5s     b\n'),
  );
  assert.notEqual(mask('one   12s   a\n'), mask('one   12s   b\n'));
  assert.notEqual(mask('replicas: 3\n'), mask('replicas: 4\n'));
  const entries = (names: readonly string[]): string =>
    names.map((name) => `  - apiVersion: v1\n    manager: ${name}\n`).join('');
  const managers = (...names: string[]): string =>
    `metadata:\n  managedFields:\n${entries(names)}  name: x\n`;
  assert.equal(mask(managers('a', 'b')), mask(managers('b', 'a')));
  assert.notEqual(mask(managers('a', 'b')), mask(managers('a', 'c')));
});

/** A server that knows the recording by heart, and says one thing wrong. */
function parrot(exchanges: readonly RecordedExchange[], spoil: (text: string) => string) {
  const rest = exchanges.filter(({ answer }) => answer !== null);
  const fill = (text: string): string =>
    text
      .replaceAll(
        /<uid:(\d+)>/g,
        (_, n: string) => `00000000-0000-4000-8000-${n.padStart(12, '0')}`,
      )
      .replaceAll(/<version:(\d+)>/g, (_, n: string) => `${1000 + Number(n)}`)
      .replaceAll(/<continue:(\d+)>/g, (_, n: string) => `continue-here-${n}`)
      .replaceAll(/<name:\d+>/g, 'gen-bcdfg')
      .replaceAll('<time>', '2026-02-02T00:00:00Z')
      .replaceAll('<age>', '7s');
  return async (request: ReplayRequest): Promise<ReplayAnswer> => {
    const isOurs = (one: RecordedExchange): boolean =>
      one.method === request.method && one.path.split('?')[0] === request.path;
    const at = rest.findIndex((one) => isOurs(one));
    const one = rest[at];
    // The replay itself asks whether something is gone.
    const isAsked = request.method === 'GET' && request.headers['accept'] === undefined;
    if (one === undefined || isAsked) return { status: 404, headers: {}, body: Buffer.from('{}') };
    rest.splice(at, 1);
    const lines = isWatch(one.path) && Array.isArray(one.answer) ? one.answer : undefined;
    const text =
      typeof one.answer === 'string'
        ? one.answer
        : (lines ?? [one.answer]).map((line) => `${JSON.stringify(line)}\n`).join('');
    const bytes = Buffer.from(spoil(fill(text)));
    const headers = { 'content-type': one.contentType, warning: one.warnings.join(', ') };
    return { status: one.status, headers, body: lines === undefined ? bytes : streamOf(bytes) };
  };
}

async function* streamOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

test('A replay is content with the server that was recorded', async () => {
  const recorded = readRecorded().filter(({ titles }) => /^0[236]/.test(titles[0] ?? ''));
  assert.ok(recorded.length > 200);
  const findings = await new Replay(parrot(recorded, (text) => text)).run(recorded);
  assert.deepEqual(findings.slice(0, 3), []);
});

for (const [what, spoil] of Object.entries({
  'a word': (text: string) => text.replace('"type":"Opaque"', '"type":"Opaqu"'),
  'a field too many': (text: string) => text.replace('"type":"Opaque"', '"type":"Opaque","x":1'),
  // In a list the object has a uid that its creation did not tell.
  'a uid that changes': (text: string) =>
    text.includes('"kind":"Table"') ? text.replaceAll(/-0{11}7"/g, '-000000000099"') : text,
})) {
  test(`A replay finds ${what} wrong`, async () => {
    const recorded = readRecorded().filter(({ titles }) => titles[0]?.startsWith('02'));
    const findings = await new Replay(parrot(recorded, spoil)).run(recorded);
    assert.ok(findings.length > 0);
  });
}

/** Answers of our server, in this process. */
function serve(t: TestContext): (request: ReplayRequest) => Promise<ReplayAnswer> {
  const { clock, rng, log } = createNodeHost({ logLevel: 'error' });
  const store = new MemoryStore({ wallMs: () => clock.wallMs() });
  const server = new ApiServer({ store, clock, rng, log, resources: RESOURCES, version: '0.0.0' });
  const protection = StorageProtection.start(async (method, path, body) => {
    const headers = { 'content-type': 'application/merge-patch+json' };
    const { signal } = new AbortController();
    const sent = Buffer.from(body ?? '');
    const query = new URLSearchParams();
    const answer = await server.handle({ method, path, query, headers, body: sent, signal });
    return Buffer.from(answer.body as Uint8Array).toString();
  });
  t.after(async () => {
    await protection.stop();
    server.close();
  });
  return (request) => server.handle(request);
}

test('Our API server answers kubectl as the real one was recorded', async (t) => {
  const recorded = readRecorded();
  const found = await new Replay(serve(t)).run(recorded);
  t.diagnostic(`${recorded.length} exchanges, ${found.length} of them different as listed`);
  const findings = compareReplay(found, KUBECTL_DIFFERENCES);
  assert.equal(findings.length, 0, findings.slice(0, 5).join('\n'));
});

test('A replay with an unlisted difference, or without a listed one, fails', () => {
  const found = [{ titles: ['a: kubectl get y'], request: 'GET /y', differences: ['status'] }];
  assert.deepEqual(compareReplay(found, LISTED), []);
  assert.match(compareReplay(found, [])[0] ?? '', /^a: kubectl get y\nGET/);
  const unseen = [{ what: 'w', why: 'y', commands: [], unseen: ['a: kubectl get y'] }];
  assert.deepEqual(compareReplay(found, unseen), []);
  assert.match(compareReplay([], unseen)[0] ?? '', /no longer differs/);
});
