/** What reconcilers are told of: each change once, of what changed alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PoolReport, ReplicaReport } from '#api/mod.ts';
import type { NodeView } from './cluster-observer.ts';
import { ViewDigest } from './view-digest.ts';

const NONE = { node: false, volumes: [] };

function replicaOf(volume: string, error = ''): ReplicaReport {
  const identity = { replica: `r-${volume}`, volume };
  return { identity, error, sizeBytes: 1, state: null, usage: null } as unknown as ReplicaReport;
}

function viewOf(replicas: readonly ReplicaReport[], error = ''): NodeView {
  const pool = { pool: 'p', error, totalBytes: 100, freeBytes: 90, replicas };
  return {
    node: 'n',
    engine: { pools: [pool as unknown as PoolReport], attachments: [] },
    agent: { mounts: [], missing: [] },
    engineError: null,
    agentError: null,
  } as unknown as NodeView;
}

test('The first view is no news, nor is one that is as before', () => {
  const digest = new ViewDigest();
  assert.deepEqual(digest.note(viewOf([replicaOf('a')])), NONE);
  assert.deepEqual(digest.note(viewOf([replicaOf('a')])), NONE);
});

test('What came, changed or went is told by its volume, the others are left alone', () => {
  const digest = new ViewDigest();
  digest.note(viewOf([replicaOf('a'), replicaOf('b')]));
  const changed = viewOf([replicaOf('a'), replicaOf('b', 'torn')]);
  assert.deepEqual(digest.note(changed), { node: false, volumes: ['b'] });
  const came = viewOf([replicaOf('a'), replicaOf('b', 'torn'), replicaOf('c')]);
  assert.deepEqual(digest.note(came), { node: false, volumes: ['c'] });
  assert.deepEqual(digest.note(viewOf([replicaOf('c')])), { node: false, volumes: ['a', 'b'] });
});

test('A pool that fails, and a replica that is nobody knows whose, are news of the node', () => {
  const digest = new ViewDigest();
  digest.note(viewOf([replicaOf('a')]));
  assert.deepEqual(digest.note(viewOf([replicaOf('a')], 'gone')), { node: true, volumes: [] });
  const unknown = viewOf([replicaOf('a'), replicaOf('')], 'gone');
  assert.deepEqual(digest.note(unknown), { node: true, volumes: [] });
});

test('A replica that was seen by a look at its volume alone is missed when it is gone', () => {
  const digest = new ViewDigest();
  digest.note(viewOf([]));
  const news = { node: false, volumes: ['a'] };
  assert.deepEqual(digest.noteVolume(viewOf([replicaOf('a')]), 'a'), news);
  assert.deepEqual(digest.noteVolume(viewOf([replicaOf('a')]), 'a'), NONE);
  assert.deepEqual(digest.note(viewOf([])), news);
});
