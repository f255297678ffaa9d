import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ERROR_CODES, HoldfastError } from '#api/mod.ts';
import { RestClient } from '#control/kube/mod.ts';
import { Fleet } from '#control/operator/fleet.testkit.ts';
import { apply, claim, contextOf, withCli } from './cli.testkit.ts';
import { chooseClusterPath, layOut } from './cluster-directory.ts';
import { EXIT_CODES } from './exit-codes.ts';
import { runCli } from './mod.ts';
import { formatError } from './print-error.ts';
import { formatTable } from './text-table.ts';
import { formatEta } from './wait-for.ts';

describe('holdfast', () => {
  test('A claim is applied, mounted, found, explained, unmounted and deleted', async () => {
    await withCli(3, async (cli, fleet) => {
      assert.match(
        (await apply(cli, fleet, claim('demo'))).out,
        /persistentvolumeclaims\/demo created/,
      );
      const mounted = await cli('mount', 'demo', '/mnt/x');
      assert.equal(mounted.code, 0, mounted.err);
      assert.match(mounted.out, /mounted at \/mnt\/x/);
      const table = await cli('get', 'pvc');
      assert.match(
        table.out,
        /^NAME +STATUS +VOLUME +CAPACITY +STORAGECLASS +AGE\ndemo +Bound +pvc-/,
      );
      const json = JSON.parse((await cli('get', 'claim', 'demo', '-o', 'json')).out) as {
        kind: string;
      };
      assert.equal(json.kind, 'PersistentVolumeClaim');
      assert.match((await cli('get', 'volumes', '-o', 'yaml')).out, /kind: List/);
      assert.match(
        (await cli('get', 'pvc/demo', '-o', 'name')).out,
        /^persistentvolumeclaims\/demo$/,
      );
      assert.match((await cli('where', 'demo')).out, /claim default\/demo[\s\S]*device \/dev\/sda/);
      assert.match((await cli('where', 'volume', 'default/demo')).out, /volume pvc-/);
      const well = await cli('explain', 'volume', 'default/demo');
      assert.equal(well.code, 0, well.out);
      assert.match(well.out, /is well/);
      const refused = await cli('delete', 'claim', 'demo');
      assert.equal(refused.code, EXIT_CODES['in-use']);
      assert.match(refused.err, /Volume is mounted \(in-use\)[\s\S]*remedy: Unmount it first/);
      assert.equal((await cli('umount', 'demo')).code, 0);
      assert.equal((await cli('delete', 'claim', 'demo', '--yes')).code, 0);
      assert.match((await cli('get', 'volumes')).err, /No volumes found/);
    });
  });

  test('Snapshot, restore, clone and expand do what they say', async () => {
    await withCli(3, async (cli, fleet) => {
      await apply(cli, fleet, claim('demo'));
      const steps = [
        ['volume', 'attach', 'demo'],
        ['volume', 'snapshot', 'demo', '--name', 'before'],
        ['volume', 'restore', 'before', 'default/copy', '--size', '2Gi'],
        ['volume', 'clone', 'demo', 'twin'],
        ['volume', 'expand', 'demo', '4Gi'],
        ['volume', 'rebuild', 'demo'],
      ];
      for (const step of steps) {
        const answer = await cli(...step);
        assert.equal(answer.code, 0, `${step.join(' ')}: ${answer.err}`);
      }
      const claims = (await cli('get', 'claims')).out;
      assert.match(claims, /copy +Bound/);
      assert.match(claims, /demo +Bound +\S+ +4Gi/);
      assert.match(claims, /twin +Bound/);
      const shrunk = await cli('volume', 'expand', 'demo', '1Gi');
      assert.equal(shrunk.code, 2);
      assert.match(shrunk.err, /can not be less than status.capacity/);
    });
  });

  test('A snapshot is a VolumeSnapshot: it is deleted as that, and restored in its namespace', async () => {
    await withCli(3, async (cli, fleet) => {
      await apply(cli, fleet, claim('demo'));
      await cli('volume', 'attach', 'demo');
      const taken = await cli('volume', 'snapshot', 'demo', '--name', 'before');
      assert.equal(taken.out, 'snapshot default/before taken');
      const inUse = await cli('delete', 'claim', 'demo', '--yes');
      assert.match(inUse.err, /snapshots: VolumeSnapshot default\/before/);
      const [behind] = (await fleet.client.list('Snapshot')).items;
      const name = behind?.metadata.name ?? '';
      const refused = await cli('delete', 'snapshot', name, '--yes');
      assert.match(refused.err, /owner: VolumeSnapshot default\/before/);
      const elsewhere = await cli('volume', 'restore', 'default/before', 'other/copy');
      assert.match(elsewhere.err, /remedy: Use default\/copy/);
      const absent = await cli('volume', 'restore', 'after', 'copy');
      assert.equal(absent.code, 3);
      const gone = await cli('delete', 'volumesnapshot', 'before', '--yes');
      assert.equal(gone.code, 0, gone.err);
      assert.deepEqual((await fleet.client.list('Snapshot')).items, []);
      const source = 'spec: { source: { persistentVolumeClaimName: demo } }';
      const kind = 'apiVersion: snapshot.storage.k8s.io/v1\nkind: VolumeSnapshot';
      await apply(cli, fleet, `${kind}\nmetadata: { name: after }\n${source}\n`);
      const waited = await cli('apply', '-f', 'a.yaml', '--wait');
      assert.equal(waited.code, 0, waited.err);
      const key = { namespace: 'default', name: 'after' };
      assert.equal((await fleet.client.get('VolumeSnapshot', key)).status?.readyToUse, true);
      const bare = await cli(
        'volume',
        'snapshot',
        'demo',
        '--snapshot-class',
        'nowhere',
        '--timeout',
        '2s',
      );
      assert.match(bare.err, /There is no VolumeSnapshotClass nowhere/);
      const waiting = (await fleet.client.list('VolumeSnapshot')).items.find(
        ({ spec }) => spec.volumeSnapshotClassName === 'nowhere',
      );
      const why = await cli('explain', 'volumesnapshot', waiting?.metadata.name ?? '');
      assert.match(why.out, /^[^\n]*There is no VolumeSnapshotClass nowhere/);
    });
  });

  test('More replicas than nodes is said by mount with every pool and why', async () => {
    await withCli(2, async (cli, fleet) => {
      await apply(cli, fleet, claim('demo'));
      const answer = await cli('mount', 'demo');
      assert.equal(answer.code, EXIT_CODES['no-placement']);
      assert.match(answer.err, /3 replicas need 3 nodes and 2 can be used/);
      assert.equal((await cli('explain', 'demo')).code, 8);
    });
  });

  test('Nothing of a manifest is applied when one object in it does not fit', async () => {
    await withCli(3, async (cli, fleet) => {
      const answer = await apply(cli, fleet, `${claim('good')}---${claim('bad', '1000')}`);
      assert.equal(answer.code, 2);
      assert.match(answer.err, /path: spec.resources.requests.storage/);
      assert.match(answer.err, /value: 1000/);
      assert.match(answer.err, /remedy: The next size that can be served is 4Ki/);
      assert.match((await cli('get', 'claims')).err, /No persistentvolumeclaims found/);
      const twice = await apply(cli, fleet, `${claim('demo')}---${claim('demo')}`);
      assert.equal(twice.code, EXIT_CODES['already-exists']);
      assert.match(twice.err, /Two objects of one name/);
    });
  });

  test('Pools and nodes that hold something are not deleted', async () => {
    await withCli(3, async (cli, fleet) => {
      await apply(cli, fleet, claim('demo'));
      await cli('volume', 'attach', 'demo');
      for (const [kind, name] of [
        ['pool', 'node-1-pool'],
        ['node', 'node-1'],
      ] as const) {
        const answer = await cli('delete', kind, name);
        assert.equal(answer.code, EXIT_CODES['in-use'], answer.err);
        assert.match(answer.err, /holds: /);
      }
    });
  });

  for (const [title, args, code, text] of [
    ['an unknown kind', ['get', 'pods'], 2, /Kind is unknown[\s\S]*volumes/],
    ['an unknown claim', ['mount', 'nothing'], 3, /no such claim or volume/],
    ['an unknown command', ['frobnicate'], 2, /value: frobnicate\n {2}remedy: holdfast --help/],
    [
      'a mistyped command',
      ['explian', 'demo'],
      2,
      /value: explian\n {2}remedy: Did you mean explain/,
    ],
    ['a mistyped command below another', ['volume', 'snapshoot'], 2, /Did you mean snapshot/],
    [
      'an unknown option',
      ['get', 'claims', '--xyzzyx'],
      2,
      /value: --xyzzyx\n {2}remedy: holdfast get/,
    ],
    ['a mistyped option', ['get', 'claims', '--namspace=x'], 2, /Did you mean --namespace/],
    ['a value for an option', ['get', 'claims', '--wide'], 2, /Did you mean --output wide/],
    ['an unknown output form', ['get', 'claims', '-o', 'xml'], 2, /table, wide, json, yaml/],
    ['an output form that status lacks', ['status', '-o', 'jsn'], 2, /jsn[^]*Did you mean json/],
    ['an output form that plan lacks', ['plan', 'drain', 'node', 'x', '-o', 'name'], 2, /--output/],
    ['an option without its value', ['get', 'claims', '-o'], 2, /field: --output/],
    ['a missing option', ['apply'], 2, /field: --filename/],
    ['a missing argument', ['get'], 2, /Argument is missing[^]*field: kind/],
    ['too many arguments', ['umount', 'a', 'b'], 2, /Too many arguments[^]*value: b/],
    ['an option of start that is none', ['start', '--turo'], 2, /Did you mean --tour/],
    ['an unknown option of store check', ['store', 'check', '/x', '--qick'], 2, /mean --quick/],
    ['a malformed size', ['volume', 'expand', 'demo', '1GiB'], 2, /field: size/],
    ['a size of zero', ['volume', 'expand', 'demo', '0'], 2, /Size is zero/],
    ['a malformed time', ['umount', 'demo', '--timeout', 'soon'], 2, /field: --timeout/],
    ['no time at all', ['drain', 'node', 'x', '--timeout', '0'], 2, /value: 0[^]*90s, 5m or 1h/],
    ['more than a day', ['umount', 'demo', '--timeout', '25h'], 2, /at most 24h/],
    ['a missing file', ['apply', '-f', 'nothing.yaml'], 2, /Manifest cannot be read/],
    ['too many nodes', ['up', '--nodes', '99'], 2, /Use 1 to 16/],
    ['a disk that is on no path', ['where', 'disk', '/dev/none'], 3, /on any path/],
  ] as const) {
    test(`The command line answers ${title} with exit code ${code} and a remedy`, async () => {
      await withCli(1, async (cli) => {
        const answer = await cli(...args);
        assert.equal(answer.code, code, answer.err);
        assert.match(answer.err, text);
      });
    });
  }

  test('Without a cluster the command line says how to start one', async () => {
    const fleet = new Fleet(7, 1);
    const err: string[] = [];
    const silent = async () => {
      throw new HoldfastError('refused', 'No API server answers', { details: { url: 'x' } });
    };
    const api = new RestClient({ ...fleet.host, transport: silent, manager: 'test' });
    const context = { ...contextOf(fleet, [], err), connectApi: () => api };
    for (const args of [
      ['get', 'claims'],
      ['explain', 'claim', 'x'],
    ]) {
      await fleet.world.finish(
        (async () => {
          assert.equal(await runCli(context, args), 7);
        })(),
      );
    }
    assert.match(err.join('\n'), /No cluster answers[\s\S]*holdfast up/);
  });
});

describe('Exit codes', () => {
  test('Every error code has one, and none is that of a mistake of ours', () => {
    assert.deepEqual(Object.keys(EXIT_CODES).sort(), [...ERROR_CODES].sort());
    for (const code of Object.values(EXIT_CODES)) assert.ok(code > 1);
  });
});

describe('Cluster directory', () => {
  test('--cluster wins over HOLDFAST_CLUSTER, that over ./.holdfast', () => {
    assert.equal(chooseClusterPath('a', { HOLDFAST_CLUSTER: '/b' }, '/srv/w'), '/srv/w/a');
    assert.equal(chooseClusterPath(undefined, { HOLDFAST_CLUSTER: '/b' }, '/srv/w'), '/b');
    assert.equal(chooseClusterPath(undefined, {}, '/srv/w'), '/srv/w/.holdfast');
  });

  test('Sockets of a long directory are in a short one, the same each time', () => {
    const long = `/${'x'.repeat(100)}`;
    const { runDir } = layOut(long);
    assert.match(runDir, /^\/tmp\/holdfast-[0-9a-f]{12}$/);
    assert.equal(layOut(long).runDir, runDir);
    assert.notEqual(layOut(`${long}y`).runDir, runDir);
    assert.equal(layOut('/short').runDir, '/short/run');
    const longest = `${runDir}/node-16.0123456789ab.peer`;
    assert.ok(longest.length < 100);
  });
});

describe('Output', () => {
  test('Errors print what, the facts and the remedy', () => {
    const error = new HoldfastError('in-use', 'Volume is mounted', {
      details: { path: '/mnt', remedy: 'Unmount it' },
    });
    const text = formatError(error);
    assert.match(
      text,
      /error.*: Volume is mounted \(in-use\)\n {2}path: \/mnt\n {2}remedy: Unmount it/,
    );
  });

  test('Tables are columns without trailing blanks', () => {
    assert.equal(
      formatTable(
        ['A', 'LONG'],
        [
          ['abc', ''],
          ['d', 'e'],
        ],
      ),
      'A     LONG\nabc\nd     e',
    );
  });

  test('Estimates are short', () => {
    assert.equal(formatEta(0.25, 10_000), '25%, about 30 s left');
    assert.equal(formatEta(0, 10_000), '0%');
  });
});
