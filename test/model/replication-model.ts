/** The protocol of replication as a Model: all its actions, its initial state, its invariants. */
import type { Bounds } from './bounds.ts';
import type { Model } from './checker.ts';
import * as closing from './closing.ts';
import { type Action, Context } from './context.ts';
import * as faults from './faults.ts';
import { checkState } from './invariants.ts';
import * as joining from './joining.ts';
import * as membership from './membership.ts';
import * as opening from './opening.ts';
import { type Rules, SOUND } from './rules.ts';
import * as state from './state.ts';
import * as writing from './writing.ts';

const ACTIONS: readonly Action[] = [
  writing.write,
  writing.take,
  writing.takeStray,
  writing.ackWrite,
  writing.read,
  writing.flush,
  writing.ackFlush,
  writing.tellComplete,
  closing.clearIntent,
  closing.close,
  closing.beginBarrier,
  closing.sendBarrier,
  closing.endBarrier,
  closing.moveVote,
  membership.commit,
  membership.remove,
  joining.join,
  joining.copy,
  joining.count,
  joining.add,
  opening.promise,
  opening.decide,
  opening.reconcile,
  opening.level,
  opening.syncLevelled,
  opening.serve,
  faults.crash,
  faults.losePower,
  faults.keepCopy,
  faults.rollBack,
  faults.keepControlPlane,
  faults.restoreControlPlane,
];

export class ReplicationModel implements Model {
  readonly bytes: number;
  readonly hashed = state.hash;
  readonly #context: Context;

  constructor(bounds: Bounds, rules: Rules = SOUND) {
    this.#context = new Context(bounds, rules);
    this.bytes = state.stateBytes(bounds.nexuses);
  }

  get codes(): Int32Array {
    return this.#context.codes;
  }

  /** The first nexus serves a volume of zeros; every replica is in sync and every voter agrees. */
  initial(): Uint8Array {
    const { bounds, history } = this.#context;
    const s = new Uint8Array(this.bytes);
    history.prune();
    const record = state.recordOf(1, 1);
    const nexus = state.nexusAt(0);
    if (bounds.controlPlane) {
      state.set(s, state.K_PROMISED, 1);
      state.set(s, state.K_RECORD, record);
      state.set(s, nexus + state.K_ACKED, 2);
      state.set(s, nexus + state.K_VOTER, 2);
    }
    state.set(s, state.SESSION, 1);
    state.set(s, state.CRASHES_LEFT, bounds.crashes);
    state.set(s, state.FLUSHES_LEFT, bounds.flushes);
    state.set(s, state.SNAPSHOTS_LEFT, bounds.snapshots);
    state.set(s, state.ROLLBACKS_LEFT, bounds.rollbacks);
    state.set(s, state.STARTED, 1);
    state.set(s, state.CHOSEN, record);
    state.set(s, state.SERVED, 1);
    state.set16(s, state.HISTORY, history.initial);
    state.set16(s, state.HISTORY + 2, history.initial);
    state.set(s, nexus + state.PHASE, state.SERVING);
    state.set(s, nexus + state.FOUND, record);
    state.set(s, nexus + state.SEQ, 1);
    state.set(s, nexus + state.COMMITTED, 1);
    for (let r = 0; r < bounds.replicas; r++) {
      const at = state.replicaAt(r);
      state.set(s, at + state.PROMISED, 1);
      state.set(s, at + state.RECORD, record);
      state.set16(s, at + state.MAY, 1);
      state.set16(s, at + state.MAY + 2, 1);
      state.set(s, at + state.POWER_LEFT, bounds.powerLosses);
      const member = state.memberAt(0, r);
      state.set(s, member + state.LINK, state.LINK_ANSWERED | state.LINK_LIVE);
      state.set(s, member + state.MEMBER, state.IN_SYNC);
      state.set(s, member + state.IN_RECORD, 2);
      state.set(s, member + state.ACKED, 2);
      state.set(s, member + state.VOTER, 2);
    }
    return s;
  }

  enabled(s: Uint8Array): number {
    const c = this.#context;
    c.count = 0;
    for (let kind = 0; kind < ACTIONS.length; kind++) {
      c.kind = kind;
      (ACTIONS[kind] as Action).offer(c, s);
    }
    return c.count;
  }

  apply(s: Uint8Array, code: number): void {
    const action = ACTIONS[code >>> 12] as Action;
    action.apply(this.#context, s, (code >>> 8) & 15, (code >>> 4) & 15, code & 15);
  }

  check(s: Uint8Array): void {
    checkState(this.#context, s);
  }

  violation(): string | null {
    const { violation } = this.#context;
    return violation === null ? null : `${violation.invariant}: ${violation.detail}`;
  }

  clear(): void {
    this.#context.violation = null;
  }

  hash(words: Uint32Array): void {
    const { replicas, nexuses } = this.#context.bounds;
    state.hashState(words, replicas, nexuses);
  }

  weight(code: number): number {
    return (ACTIONS[code >>> 12] as Action).weight?.(code & 15) ?? 1;
  }

  describe(code: number): string {
    const action = ACTIONS[code >>> 12] as Action;
    const [a, b, d] = [(code >>> 8) & 15, (code >>> 4) & 15, code & 15];
    return `${action.name} ${a} ${b} ${d}: ${action.describe(a, b, d)}`;
  }

  /** A step is "name a b d"; numbers left out at the end fit any. */
  matches(code: number, step: string): boolean {
    const [name, ...numbers] = step.split(' ');
    const parameters = [(code >>> 8) & 15, (code >>> 4) & 15, code & 15];
    if ((ACTIONS[code >>> 12] as Action).name !== name) return false;
    return numbers.every((each, i) => Number(each) === parameters[i]);
  }
}
