import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ExplainLink } from '#api/mod.ts';
import { remediesFor } from './remedies.ts';

function link(kind: ExplainLink['kind'], name: string, message: string): ExplainLink {
  return { kind, name, state: 'failed', message, since: '' };
}

const CLAIM = { kind: 'PersistentVolumeClaim', namespace: 'default', name: 'db' } as const;

test('A remedy names the link where it is about the link, and nothing else in its place', () => {
  const pool = remediesFor(link('pool', 'node-1-pool', 'Full: no room'), CLAIM);
  assert.ok(
    pool.some((text) => text.endsWith('holdfast space pool node-1-pool')),
    pool.join(),
  );
  const claim = remediesFor(link('claim', 'default/db', 'NoPlacement: no pools'), CLAIM);
  assert.ok(!claim.some((text) => text.includes('default/db')), claim.join());
  const nexus = remediesFor(link('nexus', 'pvc-1 on node-1', 'suspended'), CLAIM);
  assert.ok(!nexus.some((text) => text.includes('pvc-1')), nexus.join());
});
