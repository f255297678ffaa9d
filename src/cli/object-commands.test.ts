/** describe, patch, wait, get --watch, apply --wait, and delete with its plan. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CliContext } from './context.ts';
import { apply, claim, withCli } from './cli.testkit.ts';
import type { Cli } from './cli.testkit.ts';
import { EXIT_CODES } from './exit-codes.ts';

async function claimed(cli: Cli, fleet: Parameters<typeof apply>[1]): Promise<void> {
  assert.equal((await apply(cli, fleet, claim('demo'))).code, 0);
  const attached = await cli('volume', 'attach', 'demo');
  assert.equal(attached.code, 0, attached.err);
}

describe('describe', () => {
  test('begins with the cause, and has spec, place, conditions and events', async () => {
    await withCli(3, async (cli, fleet) => {
      await claimed(cli, fleet);
      const { out, code } = await cli('describe', 'claim', 'demo');
      assert.equal(code, 0);
      assert.match(out, /^claim default\/demo is well\n/);
      assert.match(out, /\nName: +demo\nNamespace: +default\nKind: +PersistentVolumeClaim \(v1\)/);
      assert.match(out, /\nspec:\n(.*\n)* +storage: 1Gi/);
      assert.match(out, /\nWhere:\n {2}claim default\/demo[^]*device \/dev\/sda/);
      assert.match(out, /\nConditions:\n {2}TYPE +STATUS +SINCE +REASON +MESSAGE\n/);
      assert.match(out, /\nEvents:\n {2}TYPE +REASON +AGE +OBJECT +MESSAGE\n[^]*volume\/pvc-/);
      for (const [kind, name] of [
        ['volume', 'default/demo'],
        ['node', 'node-1'],
        ['pool', 'node-1-pool'],
        ['pvc/demo', undefined],
      ] as const) {
        const words = name === undefined ? [kind] : [kind, name];
        const answer = await cli('describe', ...words);
        assert.equal(answer.code, 0, answer.err);
        assert.match(answer.out, /Name: /);
      }
    });
  });

  test('names the cause of what is not well in its first line', async () => {
    await withCli(2, async (cli, fleet) => {
      await apply(cli, fleet, claim('demo'));
      await cli('mount', 'demo');
      const { out } = await cli('describe', 'claim', 'demo');
      assert.match(out.split('\n')[0] ?? '', /3 replicas need 3 nodes and 2 can be used/);
      assert.match(out, /\nwhat you can do: /);
    });
  });
});

describe('patch', () => {
  test('changes an object by merge and by JSON patch, as JSON and YAML', async () => {
    await withCli(1, async (cli, fleet) => {
      const cordoned = async (): Promise<unknown> =>
        (await fleet.client.get('StorageNode', { name: 'node-1' })).spec.unschedulable;
      const merge = await cli('patch', 'node', 'node-1', '-p', '{"spec":{"unschedulable":true}}');
      assert.equal(merge.out, 'storagenodes/node-1 patched', merge.err);
      assert.equal(await cordoned(), true);
      const same = await cli('patch', 'node/node-1', '-p', 'spec: { unschedulable: true }');
      assert.equal(same.out, 'storagenodes/node-1 patched (no change)', same.err);
      const operations = '[{"op":"replace","path":"/spec/unschedulable","value":false}]';
      const json = await cli('patch', 'node', 'node-1', '--type', 'json', '-p', operations);
      assert.equal(json.out, 'storagenodes/node-1 patched', json.err);
      assert.equal(await cordoned(), false);
    });
  });

  test('refuses what is no patch of its type, and what the object refuses', async () => {
    await withCli(1, async (cli) => {
      for (const [args, said] of [
        [[], /One patch is needed/],
        [['-p', '{}', '--patch-file', 'x'], /One patch is needed/],
        [['-p', '{'], /field: --patch\n {2}value: \{\n/],
        [['-p', '[]'], /A merge patch is a map[^]*--type json/],
        [['-p', '{}', '--type', 'json'], /A JSON patch is a list[^]*--type merge/],
        [['-p', '{}', '--type', 'mrege'], /Did you mean merge/],
        [['-p', '{}', '--type', 'strategic'], /Use one of: merge, json/],
        [['-p', '{"spec":{"zones":"a"}}'], /zones/],
      ] as const) {
        const answer = await cli('patch', 'node', 'node-1', ...args);
        assert.equal(answer.code, 2, answer.out);
        assert.match(answer.err, said);
      }
      assert.equal((await cli('patch', 'node', 'none', '-p', '{}')).code, 3);
    });
  });
});

describe('wait', () => {
  test('ends with a condition, a phase, and when the object is gone', async () => {
    await withCli(3, async (cli, fleet) => {
      await claimed(cli, fleet);
      for (const [args, said] of [
        [['claim', 'demo', '--for', 'phase=Bound'], /persistentvolumeclaims\/demo condition met/],
        [['claim/demo', '--for', 'condition=ready'], /condition met/],
        [['nodes', 'node-1', 'node-2', '--for', 'Ready=True'], /node-1 [^]*node-2 condition met/],
        [['claim', 'none', '--for', 'delete'], /none deleted/],
        [['claim', 'demo', '--for', 'create'], /demo created/],
      ] as const) {
        const answer = await cli('wait', ...args);
        assert.equal(answer.code, 0, answer.err);
        assert.match(answer.out, said);
      }
      const table = await cli('get', 'claim', 'demo', '--wait', 'phase=Bound');
      assert.match(table.out, /demo +Bound/);
    });
  });

  test('that takes too long names the state, and what nobody made is said at once', async () => {
    await withCli(3, async (cli, fleet) => {
      await claimed(cli, fleet);
      const late = await cli('wait', 'claim', 'demo', '--for', 'phase=Lost', '--timeout', '2s');
      assert.equal(late.code, EXIT_CODES['timed-out']);
      assert.match(late.err, /state: phase Bound; Ready is True/);
      const startMs = fleet.host.clock.monotonicMs();
      const none = await cli('wait', 'claim', 'none', '--for', 'Ready', '--timeout', '1h');
      assert.equal(none.code, EXIT_CODES['not-found']);
      assert.ok(fleet.host.clock.monotonicMs() - startMs < 5_000);
      for (const [args, said] of [
        [['claim', 'demo', '--for', 'phase='], /value: phase=\n/],
        [['claim', '--for', 'Ready'], /No object was named/],
        [['claim', 'demo'], /field: --for/],
      ] as const) {
        const answer = await cli('wait', ...args);
        assert.equal(answer.code, 2);
        assert.match(answer.err, said);
      }
    });
  });

  test('apply --wait ends when all is ready', async () => {
    await withCli(3, async (cli, fleet) => {
      await apply(cli, fleet, claim('demo'));
      const answer = await cli('apply', '-f', 'a.yaml', '--wait');
      assert.match(answer.out, /demo unchanged\npersistentvolumeclaims\/demo ready/, answer.err);
      const [volume] = (await fleet.client.list('Volume')).items;
      assert.ok(volume !== undefined);
    });
  });
});

describe('get --watch', () => {
  test('prints what is there, then every change, until its time is over', async () => {
    await withCli(3, async (cli, fleet) => {
      await claimed(cli, fleet);
      const watching = cli('get', 'nodes', '--watch', '--timeout', '5s');
      await fleet.host.clock.sleep(1_000);
      await cli('cordon', 'node', 'node-2');
      const { out, code } = await watching;
      assert.equal(code, 0);
      const lines = out.split('\n');
      assert.match(lines[0] ?? '', /^NAME +STATE +SCHEDULABLE/);
      assert.match(lines[2] ?? '', /^node-2 +Ready +yes/);
      assert.match(lines.slice(4).join('\n'), /^node-2 +Ready +no/m);
      const named = cli('get', 'node', 'node-1', '-w', '--timeout', '5s', '-o', 'name');
      await fleet.host.clock.sleep(1_000);
      await cli('uncordon', 'node', 'node-2');
      assert.equal((await named).out, 'storagenodes/node-1', 'only what was named');
      assert.equal((await cli('get', 'node', 'none', '-w')).code, EXIT_CODES['not-found']);
    });
  });
});

describe('delete', () => {
  const asking = (answer: string): Partial<CliContext> => ({ ask: () => Promise.resolve(answer) });

  test('foretells what goes, and destroys nothing before it is told to', async () => {
    await withCli(3, async (cli, fleet) => {
      await claimed(cli, fleet);
      assert.equal((await cli('volume', 'detach', 'demo')).code, 0);
      const refused = await cli('delete', 'claim', 'demo');
      assert.equal(refused.code, 2);
      assert.match(refused.err, /all 3 replicas are deleted, .* come free, and nothing brings/);
      assert.match(refused.err, /field: --yes/);
      const no = await cli.with(asking('no'), 'delete', 'claim', 'demo');
      assert.equal(no.code, EXIT_CODES.aborted);
      assert.match((await cli('get', 'claims')).out, /demo +Bound/);
      const yes = await cli.with(asking('yes'), 'delete', 'claim', 'demo');
      assert.equal(yes.code, 0, yes.err);
      assert.match(yes.err, /all 3 replicas are deleted/);
      assert.match((await cli('get', 'volumes')).err, /No volumes found/);
    });
  });

  test('asks nothing where no data goes', async () => {
    await withCli(2, async (cli, fleet) => {
      await apply(cli, fleet, claim('demo'));
      assert.equal((await cli('get', 'claims')).code, 0);
      const answer = await cli('delete', 'claim', 'demo');
      assert.equal(answer.code, 0, answer.err);
      assert.equal(answer.err, '');
    });
  });

  test('asks nothing where the class keeps the volume, and says that it stays', async () => {
    await withCli(3, async (cli, fleet) => {
      const kept = `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: { name: kept }
provisioner: csi.holdfast.dev
reclaimPolicy: Retain
---${claim('demo').replace('spec: {', 'spec: { storageClassName: kept,')}`;
      assert.equal((await apply(cli, fleet, kept)).code, 0);
      assert.equal((await cli('wait', 'claim', 'demo', '--for', 'phase=Bound')).code, 0);
      const answer = await cli('delete', 'claim', 'demo');
      assert.equal(answer.code, 0, answer.err);
      assert.match(answer.err, /pvc-\S+ and its data stay \(reclaimPolicy Retain\)/);
      assert.match((await cli('get', 'volumes')).out, /pvc-/);
    });
  });

  test('of several, one that is in use keeps all of them', async () => {
    await withCli(3, async (cli, fleet) => {
      await apply(cli, fleet, `${claim('demo')}---${claim('other')}`);
      assert.equal((await cli('mount', 'other', '/mnt/x')).code, 0);
      assert.equal((await cli('wait', 'claim', 'demo', '--for', 'phase=Bound')).code, 0);
      const answer = await cli('delete', 'claim', 'demo', 'other', '--yes');
      assert.equal(answer.code, EXIT_CODES['in-use']);
      assert.match((await cli('get', 'claims')).out, /demo +Bound[^]*other +Bound/);
    });
  });
});
