/**
 * Troubles are planted in one running cluster: `explain` names the cause of each in its first line,
 * in the words of a condition and an Event, and says that all is well when it is over. Meanwhile
 * no object stays without a reason.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test, type TestContext } from 'node:test';
import { whyNotHere } from './real-cluster.testkit.ts';
import type { KindName } from '#api/kinds/mod.ts';
import { ReasonWatch, type Reader, SILENT_MS_MAX } from './reason-watch.testkit.ts';
import { demandNamed, runGroup } from './trouble.testkit.ts';
import { SILENCES, TROUBLE_GROUPS } from './trouble-table.testkit.ts';
import { TroubleWorld } from './trouble-world.testkit.ts';

const skip = whyNotHere(['mkfs.ext4', 'losetup', 'mount', 'umount']);

describe('Troubles', { skip }, () => {
  let world: TroubleWorld;
  let watch: ReasonWatch;

  before(async () => {
    world = await TroubleWorld.start();
    watch = new ReasonWatch(world.client);
    watch.start();
  });
  after(() => world?.stop());

  for (const group of TROUBLE_GROUPS) {
    test(`${group.name}: causes are named first, and gone when over`, async (t: TestContext) => {
      const { failures, times } = await runGroup(world, group);
      for (const line of times) t.diagnostic(line);
      assert.deepEqual(failures, []);
    });
  }

  test('meanwhile no object stayed without a reason for ten seconds', async (t: TestContext) => {
    assert.deepEqual(await watch.stop(), []);
    t.diagnostic(watch.summary);
  });

  for (const { symptom, role, cause, remedy } of SILENCES) {
    test(symptom, async () => {
      world.freeze(role);
      try {
        const said = await world.say({ kind: 'StorageNode', name: 'node-1' });
        assert.match(said.split('\n', 1)[0] ?? '', cause);
        assert.match(said, remedy);
      } finally {
        world.thaw(role);
      }
      const subject = { kind: 'StorageNode', name: 'node-1' } as const;
      await world.until('it answers', async () => {
        return (await world.explain(subject)).firstFailing === null;
      });
    });
  }

  test('a cause that is not the true one is not accepted', async () => {
    await world.makeClaim('control', 'never-made');
    const subject = { kind: 'PersistentVolumeClaim', name: 'control' } as const;
    const right = {
      link: 'claim',
      cause: /There is no StorageClass never-made/,
      remedy: /holdfast get classes/,
      withinMs: 10_000,
    };
    await demandNamed(world, subject, right);
    for (const wrong of [
      { ...right, cause: /There is no StorageClass other/ },
      { ...right, link: 'volume' },
      { ...right, remedy: /Restart everything/ },
    ]) {
      await assert.rejects(demandNamed(world, subject, { ...wrong, withinMs: 1_000 }));
    }
  });

  test('an object that says nothing is found, and one that says why is not', async () => {
    const mute = new ReasonWatch(silenced(world.client, 'control'), 2_000);
    const honest = new ReasonWatch(world.client, 2_000);
    // Nobody gives this one a reason: no controller looks at it.
    world.freeze('controller');
    const unseen = new ReasonWatch(world.client, 2_000);
    try {
      await world.makeClaim('unseen', 'one');
      for (const one of [mute, unseen]) one.start();
      await world.until('looked at', async () => mute.looks > 4 && unseen.looks > 4);
    } finally {
      world.thaw('controller');
    }
    assert.match((await mute.stop()).join(), /PersistentVolumeClaim control said nothing/);
    const found = (await unseen.stop()).join();
    assert.match(found, /PersistentVolumeClaim unseen said nothing/);
    assert.doesNotMatch(found, /control/);
    honest.start();
    await world.until('looked at again', async () => honest.looks > 4);
    assert.deepEqual(await honest.stop(), []);
    assert.ok(SILENT_MS_MAX <= 10_000);
  });
});

/** As a controller would leave it that forgets to say why. */
function silenced(client: TroubleWorld['client'], name: string): Reader {
  return {
    async list<Kind extends KindName>(kind: Kind) {
      const found = await client.list(kind);
      if (kind === 'Event') return { ...found, items: [] };
      const items = found.items.map((object) =>
        object.metadata.name === name ? { ...object, status: { phase: 'Pending' } } : object,
      );
      return { ...found, items };
    },
  };
}
