/**
 * The life of a write in ARCHITECTURE.md is what `holdfast volume trace` prints of a write through
 * a running cluster of three nodes.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, test } from 'node:test';
import type { TraceEvent } from '#api/mod.ts';
import { writeDevice } from '#data/block/mod.ts';
import { NbdClientDevice } from '#data/frontend/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';

const ENTRY = new URL('../../src/cmd/holdfast.ts', import.meta.url).pathname;
const FLAGS = ['--disable-warning=ExperimentalWarning'];
const path = mkdtempSync(`${tmpdir()}/hf-life-`);

const CLAIM = `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: { name: three }
provisioner: csi.holdfast.dev
parameters: { replicas: "3" }
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: demo }
spec:
  storageClassName: three
  accessModes: [ReadWriteOnce]
  resources: { requests: { storage: 64Mi } }
`;

after(() => {
  holdfast('down');
  rmSync(path, { recursive: true, force: true });
});

function holdfast(...args: string[]): string {
  const env = { ...process.env, HOLDFAST_CLUSTER: `${path}/c` };
  const done = spawnSync(process.execPath, [...FLAGS, ENTRY, ...args], {
    encoding: 'utf8',
    timeout: 90_000,
    env,
  });
  assert.equal(done.status, 0, `${args.join(' ')}: ${done.stderr}`);
  return done.stdout;
}

/** The folders that each numbered step names, in the order of the list. */
function readStations(text: string): string[][] {
  const section = /## The life of a write\n([^]*?)\n## /.exec(text)?.[1] ?? '';
  return section
    .split(/\n(?=\d+\. )/)
    .filter((step) => /^\s*\d+\. /.test(step))
    .map((step) => [...step.matchAll(/`(src\/[\w/]+)`/g)].map((match) => match[1] ?? ''))
    .filter((places) => places.length > 0);
}

/** Undefined when the trace passed the stations in their order, all of them and no other. */
function findDifference(stations: readonly string[][], trace: readonly TraceEvent[]): unknown {
  const known = new Set(stations.flat());
  const foreign = trace.find((event) => !known.has(event.place));
  if (foreign !== undefined) return `not in the list: ${foreign.place}`;
  let at = -1;
  for (const places of stations) {
    for (const place of places) {
      if (!trace.some((event) => event.place === place)) return `never passed: ${place}`;
    }
    const next = trace.findIndex((event, index) => index > at && places.includes(event.place));
    if (next === -1) return `not in this order: ${places.join(', ')}`;
    at = next;
  }
  const last = trace.at(-1)?.place ?? '';
  return stations.at(-1)?.includes(last) === true ? undefined : `ends in ${last}`;
}

async function traceOneWrite(): Promise<readonly TraceEvent[]> {
  const url = new URL(holdfast('volume', 'attach', 'demo').trim());
  const env = { ...process.env, HOLDFAST_CLUSTER: `${path}/c` };
  const args = [...FLAGS, ENTRY, 'volume', 'trace', 'demo', '-o', 'json'];
  const tracer = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  tracer.stdout.on('data', (bytes: Buffer) => (text += bytes.toString()));
  const ended = new Promise((resolve) => tracer.on('close', resolve));
  const address = { kind: 'unix', path: url.searchParams.get('socket') ?? '' } as const;
  const host = createNodeHost({ logLevel: 'silent' });
  const device = await NbdClientDevice.connect(host, address, url.pathname.slice(1));
  // Until one of them is the next one that the trace waits for.
  while (text === '' && tracer.exitCode === null) {
    await writeDevice(device, 8192, new Uint8Array(4096).fill(1));
    await host.clock.sleep(50);
  }
  await ended;
  await device.close();
  return (JSON.parse(text) as { readonly events: readonly TraceEvent[] }).events;
}

test('ARCHITECTURE tells the life of a write as it is', async (t) => {
  const stations = readStations(
    readFileSync(new URL('../../ARCHITECTURE.md', import.meta.url), 'utf8'),
  );
  assert.equal(stations.length, 6);
  writeFileSync(`${path}/claim.yaml`, CLAIM);
  holdfast('up', '--detach', '--nodes', '3');
  holdfast('apply', '-f', `${path}/claim.yaml`);
  const trace = await traceOneWrite();
  for (const { place, step } of trace) t.diagnostic(`${place}: ${step}`);
  assert.equal(findDifference(stations, trace), undefined);
  const members = trace.filter((event) => event.step === 'accepted');
  assert.equal(members.length, 3, 'every member accepted it');
  assert.equal(trace.at(-1)?.step, 'acknowledged');

  await t.test('A list that leaves a station out, or has another order, is found', () => {
    const without = stations.filter((places) => !places.includes('src/data/store'));
    assert.equal(findDifference(without, trace), 'not in the list: src/data/store');
    const swapped = [stations[1]!, stations[0]!, ...stations.slice(2)];
    assert.equal(findDifference(swapped, trace), 'not in this order: src/data/frontend');
    const more = [...stations, ['src/data/engine']];
    assert.equal(findDifference(more, trace), 'never passed: src/data/engine');
  });
});
