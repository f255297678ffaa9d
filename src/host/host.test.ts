import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { ok, rejects } from 'node:assert/strict';
import { assert } from '#lib/mod.ts';
import { hostChecks } from './host.testkit.ts';
import type { HostCheck } from './host.testkit.ts';
import type { Clock, Conn, Host, Net } from './mod.ts';
import { createNodeHost } from './node/mod.ts';
import type { DiskMode } from './node/mod.ts';
import { SimWorld } from './sim/mod.ts';

for (const diskMode of ['lanes', 'inline'] as const) {
  suite(`host/node with disk mode ${diskMode}`, () => {
    for (const check of hostChecks(false)) test(check.name, () => runOnNode(check, diskMode));
  });
}

suite('host/sim', () => {
  for (const check of hostChecks(true)) {
    test(check.name, async () => {
      for (let seed = 1; seed <= 5; seed++) await runOnSim(check, seed);
    });
  }
});

suite('The conformance checks find', () => {
  test('a disk that acknowledges a flush and makes nothing durable', async () => {
    // One power loss in four keeps everything: one of these seeds must show it.
    const check = checkNamed('Disk keeps over a power loss');
    let found = 0;
    for (let seed = 1; seed <= 8; seed++) {
      await runOnSim(check, seed, (world) => {
        world.disk('a').addFault({ verbs: ['flush'], effect: { kind: 'lose' } });
      }).catch(() => found++);
    }
    ok(found >= 4, `found with ${found} of 8 seeds`);
  });

  test('a disk that flips a bit', async () => {
    const flipped = runOnSim(checkNamed('Disk completes every hot request'), 1, (world) => {
      world
        .disk('a')
        .addFault({ verbs: ['read'], nth: 7, effect: { kind: 'flip', stored: false } });
    });
    await rejects(flipped, /wrong data/);
  });

  test('a connection that mixes the order of chunks', async () => {
    const check = checkNamed('Net delivers every byte in order');
    await rejects(runOnSim(check, 1, undefined, (host) => ({ ...host, net: mixing(host.net) })));
  });

  test('a connection that keeps the chunks instead of copying them', async () => {
    const check = checkNamed('Net delivers every byte in order');
    await rejects(runOnSim(check, 1, undefined, (host) => ({ ...host, net: keeping(host) })));
  });

  test('a clock that fires early', async () => {
    const check = checkNamed('Clock waits at least');
    await rejects(runOnSim(check, 1, undefined, (host) => ({ ...host, clock: hasty(host.clock) })));
  });
});

function checkNamed(start: string): HostCheck {
  const found = hostChecks(true).find(({ name }) => name.startsWith(start));
  assert(found !== undefined, `there is a check named ${start}`);
  return found;
}

async function runOnNode(check: HostCheck, diskMode: DiskMode): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-host-'));
  try {
    await check.run({
      host: createNodeHost({ diskMode, logLevel: 'silent' }),
      directory,
      addresses: [
        { kind: 'unix', path: `${directory}/socket` },
        { kind: 'tcp', host: '127.0.0.1', port: 0 },
      ],
    });
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function runOnSim(
  check: HostCheck,
  seed: number,
  plan?: (world: SimWorld) => void,
  breakHost: (host: Host) => Host = (host) => host,
): Promise<void> {
  const world = new SimWorld(seed, { driftMax: 0.05 });
  const host = world.addNode('a');
  await world.finish(host.disk.makeDirectory('/pool'));
  plan?.(world);
  const losePower = (): Host => {
    world.powerLoss('a');
    return world.restart('a');
  };
  const running = check.run({
    host: breakHost(host),
    directory: '/pool',
    addresses: [
      { kind: 'unix', path: '/run/socket' },
      { kind: 'tcp', host: 'a', port: 0 },
    ],
    losePower,
  });
  await world.finish(running, 60_000);
}

function mixing(net: Net): Net {
  return rewriting(net, (conn) => ({ write: (chunks) => conn.write(chunks.toReversed()) }));
}

function keeping(host: Host): Net {
  return rewriting(host.net, (conn) => ({
    write: (chunks) => {
      host.clock.after(0, () => conn.write(chunks));
      return true;
    },
  }));
}

function rewriting(net: Net, change: (conn: Conn) => Partial<Conn>): Net {
  return {
    listen: (address, onConn) => net.listen(address, onConn),
    connect: async (address, options) => {
      const conn = await net.connect(address, options);
      const broken: Conn = {
        peer: conn.peer,
        start: (handler) => conn.start(handler),
        write: (chunks) => conn.write(chunks),
        queuedBytes: () => conn.queuedBytes(),
        pause: () => conn.pause(),
        resume: () => conn.resume(),
        end: () => conn.end(),
        close: () => conn.close(),
        ...change(conn),
      };
      return broken;
    },
  };
}

function hasty(clock: Clock): Clock {
  return {
    monotonicMs: () => clock.monotonicMs(),
    wallMs: () => clock.wallMs(),
    sleep: (ms, signal) => clock.sleep(ms / 2, signal),
    after: (ms, fn) => clock.after(ms / 2, fn),
    defer: (fn) => clock.defer(fn),
  };
}
