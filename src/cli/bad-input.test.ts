/**
 * Bad input as a person meets it: each case checks the code, the field, value and remedy in the
 * text, and that nothing was made or lost. docs/design/bad-input.md has the list.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Fleet } from '#control/operator/fleet.testkit.ts';
import { type Answer, apply, claim, type Cli, withCli } from './cli.testkit.ts';
import { EXIT_CODES } from './exit-codes.ts';

const POOL = `
apiVersion: holdfast.dev/v1alpha1
kind: DiskPool
metadata: { name: extra }
spec: { nodeName: node-1, directory: /data }
`;

/** Everything that a command can make, as text: equal before and after means nothing was done. */
async function everything(cli: Cli): Promise<string> {
  const kinds = ['claims', 'classes', 'volumes', 'replicas', 'snapshots', 'vs', 'pools', 'nodes'];
  const specs: string[] = [];
  for (const kind of kinds) {
    const { out } = await cli('get', kind, '-o', 'json');
    const items = out === '' ? [] : ((JSON.parse(out) as { items?: unknown[] }).items ?? []);
    for (const item of items as { metadata: { name: string }; spec?: unknown }[]) {
      specs.push(`${kind}/${item.metadata.name} ${JSON.stringify(item.spec ?? null)}`);
    }
  }
  assert.ok(
    specs.some((line) => line.startsWith('nodes/node-1 ')),
    'the list sees what there is',
  );
  return specs.join('\n');
}

function shows(
  answer: Answer,
  code: number,
  ...facts: readonly (readonly [string, string])[]
): void {
  assert.equal(answer.code, code, answer.err);
  for (const [name, value] of facts) {
    assert.ok(answer.err.includes(`  ${name}: ${value}`), `${name}: ${value} in\n${answer.err}`);
  }
  assert.match(answer.err, /\n {2}remedy: \S+/);
}

async function refused(
  cli: Cli,
  fleet: Fleet,
  text: string,
  ...facts: readonly (readonly [string, string])[]
): Promise<void> {
  const before = await everything(cli);
  const answer = await apply(cli, fleet, text);
  shows(answer, 2, ...facts);
  assert.match(answer.err, /\(invalid-object\)/);
  assert.equal(await everything(cli), before);
}

const SIZES: readonly (readonly [string, string, string])[] = [
  ['zero', '0', 'Size is zero'],
  ['negative', '-1Gi', 'Size is negative'],
  ['not a multiple of the sector', '1000', 'Size is not a multiple of the sector'],
  ['not a multiple of the sector by one', '1073741825', 'Size is not a multiple of the sector'],
  ['above 2^53', '9007199254740992', 'Quantity is above 2^53 - 1 bytes'],
  ['above 2^53 by far', '99999999Ei', 'Quantity is above 2^53 - 1 bytes'],
  ['not a number', 'NaN', 'Quantity is malformed'],
  ['of half a byte', '0.5', 'Quantity is not a whole number of bytes'],
];

describe('Bad input to the command line', () => {
  test('Unknown fields in objects are refused by path, and nothing is made', async () => {
    await withCli(1, async (cli, fleet) => {
      const top = `${claim('demo')}replicas: 3\n`;
      await refused(cli, fleet, top, ['path', 'replicas'], ['value', '3']);
      const deep = claim('demo').replace('storage:', 'iops: 7, storage:');
      const path = 'spec.resources.requests.iops';
      await refused(cli, fleet, deep, ['path', path], ['value', '7'], ['remedy', 'Remove it']);
      const pool = POOL.replace('directory:', 'quota: 1Gi, directory:');
      await refused(cli, fleet, pool, ['path', 'spec.quota'], ['value', '1Gi']);
    });
  });

  test('Wrong types in objects are refused by path, and nothing is made', async () => {
    await withCli(1, async (cli, fleet) => {
      const cases = [
        [claim('demo').replace('{ name: demo }', '[demo]'), 'metadata', '["demo"]'],
        [claim('demo').replace('"1Gi"', '[1]'), 'spec.resources.requests.storage', '[1]'],
        [POOL.replace('/data', '{ a: 1 }'), 'spec.directory', '{"a":1}'],
        [POOL.replace('node-1', '7'), 'spec.nodeName', '7'],
        [`${POOL.trim().slice(0, -2)}, unschedulable: "yes" }`, 'spec.unschedulable', 'yes'],
      ] as const;
      for (const [text, path, value] of cases) {
        await refused(cli, fleet, text, ['path', path], ['value', value], ['remedy', 'Use']);
      }
    });
  });

  for (const [title, size, problem] of SIZES) {
    test(`A size that is ${title} is refused by apply, expand, restore and clone`, async () => {
      await withCli(3, async (cli, fleet) => {
        const path = 'spec.resources.requests.storage';
        const facts = [['path', path] as const, ['value', size] as const];
        await refused(cli, fleet, claim('bad', size), ...facts, ['problem', problem]);
        assert.equal((await apply(cli, fleet, claim('demo'))).code, 0);
        assert.equal((await cli('volume', 'attach', 'demo')).code, 0);
        assert.equal((await cli('volume', 'snapshot', 'demo', '--name', 'before')).code, 0);
        const before = await everything(cli);
        for (const command of [
          ['expand', 'demo', '--', size],
          ['restore', 'before', 'copy', `--size=${size}`],
          ['clone', 'demo', 'copy', `--size=${size}`],
        ]) {
          const answer = await cli('volume', ...command);
          shows(answer, 2, ['value', size]);
          assert.match(answer.err, /field: (--)?size/, command.join(' '));
          assert.equal(await everything(cli), before, command.join(' '));
        }
      });
    });
  }

  test('Two claims of one name are refused: in manifests, by clone and by restore', async () => {
    await withCli(3, async (cli, fleet) => {
      const both = await apply(cli, fleet, `${claim('demo')}---${claim('demo', '2Gi')}`);
      shows(both, EXIT_CODES['already-exists'], ['name', 'PersistentVolumeClaim default/demo']);
      assert.match((await cli('get', 'claims')).err, /No persistentvolumeclaims found/);
      await apply(cli, fleet, claim('demo'));
      const twice = await cli('apply', '-f', 'a.yaml', '-f', 'a.yaml');
      shows(twice, EXIT_CODES['already-exists'], ['name', 'PersistentVolumeClaim default/demo']);
      await cli('volume', 'attach', 'demo');
      await cli('volume', 'snapshot', 'demo', '--name', 'before');
      await apply(cli, fleet, claim('other'));
      const before = await everything(cli);
      for (const command of [
        ['clone', 'demo', 'other'],
        ['restore', 'before', 'other'],
      ]) {
        const answer = await cli('volume', ...command);
        shows(answer, EXIT_CODES['already-exists'], ['name', 'default/other']);
        assert.equal(await everything(cli), before, command.join(' '));
      }
    });
  });

  test('More replicas than nodes is refused with every pool, and none is made', async () => {
    await withCli(2, async (cli, fleet) => {
      await apply(cli, fleet, claim('demo'));
      const answer = await cli('mount', 'demo');
      shows(answer, EXIT_CODES['no-placement']);
      assert.match(answer.err, /3 replicas need 3 nodes and 2 can be used/);
      assert.match((await cli('get', 'replicas')).err, /No replicas found/);
      for (const node of fleet.nodes.values()) {
        assert.ok(!node.calls.includes('replica.create'), node.name);
      }
    });
  });

  test('Deleting a mounted volume is refused by every name, and it stays mounted', async () => {
    await withCli(3, async (cli, fleet) => {
      await apply(cli, fleet, claim('demo'));
      assert.equal((await cli('mount', 'demo', '/mnt/x')).code, 0);
      const before = await everything(cli);
      const volume = /pvc-\S+/.exec((await cli('get', 'volumes')).out)?.[0] ?? '';
      for (const command of [
        ['claim', 'demo'],
        ['volume', volume],
        ['-f', 'a.yaml'],
      ]) {
        const answer = await cli('delete', ...command);
        shows(answer, EXIT_CODES['in-use'], ['path', '/mnt/x'], ['remedy', 'Unmount it first']);
        assert.equal(await everything(cli), before, command.join(' '));
      }
      assert.equal([...fleet.nodes.values()].flatMap((node) => node.mounts).length, 1);
      assert.match((await cli('explain', 'demo')).out, /is well/);
    });
  });

  test('Names with paths in them are refused or absent, whatever the command', async () => {
    await withCli(3, async (cli, fleet) => {
      await apply(cli, fleet, claim('demo'));
      await cli('volume', 'attach', 'demo');
      await cli('volume', 'snapshot', 'demo', '--name', 'good');
      const before = await everything(cli);
      const names = ['../../etc/passwd', '..', '%2e%2e%2f', 'ä', 'a b', 'A', `${'a'.repeat(300)}`];
      for (const name of names) {
        await refused(cli, fleet, claim(JSON.stringify(name)), ['path', 'metadata.name']);
        for (const command of [
          ['volume', 'snapshot', 'demo', '--name', name],
          ['volume', 'restore', 'good', name],
          ['volume', 'clone', 'demo', name],
          ['volume', 'rebuild', 'demo', '--replica', name],
          ['mount', 'demo', '--node', name],
          ['mount', name],
          ['umount', name],
          ['delete', 'claim', name],
          ['delete', 'snapshot', name],
          ['get', 'claim', name],
          ['get', 'claims', '-n', name],
          ['explain', 'volume', name],
          ['where', 'claim', name],
        ]) {
          const answer = await cli(...command);
          const isEmpty = answer.code === 0 && answer.err.startsWith('No ') && answer.out === '';
          assert.ok(
            [2, 3].includes(answer.code) || isEmpty,
            `${command.join(' ')}: ${answer.code}`,
          );
        }
      }
      assert.equal(await everything(cli), before);
    });
  });
});
