/**
 * What clients see of our API server, in memory and over HTTPS, is what was recorded of the real
 * one.
 */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { RESOURCES } from '#api/resources/mod.ts';
import { ApiServer, MemoryStore } from '#control/apiserver/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { BehaviourInMemory } from './cluster/behaviour-in-memory.testkit.ts';
import { BehaviourOverHttps } from './cluster/behaviour-over-https.testkit.ts';
import { observeBehaviour } from './cluster/client-behaviour.testkit.ts';
import { OurHttpsServer } from './cluster/our-https.testkit.ts';
import { compareBehaviour, recordedBehaviour } from './cluster/recorded-behaviour.testkit.ts';
import { compareDiscovery } from './cluster/recorded-discovery.testkit.ts';

const HOUR_MS = 3_600_000;

/** `forget` lets an hour pass: the history of before is dropped with the next write. */
function serve(t: TestContext): { server: ApiServer; forget: () => Promise<void> } {
  const { clock, rng, log } = createNodeHost({ logLevel: 'error' });
  let skippedMs = 0;
  const store = new MemoryStore({ wallMs: () => clock.wallMs() + skippedMs });
  const server = new ApiServer({ store, clock, rng, log, resources: RESOURCES, version: '0.0.0' });
  t.after(() => server.close());
  const forget = async (): Promise<void> => {
    skippedMs += HOUR_MS;
    const metadata = { generateName: 'later-' };
    const body = JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata });
    await server.handle({
      method: 'POST',
      path: '/api/v1/namespaces',
      query: new URLSearchParams(),
      headers: { 'content-type': 'application/json' },
      body: Buffer.from(body),
      signal: new AbortController().signal,
    });
  };
  return { server, forget };
}

test('Our API server behaves to clients as the real one does', async (t) => {
  const { server, forget } = serve(t);
  const memory = new BehaviourInMemory((request) => server.handle(request), forget);
  assert.deepEqual(compareBehaviour(await observeBehaviour(memory, 'behaviour')), []);
});

test('Our API server is discovered as the real one is', async (t) => {
  const { server } = serve(t);
  const findings = await compareDiscovery(async (path, accept) => {
    const { body } = await server.handle({
      method: 'GET',
      path,
      query: new URLSearchParams(),
      headers: { accept },
      body: new Uint8Array(0),
      signal: new AbortController().signal,
    });
    return body instanceof Uint8Array ? Buffer.from(body).toString() : '';
  });
  assert.deepEqual(findings, []);
});

test('Our API server behaves so over HTTPS, with its objects in SQLite', async (t) => {
  const ours = await OurHttpsServer.start();
  t.after(() => ours.stop());
  const https = new BehaviourOverHttps(ours.address, () => ours.forget());
  assert.deepEqual(compareBehaviour(await observeBehaviour(https, 'behaviour')), []);
});

test('A server that behaves otherwise in one case is found out', async (t) => {
  const { server, forget } = serve(t);
  const memory = new BehaviourInMemory(async (request) => {
    const answer = await server.handle(request);
    return answer.status === 409 ? { ...answer, status: 400 } : answer;
  }, forget);
  const name = 'an update with an old version conflicts and changes nothing';
  const seen = await observeBehaviour(memory, 'behaviour', [name]);
  const findings = compareBehaviour({ ...recordedBehaviour(), ...seen });
  assert.equal(findings.length, 1);
  assert.match(findings[0] ?? '', /^an update with an old version/);
});
