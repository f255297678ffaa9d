/**
 * What the command line says to names that no object can have, to sizes that shrink and to changes
 * of what is fixed: the field, the value and a remedy, and nothing is changed.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { apply, claim, withCli } from './cli.testkit.ts';

const LONG = 'a'.repeat(254);
const LINK = '../../etc/passwd';

const ONLY_GROW = /Volumes only grow/;
const FIXED = /It is fixed once it is given/;

describe('The command line', () => {
  const rows: readonly (readonly [string, readonly string[], string, string, RegExp])[] = [
    ['get', ['get', 'claim', LONG], 'field: name', LONG.slice(0, 80), /at most 253/],
    ['get of a pool', ['get', 'pool', LONG], 'field: name', LONG.slice(0, 80), /at most 253/],
    [
      'get in a namespace',
      ['get', 'claims', '-n', 'b'.repeat(64)],
      'field: namespace',
      'bbb',
      /63/,
    ],
    ['describe', ['describe', 'claim', LONG], 'field: name', 'aaa', /at most 253/],
    ['explain', ['explain', 'volume', LONG], 'field: name', 'aaa', /at most 253/],
    ['where', ['where', 'claim', LONG], 'field: name', 'aaa', /at most 253/],
    ['mount', ['mount', LONG], 'field: name', 'aaa', /at most 253/],
    ['delete', ['delete', 'claim', LONG], 'field: name', 'aaa', /at most 253/],
    ['patch', ['patch', 'node', LONG, '-p', '{}'], 'field: name', 'aaa', /at most 253/],
    ['wait', ['wait', 'claim', LONG, '--for', 'Ready'], 'field: name', 'aaa', /at most 253/],
    ['a path in get', ['get', 'claim', LINK], 'field: name', 'etc/passwd', /beginning and/],
    ['a path in a pool', ['get', 'pool', LINK], 'field: name', LINK, /beginning and ending/],
    ['a path in mount', ['mount', `default/${LINK}`], 'field: name', LINK, /beginning and/],
    ['a path in a node', ['mount', 'demo', '--node', '../x'], 'field: --node', '../x', /a-z/],
    ['a path in delete', ['delete', 'replica', LINK], 'field: name', LINK, /a-z/],
    [
      'a path in a snapshot',
      ['volume', 'snapshot', 'demo', '--name', '../x'],
      'field: --name',
      '../x',
      /a-z/,
    ],
    [
      'shrinking by expand',
      ['volume', 'expand', 'demo', '1Mi'],
      'path: spec.resources.requests.storage',
      '1Mi',
      ONLY_GROW,
    ],
    [
      'shrinking by patch',
      ['patch', 'claim', 'demo', '-p', '{"spec":{"resources":{"requests":{"storage":"1Mi"}}}}'],
      'path: spec.resources.requests.storage',
      '1Mi',
      ONLY_GROW,
    ],
    [
      'another class',
      ['patch', 'claim', 'demo', '-p', '{"spec":{"storageClassName":"other"}}'],
      'path: spec',
      'other',
      FIXED,
    ],
    [
      'another number of replicas',
      ['patch', 'volume', 'VOLUME', '-p', '{"spec":{"segmentSize":"2Mi"}}'],
      'path: spec.segmentSize',
      '2Mi',
      FIXED,
    ],
    [
      'another directory of a pool',
      ['patch', 'pool', 'node-1-pool', '-p', '{"spec":{"directory":"/elsewhere"}}'],
      'path: spec.directory',
      '/elsewhere',
      FIXED,
    ],
    [
      'another node of a pool, by JSON patch',
      [
        'patch',
        'pool',
        'node-1-pool',
        '--type=json',
        '-p',
        '[{"op":"replace","path":"/spec/nodeName","value":"node-2"}]',
      ],
      'path: spec.nodeName',
      'node-2',
      FIXED,
    ],
  ];

  test('names field, value and remedy of what cannot be, and changes nothing', async () => {
    await withCli(3, async (cli, fleet) => {
      await apply(cli, fleet, claim('demo'));
      assert.equal((await cli('volume', 'attach', 'demo')).code, 0);
      const [volume] = (await fleet.client.list('Volume')).items;
      const specs = async (): Promise<string> => {
        const all = await Promise.all(
          (
            [
              'PersistentVolumeClaim',
              'Volume',
              'DiskPool',
              'StorageNode',
              'VolumeSnapshot',
            ] as const
          ).map((kind) => fleet.client.list(kind)),
        );
        return JSON.stringify(all.flatMap(({ items }) => items.map((each) => each.spec)));
      };
      const before = await specs();
      for (const [title, args, field, value, remedy] of rows) {
        const words = args.map((word) =>
          word === 'VOLUME' ? (volume?.metadata.name ?? '') : word,
        );
        const { code, err } = await cli(...words);
        assert.equal(code, 2, `${title}: ${err}`);
        assert.ok(err.includes(`\n  ${field}`), `${title}: ${err}`);
        assert.ok(/\n {2}value: (.*)/.exec(err)?.[1]?.includes(value), `${title}: ${err}`);
        assert.match(/\n {2}remedy: (.*)/.exec(err)?.[1] ?? '', remedy, `${title}: ${err}`);
      }
      assert.equal(await specs(), before);
      // The longest name that there can be is taken.
      assert.equal(
        (await apply(cli, fleet, claim(`${'a'.repeat(62)}.${'b'.repeat(190)}`))).code,
        0,
      );
    });
  });
});
