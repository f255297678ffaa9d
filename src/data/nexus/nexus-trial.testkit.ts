/**
 * A trial: clients that know what they may read, over one nexus after another, while replicas
 * crash, lose power, hang and are cut off. At the end everything is healed, and the members must be
 * equal and hold what the clients know.
 *
 * Each client has blocks of its own, so that what it may read is a set per sector (reliability.md
 * §4.1, §4.2): one value after a write was acknowledged, more after an unknown end; after a loss
 * everything written since the last flush, and what that flush covered.
 */
import { HoldfastError } from '#api/mod.ts';
import {
  type BlockDevice,
  BLOCK_BYTES,
  flushDevice,
  createRequest,
  SECTOR_BYTES,
  trimDevice,
  writeDevice,
} from '#data/block/mod.ts';
import type { Rng } from '#host/mod.ts';
import type { Nexus } from './nexus.ts';
import type { NexusClasses } from './nexus-classes.ts';
import { KIB, MemoryVoter, Rig, type RigOptions } from './nexus.testkit.ts';

const SECTORS = BLOCK_BYTES / SECTOR_BYTES;
const CLIENT_BLOCKS = 24;
const CLIENTS = 4;
const SIZE_BYTES = 512 * KIB;

export interface TrialOptions {
  readonly seed: number;
  readonly replicas?: readonly string[];
  readonly controlPlane?: boolean;
  readonly faults?: number;
  readonly classes?: Partial<NexusClasses>;
  /** Which faults may happen; all when not given. */
  readonly only?: readonly FaultName[];
  readonly rig?: RigOptions;
}

export type FaultName =
  | 'crash'
  | 'power'
  | 'power-all'
  | 'crash-all'
  | 'cut'
  | 'hang'
  | 'nexus'
  | 'takeover'
  | 'nexus-crash'
  | 'vote'
  | 'snapshot'
  | 'close'
  | 'rollback'
  | 'vote-lost';

export interface TrialReport {
  readonly operations: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly losses: number;
  readonly rebuilds: number;
  readonly voterChanges: number;
  readonly events: number;
}

/** What one sector may hold, and what it may hold after unflushed writes are lost. */
class Cell {
  possible = new Set([0]);
  survives = new Set([0]);
}

class Client {
  readonly cells: Cell[] = [];
  readonly firstBlock: number;
  readonly #trial: Trial;
  readonly #rng: Rng;

  constructor(trial: Trial, index: number, rng: Rng) {
    this.#trial = trial;
    this.#rng = rng;
    this.firstBlock = index * CLIENT_BLOCKS;
    for (let i = 0; i < CLIENT_BLOCKS * SECTORS; i++) this.cells.push(new Cell());
  }

  async run(): Promise<void> {
    while (!this.#trial.over) {
      const device = await this.#trial.session();
      let lost = false;
      while (!this.#trial.over && !lost) {
        try {
          await this.#step(device);
        } catch (error) {
          if (!HoldfastError.is(error)) throw error;
          this.#trial.noteError(error);
          if (error.code === 'lost-writes') lost = true;
          else if (['aborted', 'fenced'].includes(error.code)) break;
        }
        const idle = this.#rng.below(4) === 0 ? this.#rng.below(200) : this.#rng.below(5);
        await this.#trial.rig.sleep(idle);
      }
    }
  }

  #range(): { block: number; count: number } {
    const block = this.#rng.below(CLIENT_BLOCKS);
    const count = 1 + this.#rng.below(Math.min(4, CLIENT_BLOCKS - block));
    return { block, count };
  }

  async #step(device: BlockDevice): Promise<void> {
    this.#trial.operations++;
    const kind = this.#rng.below(10);
    const { block, count } = this.#range();
    const offset = (this.firstBlock + block) * BLOCK_BYTES;
    const cells = this.cells.slice(block * SECTORS, (block + count) * SECTORS);
    if (kind < 5) {
      const value = this.#trial.nextValue();
      await this.#change(cells, value, () =>
        writeDevice(device, offset, stamped(value, count), { fua: this.#rng.below(8) === 0 }),
      );
    } else if (kind === 5) {
      await this.#change(cells, 0, () => trimDevice(device, offset, count * BLOCK_BYTES));
    } else if (kind === 6) {
      const covered = this.cells.map((cell) => new Set(cell.possible));
      await flushDevice(device);
      for (const [index, cell] of this.cells.entries()) {
        cell.survives = covered[index] as Set<number>;
      }
    } else {
      this.check(cells, await readBytes(device, offset, count * BLOCK_BYTES), offset);
    }
  }

  async #change(cells: Cell[], value: number, change: () => Promise<void>): Promise<void> {
    for (const cell of cells) {
      cell.possible.add(value);
      cell.survives.add(value);
    }
    await change();
    for (const cell of cells) cell.possible = new Set([value]);
  }

  check(cells: readonly Cell[], data: Uint8Array, offset: number): void {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    for (const [index, cell] of cells.entries()) {
      const at = index * SECTOR_BYTES;
      const value = view.getUint32(at);
      for (let word = 4; word < SECTOR_BYTES; word += 4) {
        if (view.getUint32(at + word) !== value) throw new Error(`Torn sector at ${offset + at}`);
      }
      if (!cell.possible.has(value)) {
        const allowed = [...cell.possible].join(' ');
        throw new Error(`Read ${value} at ${offset + at}: allowed ${allowed}`);
      }
      // Once it was read it stays so (W14).
      cell.possible = new Set([value]);
    }
  }

  lost(): void {
    for (const cell of this.cells) {
      for (const value of cell.survives) cell.possible.add(value);
    }
  }
}

/**
 * The bytes that the request has at the end: perhaps in another array than the one it was given.
 */
function readBytes(device: BlockDevice, offset: number, lengthBytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const request = createRequest();
    request.verb = 'read';
    request.offsetBytes = offset;
    request.lengthBytes = lengthBytes;
    request.data = new Uint8Array(lengthBytes);
    request.done = (done, error) => (error === null ? resolve(done.data) : reject(error));
    device.submit(request);
  });
}

function stamped(value: number, count: number): Uint8Array {
  const data = new Uint8Array(count * BLOCK_BYTES);
  const view = new DataView(data.buffer);
  for (let at = 0; at < data.byteLength; at += 4) view.setUint32(at, value);
  return data;
}

class Trial {
  readonly rig: Rig;
  readonly clients: Client[] = [];
  readonly counts: Record<string, number> = {};
  over = false;
  operations = 0;
  losses = 0;
  rebuilds = 0;
  voterChanges = 0;
  readonly #options: TrialOptions;
  readonly #rng: Rng;
  #value = 0;
  #nexus: Nexus | null = null;
  #former: Nexus[] = [];
  #lossSeen = 0;
  #snapshots = 0;
  #rollbacks = 0;

  constructor(options: TrialOptions) {
    this.#options = options;
    const replicas = options.replicas ?? ['r-1', 'r-2', 'r-3'];
    this.rig = new Rig({
      replicas,
      seed: options.seed,
      sizeBytes: SIZE_BYTES,
      segmentBytes: 64 * KIB,
      controlPlane: options.controlPlane === true ? new MemoryVoter() : null,
      policy: {
        memberDeadlineMs: 500,
        readLeaseMs: 400,
        generationMs: 300,
        handOverVoteMs: 700,
        reconnectMs: 10,
        reconnectMaxMs: 200,
      },
      ...(options.classes === undefined ? {} : { classes: options.classes }),
      ...options.rig,
    });
    this.#rng = this.rig.host.rng;
    for (let i = 0; i < CLIENTS; i++) this.clients.push(new Client(this, i, this.#rng));
  }

  nextValue(): number {
    return ++this.#value;
  }

  noteError(error: HoldfastError): void {
    this.#count(`client ${error.code}`);
  }

  #count(name: string): void {
    this.counts[name] = (this.counts[name] ?? 0) + 1;
  }

  /** A client session of the present nexus, once it serves. */
  async session(): Promise<BlockDevice> {
    for (;;) {
      const nexus = this.#nexus;
      if (nexus !== null && nexus.status().phase === 'serving') return nexus.session();
      if (this.over) throw new HoldfastError('aborted', 'Trial is over');
      await this.rig.sleep(5);
    }
  }

  async run(): Promise<TrialReport> {
    await this.rig.run(async () => {
      await this.#open();
      const clients = this.clients.map((client) =>
        client.run().catch((error: unknown) => {
          if (!(HoldfastError.is(error) && error.code === 'aborted')) throw error;
        }),
      );
      const work = Promise.all(clients);
      // A violation ends the trial at once.
      await Promise.race([work, this.#trouble()]);
      this.over = true;
      // Who was taken over and opens again may win: that is for an attacher to end.
      for (const former of this.#former) former.abandon();
      this.#healAll();
      if (this.#phase() !== 'serving') await this.#reopenIfDead();
      await work;
      await this.#audit();
    });
    return {
      operations: this.operations,
      faults: this.counts,
      losses: this.losses,
      rebuilds: this.rebuilds,
      voterChanges: this.voterChanges,
      events: this.rig.world.events,
    };
  }

  #phase(): string {
    return this.#nexus?.status().phase ?? 'none';
  }

  async #reopenIfDead(): Promise<void> {
    const nexus = this.#nexus;
    if (nexus === null || ['failed', 'closed'].includes(nexus.status().phase)) await this.#open();
  }

  async #open(): Promise<void> {
    const nexus = this.rig.nexus();
    this.#nexus = nexus;
    nexus.onLoss(() => this.#noteLoss(nexus));
    void nexus.start().then(
      () => this.#noteLoss(nexus),
      () => undefined,
    );
    await this.rig.sleep(1);
  }

  #noteLoss(nexus: Nexus): void {
    if (nexus.lossEpoch <= this.#lossSeen) return;
    this.#lossSeen = nexus.lossEpoch;
    this.losses++;
    for (const client of this.clients) client.lost();
  }

  async #trouble(): Promise<void> {
    for (let i = 0; i < (this.#options.faults ?? 12); i++) {
      await this.rig.sleep(100 + this.#rng.below(900));
      await this.#fault();
      // Mostly whole again before the next, but not always.
      if (this.#rng.below(3) !== 0) {
        await this.rig.sleep(this.#rng.below(2_500));
        this.#healAll();
        await this.#reopenIfDead();
      }
    }
  }

  async #fault(): Promise<void> {
    const all: readonly FaultName[] = [
      'crash',
      'crash',
      'power',
      'power-all',
      'crash-all',
      'cut',
      'hang',
      'nexus',
      'takeover',
      'nexus-crash',
      'vote',
      'snapshot',
      'close',
      ...(this.#options.controlPlane === true ? (['rollback', 'vote-lost'] as const) : []),
    ];
    // Not both: the memory store tears a block whose old contents lie in a snapshot into zeroes.
    const without =
      this.#options.seed % 2 === 0 ? ['snapshot'] : ['power', 'power-all', 'nexus-crash'];
    const names = this.#options.only ?? all.filter((name) => !without.includes(name));
    const name = names[this.#rng.below(names.length)] as FaultName;
    this.#count(name);
    const { cluster } = this.rig;
    const victim = this.rig.names[this.#rng.below(this.rig.names.length)] as string;
    switch (name) {
      case 'crash':
        return this.#down(victim, false);
      case 'power':
        return this.#down(victim, true);
      case 'power-all':
        for (const replica of this.rig.names) this.#down(replica, true);
        return;
      case 'crash-all':
        for (const replica of this.rig.names) this.#down(replica, false);
        return;
      case 'cut':
        return cluster.cut(victim);
      case 'hang':
        if (cluster.replica(victim) !== null) cluster.store(victim).hold();
        return;
      case 'nexus':
        this.#drop();
        return this.#open();
      case 'takeover':
        // The old one lives on and must notice.
        if (this.#nexus !== null) this.#former.push(this.#nexus);
        return this.#open();
      case 'nexus-crash':
        this.#down(victim, this.#rng.below(2) === 0);
        this.#drop();
        return this.#open();
      case 'vote':
        return this.#vote();
      case 'snapshot':
        return this.#snapshot();
      case 'rollback':
        return this.#rollback(victim);
      case 'vote-lost':
        return this.#loseVote();
      case 'close':
        await this.#nexus?.close();
        return this.#open();
    }
  }

  /** Yesterday's copy comes back, while everything else runs; its vote is gone from then on. */
  async #rollback(replica: string): Promise<void> {
    // Each takes a vote away for ever: with two replicas the second would leave nobody who may
    // decide.
    if (this.#rollbacks >= this.rig.names.length - 1) return;
    this.#rollbacks++;
    await this.#becomeWhole();
    const disk = this.rig.cluster.disk(replica);
    const image = disk.image();
    await this.rig.sleep(this.#rng.below(600));
    this.#down(replica, false);
    disk.restore(image);
    this.rig.cluster.start(replica);
    await this.rig.sleep(1);
    await this.#becomeWhole();
    // The memory store says 'rolled-back' for as long as its process lives, also when it was
    // emptied since.
    this.#down(replica, false);
    this.rig.cluster.start(replica);
  }

  async #becomeWhole(): Promise<void> {
    const whole = (): boolean =>
      this.#nexus?.status().members.every((member) => member.phase === 'in-sync') === true &&
      this.#phase() === 'serving';
    this.#healAll();
    await this.#reopenIfDead();
    await this.rig.until('whole again', whole, 60_000);
  }

  /** The control plane comes back empty; as with a replica, two of three could not decide. */
  async #loseVote(): Promise<void> {
    const { controlPlane } = this.rig;
    if (!(controlPlane instanceof MemoryVoter)) return;
    if (this.#rollbacks >= this.rig.names.length - 1) return;
    this.#rollbacks++;
    await this.#becomeWhole();
    Object.assign(controlPlane, { promised: 0, promisedTo: '', record: null });
  }

  #tally(nexus: Nexus): void {
    const { counters } = nexus.status();
    this.rebuilds += counters['rebuilds'] ?? 0;
    this.voterChanges += counters['voterChanges'] ?? 0;
  }

  #drop(): void {
    if (this.#nexus !== null) this.#tally(this.#nexus);
    this.#nexus?.abandon();
    this.#nexus = null;
  }

  #vote(): void {
    const { controlPlane } = this.rig;
    if (controlPlane instanceof MemoryVoter) controlPlane.down = !controlPlane.down;
  }

  async #snapshot(): Promise<void> {
    const nexus = this.#nexus;
    if (nexus === null || nexus.status().phase !== 'serving') return;
    const present = nexus.listSnapshots();
    const work =
      present.length >= 3
        ? nexus.deleteSnapshot((present[this.#rng.below(3)] as (typeof present)[0]).id)
        : nexus.createSnapshot(`s-${++this.#snapshots}` as never);
    await Promise.race([work.catch(() => undefined), this.rig.sleep(this.#rng.below(100))]);
  }

  #down(replica: string, power: boolean): void {
    const { cluster } = this.rig;
    if (cluster.replica(replica) === null) return;
    if (power) cluster.powerLoss(replica, this.#rng);
    else cluster.crash(replica);
  }

  #healAll(): void {
    const { cluster, controlPlane } = this.rig;
    for (const replica of this.rig.names) {
      cluster.heal(replica);
      if (cluster.replica(replica) === null) cluster.start(replica);
      else if (cluster.store(replica).heldCount() >= 0) cluster.store(replica).release();
    }
    if (controlPlane instanceof MemoryVoter) controlPlane.down = false;
  }

  async #audit(): Promise<void> {
    const { rig } = this;
    await this.#reopenIfDead();
    const nexus = this.#nexus as Nexus;
    await rig.until(
      'all in sync',
      () => {
        const { members, phase } = nexus.status();
        return phase === 'serving' && members.every((member) => member.phase === 'in-sync');
      },
      400_000,
    );
    this.#noteLoss(nexus);
    const device = nexus.session();
    for (const client of this.clients) {
      const offset = client.firstBlock * BLOCK_BYTES;
      const data = await readBytes(device, offset, CLIENT_BLOCKS * BLOCK_BYTES);
      client.check(client.cells, data, offset);
    }
    const snapshots = nexus.listSnapshots().map((snapshot) => snapshot.id);
    this.#tally(nexus);
    await nexus.close();
    for (const former of this.#former) former.abandon();
    // Also what no client reads.
    for (const layer of [null, ...snapshots]) {
      const [first, ...others] = rig.names.map((name) =>
        rig.cluster.disk(name).contents(0, SIZE_BYTES, layer),
      );
      for (const [index, other] of others.entries()) {
        if (Buffer.compare(first as Uint8Array, other) === 0) continue;
        let at = 0;
        while (first?.[at] === other[at]) at++;
        const where = `${layer ?? 'head'} at ${at}`;
        throw new Error(`Replicas differ: ${rig.names[0]} and ${rig.names[index + 1]}, ${where}`);
      }
    }
  }
}

export async function runTrial(options: TrialOptions): Promise<TrialReport> {
  const trial = new Trial(options);
  try {
    return await trial.run();
  } catch (error) {
    throw new Error(`Seed ${options.seed}: ${(error as Error).message}`, { cause: error });
  }
}
