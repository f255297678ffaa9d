/**
 * fio with verification over NBD, on three replicas, while an engine that does not serve the export
 * is killed and comes back. HOLDFAST_FIO_SECONDS=60 is the full size, with five kills; without it
 * less.
 */
import { equal, ok, rejects } from 'node:assert/strict';
import { open, readdir } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { RealCluster, run, waitFor, whyNotHere } from './real-cluster.testkit.ts';
import { runVerifyingFio } from './verifying-fio.testkit.ts';

const SECONDS = Number(process.env['HOLDFAST_FIO_SECONDS'] ?? 25);
const KILLS = SECONDS >= 60 ? 5 : 3;
const WHOLE_MS = 60_000;
const BLOCK_BYTES = 4096;
const NODES = ['node-1', 'node-2', 'node-3'];

describe('an engine that does not serve the export', { skip: whyNotHere(['fio']) }, () => {
  let cluster: RealCluster;
  let url = '';

  before(async () => {
    cluster = await RealCluster.start('members');
    await cluster.claim('nbd', '512Mi');
    url = await cluster.attach('nbd');
  });
  after(() => cluster?.stop());

  test('may be killed: fio over NBD sees no error', async (t: TestContext) => {
    const serving = await cluster.servingNode('nbd');
    const victim = NODES.find((node) => node !== serving) ?? '';
    const fio = runVerifyingFio(['--ioengine=nbd', `--uri=${url}`, '--size=256M'], SECONDS);
    const killing = killEvery(cluster, victim, (SECONDS * 1000) / (KILLS + 1));
    const [outcome] = await Promise.all([fio, killing]);
    equal(outcome.errors, 0);
    ok(outcome.writes > 10 * SECONDS, `only ${outcome.writes} writes`);
    t.diagnostic(
      `${SECONDS} s, ${KILLS} kills of a member, ${outcome.reads} reads and ` +
        `${outcome.writes} writes verified`,
    );
    await waitFor('all members in sync', WHOLE_MS, () => cluster.isWhole('nbd'));
    equal(await cluster.servingNode('nbd'), serving);
  });

  test('a byte flipped in all three replicas fails the verification', async () => {
    const job = ['--name=flip', '--ioengine=nbd', `--uri=${url}`, '--offset=384M', '--size=4M'];
    const options = ['--bs=4k', '--iodepth=8', '--verify=crc32c', '--verify_fatal=1'];
    await run('fio', [...job, ...options, '--rw=write', '--do_verify=0', '--end_fsync=1'], 60_000);
    const verify = (): Promise<string> =>
      run('fio', [...job, ...options, '--rw=read', '--verify_only=1'], 60_000);
    await verify();
    for (const node of NODES) {
      equal(await flipByte(cluster.poolOf(node), 384 * 1024 * 1024 + 17 * BLOCK_BYTES + 5), 1);
    }
    await rejects(verify(), /failed/);
  });
});

async function killEvery(cluster: RealCluster, node: string, everyMs: number): Promise<void> {
  for (let count = 0; count < KILLS; count += 1) {
    await pause(everyMs);
    cluster.kill(node, 'engine');
  }
}

/** In every data file of the pool; resolves to how many there were. */
async function flipByte(pool: string, offset: number): Promise<number> {
  const names = await readdir(pool, { recursive: true });
  const files = names.filter((name) => name.endsWith('.data'));
  for (const name of files) {
    const file = await open(path.join(pool, name), 'r+');
    const byte = new Uint8Array(1);
    await file.read(byte, 0, 1, offset);
    byte[0] = (byte[0] ?? 0) ^ 0x40;
    await file.write(byte, 0, 1, offset);
    await file.close();
  }
  return files.length;
}
