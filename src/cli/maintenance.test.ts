import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Fleet } from '#control/operator/fleet.testkit.ts';
import { apply, claim, withCli } from './cli.testkit.ts';
import type { Cli } from './cli.testkit.ts';
import { EXIT_NOT_WELL } from './exit-codes.ts';

const MIB = 2 ** 20;

/** A claim that is served on the first node of its volume. */
async function serve(cli: Cli, fleet: Fleet) {
  await apply(cli, fleet, claim('demo'));
  const attached = await cli('volume', 'attach', 'demo');
  assert.equal(attached.code, 0, attached.err);
  const [volume] = (await fleet.client.list('Volume')).items;
  const places = volume?.spec.placement ?? [];
  assert.ok(volume !== undefined && places.length === 3);
  fleet.copies.fill(volume.metadata.name, 200 * MIB);
  await fleet.until(
    'told',
    async () => {
      const { items } = await fleet.client.list('Replica');
      assert.ok(items.every((replica) => (replica.status?.dataBytes ?? 0) >= 200 * MIB));
    },
    90_000,
  );
  return { name: volume.metadata.name, places };
}

describe('drain', () => {
  test('is foretold, done while the volume serves, and told when the node is empty', async () => {
    await withCli(4, async (cli, fleet) => {
      const { name, places } = await serve(cli, fleet);
      const node = places[1]?.nodeName ?? '';
      const plan = await cli('plan', 'drain', 'node', node);
      assert.equal(plan.code, 0, plan.out);
      assert.match(plan.out, /^drain node-\d: 1 volume changed, 200 MiB are copied in about 2 ?s/);
      assert.match(plan.out, new RegExp(`default/demo \\(${name}\\): ${places[1]?.replicaName}`));
      assert.match(plan.out, /No place would be left for a lost replica of/);
      assert.match(plan.out, /Nothing was changed/);
      assert.equal(fleet.calls('replica.create'), 3);
      const drained = await cli('drain', 'node', node);
      assert.equal(drained.code, 0, drained.out);
      assert.match(drained.out, /holds no replica any more/);
      const { spec } = await fleet.client.get('Volume', { name });
      assert.ok(spec.placement?.every((entry) => entry.nodeName !== node));
      assert.match((await cli('status')).out, new RegExp(`node ${node} is drained`));
      assert.equal((await cli('uncordon', 'node', node)).code, 0);
      const status = await cli('status');
      assert.equal(status.code, 0, status.out);
      assert.match(status.out, /volumes 1, 1 served now\nat risk: nothing$/);
    });
  });

  test('ends with the volume and why where nothing can move', async () => {
    await withCli(3, async (cli, fleet) => {
      const { name, places } = await serve(cli, fleet);
      const drained = await cli('drain', 'node', places[0]?.nodeName ?? '');
      assert.equal(drained.code, EXIT_NOT_WELL);
      assert.match(drained.out, new RegExp(`${name} \\(default/demo\\): .* cannot be replaced`));
      for (const { poolName } of places) assert.ok(drained.out.includes(poolName), poolName);
      assert.match(drained.out, /holdfast uncordon node/);
    });
  });

  test('that takes long ends with the volume and when it is done', async () => {
    await withCli(4, async (cli, fleet) => {
      const { name, places } = await serve(cli, fleet);
      fleet.copies.rebuildBytesPerSecond = MIB;
      const drained = await cli('drain', 'node', places[2]?.nodeName ?? '', '--timeout', '20');
      assert.equal(drained.code, EXIT_NOT_WELL);
      assert.match(drained.out, new RegExp(`default/demo \\(${name}\\): .*done in about [23]`));
    });
  });
});

describe('plan and status', () => {
  test('cordon, replace, delete and expand are foretold', async () => {
    await withCli(4, async (cli, fleet) => {
      const { places } = await serve(cli, fleet);
      const [first] = places;
      for (const [args, code, said] of [
        [['cordon', 'node', first?.nodeName], 0, /1 replicas stay where they are/],
        [['replace', 'pool', first?.poolName], 0, /at risk: 2 of 3 copies until it is done/],
        [['replace', 'replica', first?.replicaName], 0, /is replaced by another one in/],
        [['delete', 'pool', first?.poolName], EXIT_NOT_WELL, /drain it first/],
        [['delete', 'pvc', 'demo'], 0, /all 3 replicas are deleted, 600 MiB come free/],
        [['expand', 'pvc', 'demo', '5Gi'], 0, /grows from 1 GiB to 5 GiB/],
        [['expand', 'pvc', 'demo', '1Mi'], EXIT_NOT_WELL, /volumes only grow/],
        [['drain', 'pvc', 'demo'], 2, /Use one of: StorageNode, DiskPool/],
        [['shrink', 'pvc', 'demo'], 2, /Use one of: drain, cordon/],
        [['expand', 'pvc', 'demo'], 2, /needs it/],
      ] as const) {
        const answer = await cli('plan', ...args.map(String));
        assert.equal(answer.code, code, `${args.join(' ')}: ${answer.out}${answer.err}`);
        assert.match(answer.out + answer.err, said);
      }
    });
  });

  test('status names the volume at risk, why, and when it is whole', async () => {
    await withCli(4, async (cli, fleet) => {
      const { name, places } = await serve(cli, fleet);
      fleet.copies.rebuildBytesPerSecond = MIB;
      const lost = places[1]?.nodeName ?? '';
      fleet.node(lost).isSilent = true;
      await fleet.until('seen', async () => {
        const { out, code } = await cli('status');
        assert.equal(code, EXIT_NOT_WELL);
        assert.match(out, new RegExp(`default/demo \\(${name}\\): 2 of 3 copies. Degraded:`));
        assert.match(out, /Waiting: .*waited for 300 s, then replaced/);
        assert.match(out, new RegExp(`node ${lost} is not ready`));
        assert.ok(out.split('\n').length < 25);
      });
      await fleet.host.clock.sleep(310_000);
      await fleet.until('being made whole', async () => {
        const { out } = await cli('status');
        assert.match(out, /whole in about/);
      });
    });
  });
});
