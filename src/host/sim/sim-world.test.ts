import { test } from 'node:test';
import { deepEqual, equal, notEqual, rejects, throws } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { setTimeout as realPause } from 'node:timers/promises';
import { hasCode } from '#api/mod.ts';
import { decodeText, encodeText } from '#lib/mod.ts';
import type { Conn } from '../mod.ts';
import { SimWorld } from './mod.ts';
import { echoWorld } from './echo-world.testkit.ts';

test('SimWorld gives one trace for one seed, in every process', async () => {
  const here = await echoWorld(7);
  const script = new URL('./echo-world.testkit.ts', import.meta.url).pathname;
  const there = ['7', '7', '8'].map((seed) =>
    execFileSync(process.execPath, [script, seed], { encoding: 'utf8' }).trim(),
  );
  deepEqual(there.slice(0, 2), [here, here]);
  notEqual(there[2], here);
});

test('SimWorld moves only when told and guards the real globals meanwhile', async () => {
  const world = new SimWorld(1);
  const host = world.addNode('a');
  let fired = false;
  const startMs = host.clock.monotonicMs();
  host.clock.after(50, () => {
    fired = true;
    throws(() => Math.random(), /forbids random/);
    throws(() => setTimeout(() => {}, 1), /forbids setTimeout/);
    throws(() => Date.now(), /forbids now/);
    throws(() => new Date(), /forbids new Date/);
    throws(() => performance.now(), /forbids now/);
    equal(new Date(0).getTime(), 0);
  });
  await world.run({ forMs: 49 });
  equal(fired, false);
  await world.run({ forMs: 1 });
  equal(fired, true);
  equal(Math.round(host.clock.monotonicMs() - startMs), 50);
  equal(typeof Math.random() + typeof Date.now() + typeof performance.now(), 'numbernumbernumber');
});

test('SimWorld never calls back into a dead process', async () => {
  const world = new SimWorld(2);
  const host = world.addNode('a');
  const calls: string[] = [];
  host.clock.after(10, () => calls.push('timer'));
  void host.disk.makeDirectory('/pool').then(() => calls.push('disk'));
  world.crashProcess('a');
  const reborn = world.restart('a');
  await world.finish(reborn.clock.sleep(100));
  host.clock.defer(() => calls.push('late'));
  await world.run({ forMs: 100 });
  deepEqual(calls, []);
});

test('SimWorld pauses a process and lets it find that time has passed', async () => {
  const world = new SimWorld(3);
  const host = world.addNode('a');
  let firedMs = 0;
  host.clock.after(10, () => {
    firedMs = world.nowMs;
  });
  world.pause('a', 500);
  await world.run({ forMs: 1000 });
  equal(firedMs, 500);
});

test('SimWorld drifts clocks apart and keeps timers to the local clock', async () => {
  const world = new SimWorld(4, { driftMax: 0.05 });
  const slow = world.addNode('slow');
  world.setDrift('slow', 0.95);
  const startMs = slow.clock.monotonicMs();
  await world.finish(slow.clock.sleep(950));
  equal(Math.round(world.nowMs), 1000);
  equal(slow.clock.monotonicMs() - startMs >= 950, true);
  const wallMs = slow.clock.wallMs();
  world.jumpWall('slow', -3_600_000);
  equal(slow.clock.wallMs(), wallMs - 3_600_000);
});

test('SimWorld runs registered programs and no others', async () => {
  const world = new SimWorld(5);
  const host = world.addNode('a');
  world.addProgram('mkfs', (argv, input) => ({
    exitCode: argv.length,
    stdout: input,
    stderr: '',
  }));
  world.addProgram('hang', () => undefined);
  const result = await world.finish(host.exec.run(['mkfs', '-q'], { input: 'x' }));
  deepEqual(result, { exitCode: 2, stdout: 'x', stderr: '' });
  await rejects(world.finish(host.exec.run(['rm'])), (error) => hasCode(error, 'not-found'));
  await rejects(world.finish(host.exec.run(['hang'], { timeoutMs: 10 })), (error) =>
    hasCode(error, 'timed-out'),
  );
});

test('SimWorld stands still while something outside is under way', async () => {
  const world = new SimWorld(12);
  const host = world.addNode('a');
  const order: string[] = [];
  let isBusy = true;
  world.awaitOutside(async () => {
    if (!isBusy) return;
    await realPause(20);
    isBusy = false;
    order.push('outside');
  });
  host.clock.after(1, () => order.push('inside'));
  await world.run({ forMs: 10 });
  deepEqual(order, ['outside', 'inside']);
});

test('SimWorld keeps the last log lines', () => {
  const world = new SimWorld(6, { logLinesMax: 2 });
  const log = world.addNode('a').log.child({ volume: 'v' });
  for (let i = 0; i < 10; i++) log.info('Line written', { i });
  deepEqual(
    world.logs.map((line) => line.fields),
    [
      { volume: 'v', i: 8 },
      { volume: 'v', i: 9 },
    ],
  );
});

test('SimNet lets a message of a dead writer arrive after the heal', async () => {
  // Some heals reset instead: both outcomes must be seen within these seeds.
  const outcomes = new Set<string>();
  for (let seed = 0; seed < 30; seed++) {
    const world = new SimWorld(seed);
    const a = world.addNode('a');
    const b = world.addNode('b');
    let got = '';
    let closed = '';
    const listening = b.net.listen({ kind: 'tcp', host: '0.0.0.0', port: 7 }, (conn) =>
      conn.start({
        onBytes: (bytes) => {
          got += decodeText(bytes);
        },
        onClose: (error) => {
          closed = error === null ? 'end' : error.code;
        },
      }),
    );
    await world.finish(listening);
    const conn = await world.finish(
      a.net.connect({ kind: 'tcp', host: 'b', port: 7 }, { timeoutMs: 1000 }),
    );
    conn.start({ onBytes: () => {}, onClose: () => {} });
    world.net.partitionOneWay('a', 'b');
    conn.write([encodeText('late')]);
    await world.run({ forMs: 100 });
    world.crashProcess('a');
    world.restart('a');
    await world.run({ forMs: 10_000 });
    equal(got, '');
    world.net.heal();
    await world.run({ forMs: 100 });
    outcomes.add(`${got}/${closed}`);
  }
  equal(
    [...outcomes].some((outcome) => outcome.startsWith('late/')),
    true,
  );
  equal(outcomes.has('/disconnected'), true);
});

test('SimNet leaves the peer of a powerless machine half-open until it returns', async () => {
  const world = new SimWorld(11);
  const a = world.addNode('a');
  const b = world.addNode('b');
  await world.finish(b.net.listen({ kind: 'tcp', host: 'b', port: 7 }, (conn) => drop(conn)));
  const conn = await world.finish(
    a.net.connect({ kind: 'tcp', host: 'b', port: 7 }, { timeoutMs: 1000 }),
  );
  let closed: string | undefined;
  conn.start({
    onBytes: () => {},
    onClose: (error) => {
      closed = error?.code ?? 'end';
    },
  });
  world.powerLoss('b');
  conn.write([encodeText('anyone')]);
  await world.run({ forMs: 60_000 });
  equal(closed, undefined);
  await rejects(
    world.finish(a.net.connect({ kind: 'tcp', host: 'b', port: 7 }, { timeoutMs: 500 })),
    (error) => hasCode(error, 'timed-out'),
  );
  world.restart('b');
  conn.write([encodeText('anyone')]);
  await world.run({ forMs: 1000 });
  equal(closed, 'disconnected');
  await rejects(
    world.finish(a.net.connect({ kind: 'tcp', host: 'b', port: 7 }, { timeoutMs: 500 })),
    (error) => hasCode(error, 'refused'),
  );
});

test('SimNet resets in the middle of a frame and clogs', async () => {
  const world = new SimWorld(12);
  const a = world.addNode('a');
  const b = world.addNode('b');
  let bytes = 0;
  let closes = 0;
  await world.finish(
    b.net.listen({ kind: 'tcp', host: 'b', port: 7 }, (conn) =>
      conn.start({
        onBytes: (part) => {
          bytes += part.byteLength;
        },
        onClose: () => {
          closes++;
        },
      }),
    ),
  );
  const conn = await world.finish(
    a.net.connect({ kind: 'tcp', host: 'b', port: 7 }, { timeoutMs: 1000 }),
  );
  conn.start({ onBytes: () => {}, onClose: () => {} });
  world.net.clog('a', 'b', 5000);
  conn.write([new Uint8Array(1000)]);
  await world.run({ forMs: 4999 });
  equal(bytes, 0);
  await world.run({ forMs: 100 });
  equal(bytes, 1000);
  world.net.changeLinks({ resetChance: 1 });
  conn.write([new Uint8Array(1000)]);
  await world.run({ forMs: 100 });
  equal(bytes < 2000 && closes === 1, true);
});

function drop(conn: Conn): void {
  conn.start({ onBytes: () => {}, onClose: () => {} });
}
