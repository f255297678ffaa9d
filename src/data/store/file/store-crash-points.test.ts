import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoldfastError, type MembershipRecord, type SnapshotId } from '#api/mod.ts';
import { filled, identityOf, REPLICA, StoreBench } from './store.testkit.ts';

const S1 = 's1' as SnapshotId;
const S2 = 's2' as SnapshotId;
const MIB = 1024 * 1024;

const RECORD: MembershipRecord = {
  epoch: 5,
  seq: 2,
  members: [
    { replica: REPLICA, incarnation: 'i-1' as MembershipRecord['members'][0]['incarnation'] },
  ],
  voters: [REPLICA],
  formerVoters: null,
  closed: false,
  loss: 0,
  floor: { epoch: 4, seq: 1 },
  held: [],
};

interface Update {
  readonly name: string;
  readonly prepare?: (bench: StoreBench) => Promise<void>;
  readonly act: (bench: StoreBench) => Promise<void>;
  /** What shows whether it has happened: before, after, and nothing between. */
  readonly show: (bench: StoreBench) => unknown;
  readonly contents?: (update: 'before' | 'after') => Uint8Array;
}

async function twoLayers(bench: StoreBench): Promise<void> {
  await bench.write(0, filled(1, 4));
  await bench.run(bench.store.createSnapshot(S1, { epoch: 1, n: 1 }));
  await bench.write(1, filled(2));
  await bench.flush();
}

const UPDATES: readonly Update[] = [
  {
    name: 'setPromised',
    act: (bench) => bench.store.setPromised(7, 'nexus'),
    show: (bench) => bench.store.state().promised,
  },
  {
    name: 'setRecord',
    act: (bench) => bench.store.setRecord(RECORD),
    show: (bench) => bench.store.state().record,
  },
  {
    name: 'setRebuild',
    act: (bench) => bench.store.setRebuild('half'),
    show: (bench) => bench.store.state().rebuild,
  },
  {
    name: 'flush',
    prepare: (bench) => bench.write(9, filled(9)),
    act: async (bench) => {
      bench.store.setCompleted({ epoch: 1, n: 1 });
      await bench.store.flush();
    },
    show: (bench) => bench.store.state().completed,
  },
  {
    name: 'clearIntents',
    prepare: async (bench) => {
      await bench.write(20, filled(9));
      bench.store.setCompleted({ epoch: 1, n: 1 });
      await bench.flush();
    },
    act: (bench) => bench.store.clearIntents(false),
    show: (bench) => bench.store.intents(),
  },
  {
    name: 'createSnapshot',
    act: (bench) => bench.store.createSnapshot(S2, { epoch: 1, n: 2 }),
    show: (bench) => bench.store.state().snapshots.map(({ id }) => id),
  },
  {
    name: 'beginSnapshotInstall and sealSnapshot',
    act: async (bench) => {
      await bench.store.beginSnapshotInstall(S2, { epoch: 1, n: 2 });
      await bench.store.sealSnapshot(S2);
    },
    show: (bench) => bench.store.state().snapshots.length > 1,
  },
  {
    name: 'deleteSnapshot',
    act: (bench) => bench.store.deleteSnapshot(S1),
    show: (bench) => bench.store.state().snapshots.map(({ id }) => id),
  },
  {
    name: 'grow',
    act: (bench) => bench.store.grow(32 * MIB),
    show: (bench) => bench.store.state().sizeBytes,
  },
  {
    name: 'reset',
    act: (bench) => bench.store.reset(4 * MIB),
    show: (bench) => bench.store.state().sizeBytes,
    contents: (update) => (update === 'after' ? filled(0, 4) : LAYERED),
  },
  {
    name: 'close',
    act: (bench) => bench.store.close(),
    show: () => 0,
  },
];

const LAYERED = new Uint8Array([...filled(1), ...filled(2), ...filled(1, 2)]);

async function prepared(update: Update, seed: number): Promise<StoreBench> {
  const bench = await StoreBench.create({ seed });
  await twoLayers(bench);
  await update.prepare?.(bench);
  return bench;
}

/** What a nexus does; a layer that is still being filled stays in doubt until it is sealed. */
async function settle(bench: StoreBench): Promise<void> {
  await bench.settleAll();
  for (const { id, sealed } of bench.store.state().snapshots) {
    if (!sealed) await bench.run(bench.store.sealSnapshot(id));
  }
}

/** Moves the operation at which the power fails: 1, 2, 3 … until the update passes. */
for (const update of UPDATES) {
  test(`${update.name} survives a power loss at every disk operation`, async () => {
    const reference = await prepared(update, 1);
    const before = JSON.stringify(await update.show(reference));
    await reference.run(update.act(reference));
    const after = JSON.stringify(await update.show(reference));
    for (let nth = 1; ; nth++) {
      assert.ok(nth < 300, 'the update ends');
      const bench = await prepared(update, nth);
      const cut = bench.world.disk('a').addFault({ path: '/pool', nth, effect: { kind: 'hang' } });
      const acting = update.act(bench);
      acting.catch(() => undefined);
      let settled = false;
      const note = (): void => {
        settled = true;
      };
      acting.then(note, note);
      await bench.world.run({ forMs: 5000, until: () => cut.hits > 0 || settled });
      if (cut.hits === 0) {
        await acting;
        break;
      }
      await bench.world.run({ forMs: 5 });
      bench.world.powerLoss('a');
      bench.world.disk('a').removeFaults();
      await bench.crashProcess();
      await settle(bench);
      const shown = JSON.stringify(await update.show(bench));
      if (update.name === 'clearIntents') assert.ok(bench.store.intents().length <= 2);
      else assert.ok(shown === before || shown === after, `operation ${nth}: ${shown}`);
      const state = shown === after && after !== before ? 'after' : 'before';
      assert.deepEqual(await bench.read(0, 4), update.contents?.(state) ?? LAYERED, `at ${nth}`);
      if (bench.store.state().snapshots.some(({ id }) => id === S1)) {
        assert.deepEqual(await bench.read(0, 4, S1), filled(1, 4));
      }
      // And it can be done, again or for the first time.
      if (update.name !== 'close') await bench.run(update.act(bench));
      assert.deepEqual((await bench.run(bench.store.scrub(1e9))).mismatches, []);
    }
  });

  test(`${update.name} survives an error at every disk operation`, async () => {
    for (let nth = 1; ; nth++) {
      assert.ok(nth < 300, 'the update ends');
      const bench = await prepared(update, nth);
      const fault = bench.world.disk('a').addFault({
        path: '/pool',
        nth,
        effect: { kind: 'fail', code: 'io-error' },
      });
      try {
        await bench.run(update.act(bench));
      } catch (error) {
        assert.ok(HoldfastError.is(error));
      }
      const struck = fault.hits > 0;
      bench.world.disk('a').removeFaults();
      if (!struck) break;
      await bench.crashProcess();
      await settle(bench);
      const contents = await bench.read(0, 4);
      const allowed = [LAYERED, update.contents?.('after') ?? LAYERED];
      assert.ok(
        allowed.some((bytes) => Buffer.compare(bytes, contents) === 0),
        `at ${nth}`,
      );
    }
  });
}

test('createReplica leaves nothing behind at whichever operation it fails', async () => {
  for (let nth = 1; ; nth++) {
    const bench = await StoreBench.create({ seed: nth });
    const fault = bench.world.disk('a').addFault({
      path: '/pool/replicas/r2',
      nth,
      effect: { kind: 'fail', code: 'no-space' },
    });
    const identity = identityOf('r2' as typeof REPLICA);
    const creating = bench.run(
      bench.pool.createReplica({ identity, sizeBytes: MIB, record: null }),
    );
    await creating.catch((error: unknown) => assert.ok(HoldfastError.is(error)));
    const struck = fault.hits > 0;
    fault.remove();
    if (!struck) break;
    const names = await bench.run(bench.host.disk.list('/pool/replicas'));
    // An operation of the clean-up itself may be the one that fails: then the next start cleans up.
    if (names.includes('r2.new')) {
      await bench.run(bench.pool.close());
      await bench.openPool();
    }
    assert.ok(!(await bench.run(bench.host.disk.list('/pool/replicas'))).includes('r2.new'));
    const listed = await bench.run(bench.pool.listReplicas());
    for (const { error } of listed) assert.equal(error, null);
  }
});
