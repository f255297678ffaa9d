/**
 * A small busy world for the test that one seed gives one trace: three nodes that write files, talk
 * to each other, crash and lose power. Run by itself it prints its hash.
 */
import { SimWorld } from './mod.ts';
import type { Host } from '../mod.ts';

export async function echoWorld(seed: number): Promise<string> {
  const world = new SimWorld(seed, { driftMax: 0.05 });
  const nodes = ['a', 'b', 'c'];
  for (const node of nodes) void live(world.addNode(node), nodes);
  world
    .disk('a')
    .addFault({ verbs: ['flush'], chance: 0.2, effect: { kind: 'fail', code: 'io-error' } });
  world.disk('b').addFault({ verbs: ['write'], chance: 0.1, effect: { kind: 'misdirect' } });
  world.net.changeLinks({ resetChance: 0.02, silenceChance: 0.01 });
  const plan = world.rng('plan');
  for (let round = 0; round < 20; round++) {
    await world.run({ forMs: 50 });
    const node = nodes[plan.below(3)]!;
    if (plan.chance(0.5)) world.crashProcess(node);
    else world.powerLoss(node);
    world.net.partition('a', 'b');
    await world.run({ forMs: 10 });
    world.net.heal();
    void live(world.restart(node), nodes);
  }
  return `${world.traceHash()} after ${world.events} events`;
}

async function live(host: Host, nodes: readonly string[]): Promise<void> {
  try {
    await host.disk.makeDirectory('/pool');
    await host.disk.syncDirectory('/');
    if (!(await host.disk.list('/pool')).includes('data')) {
      await host.disk.open('/pool/data', { write: true, create: 'new' });
    }
    const file = await host.disk.open('/pool/data', { write: true });
    await host.net.listen({ kind: 'tcp', host: '0.0.0.0', port: 1 }, (conn) => {
      conn.start({ onBytes: (bytes) => void conn.write([bytes]), onClose: () => {} });
    });
    for (;;) {
      await file.write(host.rng.below(16) * 512, host.rng.bytes(2048)).catch(() => {});
      await file.flush().catch(() => {});
      await talk(host, nodes[host.rng.below(3)]!).catch(() => {});
      await host.clock.sleep(host.rng.below(5));
    }
  } catch {
    // A fault ended this life early: also part of the trace.
  }
}

async function talk(host: Host, node: string): Promise<void> {
  const conn = await host.net.connect({ kind: 'tcp', host: node, port: 1 }, { timeoutMs: 20 });
  conn.start({ onBytes: () => conn.end(), onClose: () => {} });
  conn.write([host.rng.bytes(3000)]);
}

const seedText = process.argv[2];
if (process.argv[1]?.endsWith('echo-world.testkit.ts') === true && seedText !== undefined) {
  process.stdout.write(`${await echoWorld(Number(seedText))}\n`);
}
