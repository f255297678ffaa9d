/**
 * How fast is a RemoteMember over a unix socket to another process?
 *
 *     node src/data/replica/peer-bench.testkit.ts [seconds] [flat|memory] [unix|tcp]
 *
 * The far side serves a store in memory: `flat` is one piece of memory without checksums (the cost
 * of the protocol alone), `memory` is the one of the tests, with a checksum for each block.
 */
import { fork } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { HoldfastError } from '#api/mod.ts';
import type { ReplicaRequest, ReplicaVerb } from '#data/block/mod.ts';
import type { Member } from '#data/member/mod.ts';
import type { Address } from '#host/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { CLUSTER, ReplicaSite, SIZE_BYTES, VOLUME } from './member-world.testkit.ts';
import { PeerConnector } from './peer-connector.ts';
import { PeerServer } from './peer-server.ts';

const KIB = 1024;
const [, self = '', role = '5', kind = 'flat', net = 'unix'] = process.argv;
const host = createNodeHost({ logLevel: 'warn' });
const SOCKET = `/tmp/holdfast-bench-${role === 'serve' ? process.ppid : process.pid}.sock`;

async function serve(): Promise<void> {
  const site = new ReplicaSite();
  if (kind === 'flat') {
    const memory = new Uint8Array(SIZE_BYTES);
    site.store.submit = (request) => {
      const { offsetBytes, data } = request;
      if (request.verb === 'write') memory.set(data, offsetBytes);
      else data.set(memory.subarray(offsetBytes, offsetBytes + data.byteLength));
      request.done(null);
    };
  }
  const server = new PeerServer({ ...host, lookup: () => site.replica });
  const address: Address =
    net === 'unix' ? { kind: 'unix', path: SOCKET } : { kind: 'tcp', host: '127.0.0.1', port: 0 };
  process.send?.(await server.listen(address));
  process.on('message', () => process.send?.(process.cpuUsage()));
}

interface Load {
  readonly verb: ReplicaVerb;
  readonly bytes: number;
  readonly depth: number;
}

function run(member: Member, load: Load, seconds: number): Promise<number> {
  const { verb, bytes, depth } = load;
  const slots = SIZE_BYTES / bytes;
  const endMs = performance.now() + seconds * 1000;
  let completed = 0;
  let busy = depth;
  let position = 1;
  return new Promise((resolve, reject) => {
    const next = (): number => {
      position = (position * 1_103_515_245 + 12_345) & 0x7fffffff;
      return ((position >>> 8) % slots) * bytes;
    };
    for (let i = 0; i < depth; i += 1) {
      const request: ReplicaRequest = {
        verb,
        layer: null,
        offsetBytes: next(),
        lengthBytes: bytes,
        data: new Uint8Array(bytes).fill(i + 1),
        stampEpoch: 1,
        stampN: 1,
        done(error: HoldfastError | null) {
          if (error !== null) return reject(error);
          completed += 1;
          if ((completed & 63) === 0 && performance.now() > endMs) {
            busy = -1;
            return resolve(completed);
          }
          if (busy < 0) return;
          request.offsetBytes = next();
          member.submit(request);
        },
      };
      member.submit(request);
    }
  });
}

async function main(): Promise<void> {
  const seconds = Number(role);
  const child = fork(self, ['serve', kind, net]);
  const ask = <T>(message: string): Promise<T> => {
    if (message !== '') child.send(message);
    return new Promise((resolve) => child.once('message', (answer) => resolve(answer as T)));
  };
  const address = await ask<Address>('');
  const connector = new PeerConnector({
    ...host,
    cluster: CLUSTER,
    volume: VOLUME,
    resolve: () => address,
  });
  const loads: Load[] = [
    { verb: 'write', bytes: 4 * KIB, depth: 32 },
    { verb: 'read', bytes: 4 * KIB, depth: 32 },
    { verb: 'write', bytes: 4 * KIB, depth: 1 },
    { verb: 'read', bytes: 4 * KIB, depth: 1 },
    { verb: 'write', bytes: 128 * KIB, depth: 8 },
    { verb: 'read', bytes: 128 * KIB, depth: 8 },
  ];
  for (const load of loads) {
    const rates: number[] = [];
    const cpu: string[] = [];
    for (let round = 0; round < 3; round += 1) {
      const member = await connector.connect('replica-1' as never, { timeoutMs: 1000 });
      await member.promise(1, 'bench');
      const before = await ask<NodeJS.CpuUsage>('cpu');
      const mine = process.cpuUsage();
      const begin = performance.now();
      const completed = await run(member, load, seconds);
      const rate = completed / ((performance.now() - begin) / 1000);
      const after = await ask<NodeJS.CpuUsage>('cpu');
      const used = process.cpuUsage(mine);
      const near = (used.user + used.system) / completed;
      const far = (after.user + after.system - before.user - before.system) / completed;
      rates.push(rate);
      cpu.push(`${near.toFixed(1)}+${far.toFixed(1)}`);
      member.close();
    }
    rates.sort((a, b) => a - b);
    const median = rates[1] ?? 0;
    const mibs = (median * load.bytes) / KIB / KIB;
    console.log(
      `${kind} ${net} ${load.verb} ${load.bytes / KIB} KiB depth ${load.depth}: ` +
        `${Math.round(median)}/s ${Math.round(mibs)} MiB/s; µs of processor near+far ${cpu.join(' ')}`,
    );
  }
  child.kill();
  rmSync(SOCKET, { force: true });
  process.exit(0);
}

/** Where this program lies: it runs only as one. */
export const PEER_BENCH = fileURLToPath(import.meta.url);

if (self === PEER_BENCH) await (role === 'serve' ? serve() : main());
