import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CommonStatus, ConditionDraft, Snapshot } from '#api/kinds/mod.ts';
import { API_VERSION, findCondition } from '#api/kinds/mod.ts';
import type { KubeClient, Plan, ReconcileContext } from './mod.ts';
import { carryOut } from './mod.ts';

const NAME = { name: 's' };

/** One Snapshot, as an API server keeps it. */
function rig(conditions: readonly ConditionDraft[]) {
  let object: Snapshot = {
    apiVersion: API_VERSION,
    kind: 'Snapshot',
    metadata: { name: 's', uid: 'u', generation: 1, resourceVersion: '1' },
    spec: { volumeName: 'v' },
  };
  const client = {
    get: () => Promise.resolve(object),
    updateStatus: (_kind: string, next: Snapshot) => Promise.resolve((object = next)),
  } as unknown as KubeClient;
  const context = {
    client,
    events: { normal: () => undefined, warning: () => undefined },
    clock: { wallMs: () => 0 },
    movingReasons: new Set<string>(),
  } as unknown as ReconcileContext;
  const plan: Plan<'take', CommonStatus> = { actions: ['take'], conditions };
  return {
    status: () => (object.status ?? {}) as CommonStatus,
    run: (type: string, perform: () => Promise<void>) =>
      carryOut(context, 'Snapshot', NAME, plan, {
        label: () => ({ action: 'take snapshot of', target: 'v' }),
        failureCondition: () => type,
        perform,
      }),
  };
}

describe('carryOut', () => {
  const DONE = { type: 'Ready', status: 'True', reason: 'Taken', message: 'Taken' } as const;

  test('What is tried for the first time has a reason while it is tried', async () => {
    const { run, status } = rig([DONE]);
    await run('Ready', async () => {
      const ready = findCondition(status().conditions, 'Ready');
      assert.equal(ready?.status, 'Unknown');
      assert.equal(ready.message, 'Being tried: take snapshot of v');
    });
    assert.equal(findCondition(status().conditions, 'Ready')?.reason, 'Taken');
    // What was told before stays until there is something new.
    await run('Ready', async () => {
      assert.equal(findCondition(status().conditions, 'Ready')?.reason, 'Taken');
    });
  });

  test('What is being taken away says so too', async () => {
    const { run, status } = rig([]);
    await run('Terminating', async () => {
      const going = findCondition(status().conditions, 'Terminating');
      assert.equal(going?.status, 'True');
    });
  });
});
