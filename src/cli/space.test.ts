import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { apply, claim, withCli } from './cli.testkit.ts';
import { EXIT_CODES, EXIT_NOT_WELL } from './exit-codes.ts';

const MIB = 2 ** 20;

describe('space', () => {
  test('tells claims and pools, one claim and one pool, and when it is full', async () => {
    await withCli(3, async (cli, fleet) => {
      await apply(cli, fleet, claim('demo'));
      assert.equal((await cli('volume', 'attach', 'demo')).code, 0);
      const [volume] = (await fleet.client.list('Volume')).items;
      fleet.copies.fill(volume?.metadata.name ?? '', 200 * MIB);
      await fleet.host.clock.sleep(5_000);
      const all = await cli('space');
      assert.equal(all.code, 0, all.err);
      assert.match(all.out, /^CLAIM +SIZE +COPIES +ON DISK +LIVE/);
      assert.match(all.out, /default\/demo +1 GiB +3 +600 MiB +600 MiB +0 B/);
      assert.match(all.out, /\nPOOL +NODE +CAPACITY[^]*node-1-pool +node-1 +1 TiB +512 GiB/);
      for (const words of [['demo'], ['claim', 'demo'], ['pvc/demo'], ['volume', 'demo']]) {
        const { out, code, err } = await cli('space', ...words);
        assert.equal(code, 0, err);
        assert.match(
          out,
          /^default\/demo \(pvc-\S+\): 600 MiB on disk; 1 GiB on 3 replicas may be/,
        );
        assert.match(out, /\n +600 MiB +live: what is read now\nnot in the sum:/);
        assert.match(out, /volumes are thin/);
      }
      const pool = await cli('space', 'pool', 'node-1-pool');
      assert.match(pool.out, /^node-1-pool on node-1: 1 TiB\n +200 MiB +default\/demo\n/);
      assert.match(pool.out, /\nfull: (not known yet|does not fill)/);
      const { volumes } = JSON.parse((await cli('space', 'demo', '-o', 'json')).out) as {
        volumes: { actualBytes: number }[];
      };
      assert.deepEqual(
        volumes.map(({ actualBytes }) => actualBytes),
        [600 * MIB],
      );
    });
  });

  test('says what it could not ask, and refuses what has no space', async () => {
    await withCli(3, async (cli, fleet) => {
      await apply(cli, fleet, claim('demo'));
      assert.equal((await cli('volume', 'attach', 'demo')).code, 0);
      fleet.node('node-2').isSilent = true;
      const { out, code } = await cli('space');
      assert.equal(code, EXIT_NOT_WELL);
      assert.match(out, /\nnot counted: pool node-2-pool on node-2: /);
      for (const [words, expected] of [
        [['none'], EXIT_CODES['not-found']],
        [['pool', 'none'], EXIT_CODES['not-found']],
        [['node', 'node-1'], 2],
        [['claims', 'a', 'b'], 2],
      ] as const) {
        assert.equal((await cli('space', ...words)).code, expected, words.join(' '));
      }
    });
  });
});
