/**
 * A lane: the thread that may block. It takes requests from the shared ring, makes the system call
 * and puts the result back. It knows nothing but descriptors and addresses.
 */
import { flushCompileCache } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import { EOPNOTSUPP } from './errno-error.ts';
import { CONTROL, FIELD, LANE_VERBS, SLOT_FIELDS, SLOTS } from './lane-ring.ts';
import type { LaneStart, LaneVerb } from './lane-ring.ts';
import {
  addressOf,
  fdatasync,
  pread,
  punchHole,
  pwrite,
  seekData,
  seekHole,
  zeroRange,
} from './syscalls.ts';

/** While more work waits, the submitter is told only after so many: one wake for many results. */
const QUIET_COMPLETIONS = 16;
const ZEROES = new Uint8Array(64 * 1024);

const { ring, lane, idleMs } = workerData as LaneStart;
const { control, submissions, slots } = ring;
const completions = ring.completions[lane]!;
const tailIndex = CONTROL.lanes + 2 * lane;
// The next lane needs no type stripper, which would take half of its memory.
flushCompileCache();

let untold = 0;
for (;;) {
  const head = Atomics.load(control, CONTROL.submitHead);
  const tail = Atomics.load(control, CONTROL.submitTail);
  if (head === tail) {
    tell();
    Atomics.add(control, CONTROL.sleepers, 1);
    const woken = Atomics.wait(control, CONTROL.submitTail, tail, idleMs);
    Atomics.sub(control, CONTROL.sleepers, 1);
    // What comes after this look is found by a new lane, when this one has ended.
    if (woken === 'timed-out' && Atomics.load(control, CONTROL.submitTail) === tail) break;
    continue;
  }
  const slot = submissions[head & (SLOTS - 1)]!;
  // Another lane was faster.
  if (Atomics.compareExchange(control, CONTROL.submitHead, head, (head + 1) | 0) !== head) continue;
  const at = slot * SLOT_FIELDS;
  const verb = LANE_VERBS[slots[at + FIELD.verb]!]!;
  // What takes long must not hold back what is already done.
  if (verb === 'flush') tell();
  slots[at + FIELD.result] = run(
    verb,
    slots[at + FIELD.fd]!,
    slots[at + FIELD.address]!,
    slots[at + FIELD.length]!,
    slots[at + FIELD.offset]!,
  );
  const done = control[tailIndex]!;
  completions[done & (SLOTS - 1)] = slot;
  Atomics.store(control, tailIndex, (done + 1) | 0);
  if (++untold >= QUIET_COMPLETIONS || verb !== 'write') tell();
}

function tell(): void {
  if (untold === 0) return;
  untold = 0;
  if (Atomics.exchange(control, CONTROL.armed, 0) === 1) parentPort!.postMessage(0);
}

function run(verb: LaneVerb, fd: number, address: number, length: number, offset: number): number {
  switch (verb) {
    case 'read':
      return whole(pread, fd, address, length, offset);
    case 'write':
      return whole(pwrite, fd, address, length, offset);
    case 'flush':
      return fdatasync(fd);
    case 'trim':
      return punchHole(fd, offset, length);
    case 'zero':
      return zero(fd, length, offset);
    case 'seekData':
      return seekData(fd, offset);
    case 'seekHole':
      return seekHole(fd, offset);
  }
}

/** Until all is done, the file ends or an error comes. */
function whole(
  transfer: typeof pread,
  fd: number,
  address: number,
  length: number,
  offset: number,
): number {
  let done = 0;
  while (done < length) {
    const result = transfer(fd, address + done, length - done, offset + done);
    if (result < 0) return result;
    if (result === 0) break;
    done += result;
  }
  return done;
}

/** Not every filesystem knows ZERO_RANGE (tmpfs, btrfs in parts), nor every one holes. */
function zero(fd: number, length: number, offset: number): number {
  const ranged = zeroRange(fd, offset, length);
  if (ranged !== -EOPNOTSUPP) return ranged;
  const punched = punchHole(fd, offset, length);
  if (punched !== -EOPNOTSUPP) return punched;
  for (let done = 0; done < length; done += ZEROES.byteLength) {
    const count = Math.min(ZEROES.byteLength, length - done);
    const result = whole(pwrite, fd, addressOf(ZEROES), count, offset + done);
    if (result < 0) return result;
  }
  return 0;
}
