/**
 * Opening: from nothing to the record that this nexus will commit (rules 1 to 5).
 *
 *     connect ─▶ state ─┐
 *     connect ─▶ state ─┼─▶ epoch above all seen ─▶ promise ─▶ majority ─▶ set ─▶ lease wait ─▶
 *     record
 *     connect (absent)  │                              ▲
 *                       └── higher epoch seen: again ──┘
 *
 * It goes on trying for as long as it takes and says for whom it waits. What it returns is the
 * record to commit and the sessions that promised; sending it is Membership's part, so that a
 * member which is lost from here on is removed like any other.
 */
import {
  comparePositions,
  CONTROL_PLANE,
  HoldfastError,
  type MembershipRecord,
  type ReplicaId,
  type ReplicaState,
  type VoterId,
  type VoterState,
} from '#api/mod.ts';
import type { Clock, Log, Rng } from '#host/mod.ts';
import type { Member } from '#data/member/mod.ts';
import { backOffMs, Deferred } from '#lib/mod.ts';
import { type Candidate, LossLine } from './candidate.ts';
import {
  chooseSet,
  type ControlPlaneAnswer,
  type ReplicaAnswer,
  type SetChoice,
} from './choose-set.ts';
import { asHoldfastError, withDeadline } from './deadline.ts';
import { isMajority, votersOf } from './majority.ts';
import type { NexusOptions } from './mod.ts';
import { checkIdentity, noteForgotten, type OpenedSession } from './opened-session.ts';
import { type OpeningResult, planOpening } from './opening-plan.ts';

export interface OpeningContext {
  /** Epoch of an earlier opening by this very nexus; 0 for the first. */
  readonly formerEpoch: number;
  /** Go above a nexus that holds a minority, as a first opening does. */
  readonly overtake: boolean;
}

export interface OpeningHooks {
  readonly onUnreachable: (replica: ReplicaId, error: HoldfastError) => void;
  /** Why it is not open yet. */
  readonly onWaiting: (reason: string, replicas: readonly ReplicaId[]) => void;
}

/** Longest pause before an epoch above another nexus's is tried. */
const RAISE_MS = 100;

export class Opening {
  readonly #options: NexusOptions;
  readonly #hooks: OpeningHooks;
  readonly #candidates = new Map<ReplicaId, Candidate>();
  readonly #clock: Clock;
  readonly #rng: Rng;
  readonly #log: Log;
  #epoch = 0;
  /** Highest epoch seen anywhere. */
  #seen: number;
  /** 0 for the first opening: then we go above whoever came before. */
  readonly #formerEpoch: number;
  /** Opening again: voters that promised a higher epoch to another nexus since. */
  readonly #overtakers = new Set<VoterId>();
  /** Until then that other nexus has time to become the owner. */
  readonly #patientUntilMs: number;
  #raising = false;
  #controlPlane: VoterState | null = null;
  #controlPlaneAsked = false;
  #majorityMs: number | null = null;
  #over = false;
  #failure: HoldfastError | null = null;
  #changed = new Deferred<void>();

  constructor(options: NexusOptions, context: OpeningContext, hooks: OpeningHooks) {
    this.#options = options;
    this.#hooks = hooks;
    this.#patientUntilMs = options.clock.monotonicMs() + 2 * options.policy.readLeaseMs;
    this.#clock = options.clock;
    this.#rng = options.rng;
    this.#log = options.log;
    this.#formerEpoch = context.overtake ? 0 : context.formerEpoch;
    this.#seen = context.formerEpoch;
  }

  /** Gives up: `run` fails with this error and every session ends. */
  stop(error: HoldfastError): void {
    this.#failure ??= error;
    this.#wake();
  }

  async run(): Promise<OpeningResult> {
    for (const replica of this.#options.replicas) this.#seek(replica);
    try {
      for (;;) {
        if (this.#failure !== null) throw this.#failure;
        const result = this.#step();
        if (result !== null) {
          this.#over = true;
          await this.noteForgetful(result.sessions);
          return result;
        }
        this.#changed = new Deferred();
        await this.#changed.promise;
      }
    } catch (error) {
      this.#over = true;
      for (const { member } of this.#candidates.values()) member?.close();
      throw error;
    }
  }

  #wake(): void {
    this.#changed.resolve();
  }

  /** One look at what is known; starts what can be started. */
  #step(): OpeningResult | null {
    if (this.#raising || (this.#epoch === 0 && !this.#chooseEpoch())) return null;
    const answers = this.#answers();
    const choice = this.choose(answers, this.#controlPlane);
    // R17: the record found may name voters that were not asked yet.
    this.#seekNamed(answers);
    if (choice.kind !== 'chosen') {
      if (choice.kind === 'no-majority') this.#majorityMs = null;
      else this.#majorityMs ??= this.#clock.monotonicMs();
      this.#explain(choice);
      return null;
    }
    this.#majorityMs ??= this.#clock.monotonicMs();
    const waitMs = this.leaseWaitMs(choice.unpromised, this.#majorityMs);
    if (waitMs > 0) {
      this.#hooks.onWaiting('Waits until the read lease of the former nexus has run out', [
        ...choice.unpromised,
      ]);
      this.#clock.after(waitMs, () => this.#wake());
      return null;
    }
    return this.#result(choice);
  }

  /** R2, R3, R16, R17. */
  protected choose(
    answers: readonly ReplicaAnswer[],
    controlPlane: ControlPlaneAnswer | null,
  ): SetChoice {
    return chooseSet(answers, controlPlane);
  }

  /** R4: how long to wait still, when some member of the old set has promised nothing. */
  leaseWaitMs(unpromised: readonly ReplicaId[], majorityMs: number): number {
    if (unpromised.length === 0) return 0;
    const { readLeaseMs, clockDrift } = this.#options.policy;
    return majorityMs + readLeaseMs * (1 + clockDrift) - this.#clock.monotonicMs();
  }

  #answers(): ReplicaAnswer[] {
    const answers: ReplicaAnswer[] = [];
    for (const { replica, member, answer, state } of this.#candidates.values()) {
      // Only sessions that live count: one that was lost may have forgotten meanwhile (R16).
      if (member === null || answer === null || state === null) continue;
      answers.push({ replica, state, record: answer.record });
    }
    return answers;
  }

  #explain(choice: Exclude<SetChoice, { kind: 'chosen' }>): void {
    if (choice.kind === 'no-majority') {
      const missing = choice.missing.filter((voter) => voter !== CONTROL_PLANE);
      const replicas = missing.length > 0 ? missing : this.#absent();
      this.#hooks.onWaiting('Waits for a majority of voters', replicas as ReplicaId[]);
    } else if (choice.kind === 'wait') {
      this.#hooks.onWaiting('Waits for replicas that may hold newer data', choice.missing);
    } else {
      this.#hooks.onWaiting('Every replica of the last set was rolled back', choice.forgetful);
    }
  }

  #absent(): ReplicaId[] {
    return [...this.#candidates.values()]
      .filter((candidate) => candidate.answer === null)
      .map((candidate) => candidate.replica);
  }

  // --- epochs
  // -------------------------------------------------------------------------------------

  /** R1: above all seen, once enough voters are connected to make it worth while. */
  #chooseEpoch(): boolean {
    const connected = [...this.#candidates.values()].filter((each) => each.member !== null);
    for (const { member } of connected) {
      const { promised, record } = (member as Member).state;
      this.#seen = Math.max(this.#seen, promised, record?.epoch ?? 0);
    }
    const highest = this.#highestRecord();
    if (highest === null) {
      this.#hooks.onWaiting('Waits for a replica that knows the volume', this.#absent());
      return false;
    }
    const voters = highest.voters;
    const reached = voters.filter(
      (voter) => voter === CONTROL_PLANE || connected.some((each) => each.replica === voter),
    );
    if (reached.length * 2 <= voters.length) {
      this.#hooks.onWaiting('Waits for a majority of voters', this.#absent());
      return false;
    }
    this.#begin(this.#seen + 1);
    return true;
  }

  #begin(epoch: number): void {
    this.#epoch = epoch;
    this.#seen = Math.max(this.#seen, epoch);
    this.#majorityMs = null;
    this.#controlPlane = null;
    for (const candidate of this.#candidates.values()) {
      candidate.answer = null;
      if (candidate.member !== null) void this.#promise(candidate, candidate.member);
    }
    if (this.#controlPlaneAsked) void this.#askControlPlane(epoch);
  }

  async #promise(candidate: Candidate, member: Member): Promise<void> {
    const epoch = this.#epoch;
    if (epoch === 0) return;
    const { nexusId, policy } = this.#options;
    const { memberDeadlineMs } = policy;
    try {
      // What it had promised just before us says whether it was rolled back (R16).
      const state = await withDeadline(this.#clock, memberDeadlineMs, member.refresh());
      if (this.#over || candidate.member !== member || epoch !== this.#epoch) return;
      if (!this.#mayFollow(candidate, member, state)) return;
      const outcome = member.promise(epoch, nexusId);
      const answer = await withDeadline(this.#clock, memberDeadlineMs, outcome);
      if (this.#over || candidate.member !== member || epoch !== this.#epoch) return;
      // Promised again after a higher epoch was seen: what it had before the first time counts.
      candidate.state ??= state;
      if (answer.granted) candidate.answer = answer;
      else this.#overtaken(candidate.replica, answer.promised);
      this.#wake();
    } catch (error) {
      this.#lost(candidate, member, asHoldfastError(error));
    }
  }

  /**
   * A voter promised another nexus. At our first opening that one came before us and may be long
   * gone: we go above it. When we open again it came after us, and if it has a majority it took
   * over.
   */
  #overtaken(voter: VoterId, promised: number): void {
    this.#seen = Math.max(this.#seen, promised);
    if (!this.#mayGoAbove(voter, promised)) return;
    if (this.#raising) return;
    this.#raising = true;
    // Two that open at once must not keep overtaking each other.
    this.#clock.after(this.#rng.below(RAISE_MS), () => {
      this.#raising = false;
      if (!this.#over) this.#begin(this.#seen + 1);
      this.#wake();
    });
  }

  /** False when a nexus that came after us is, or may yet become, the owner. */
  #mayGoAbove(voter: VoterId, promised: number): boolean {
    if (this.#formerEpoch === 0 || promised <= this.#formerEpoch) return true;
    this.#overtakers.add(voter);
    const highest = this.#highestRecord();
    const left = (name: VoterId): boolean => !this.#overtakers.has(name);
    if (highest === null || !isMajority(highest, left)) {
      this.stop(
        new HoldfastError('fenced', 'Another nexus took the volume over', {
          effect: 'unknown',
          details: { voter, promised, epoch: this.#formerEpoch },
        }),
      );
      return false;
    }
    return this.#clock.monotonicMs() >= this.#patientUntilMs;
  }

  #mayFollow(candidate: Candidate, member: Member, state: ReplicaState): boolean {
    this.#seen = Math.max(this.#seen, state.promised);
    if (state.promisedTo === this.#options.nexusId) return true;
    if (this.#mayGoAbove(candidate.replica, state.promised)) return true;
    // Asked again when the other one has had its time.
    const waitMs = Math.max(this.#patientUntilMs - this.#clock.monotonicMs(), 1);
    this.#clock.after(waitMs, () => {
      if (!this.#over && candidate.member === member) void this.#promise(candidate, member);
    });
    return false;
  }

  #highestRecord(): MembershipRecord | null {
    let highest: MembershipRecord | null = null;
    for (const { member } of this.#candidates.values()) {
      const record = member?.state.record ?? null;
      if (record === null) continue;
      if (highest === null || comparePositions(record, highest) > 0) highest = record;
    }
    return highest;
  }

  // --- voters
  // -------------------------------------------------------------------------------------

  #seekNamed(answers: readonly ReplicaAnswer[]): void {
    const records = answers.map((answer) => answer.record);
    if (this.#controlPlane !== null) records.push(this.#controlPlane.record);
    for (const record of records) {
      if (record === null) continue;
      for (const voter of votersOf(record)) {
        if (voter !== CONTROL_PLANE) this.#seek(voter);
        else if (!this.#controlPlaneAsked) {
          this.#controlPlaneAsked = true;
          void this.#askControlPlane(this.#epoch);
        }
      }
      for (const { replica } of record.members) this.#seek(replica);
    }
  }

  async #askControlPlane(epoch: number): Promise<void> {
    const { controlPlane, nexusId, policy } = this.#options;
    if (controlPlane === null) return;
    for (let attempt = 1; !this.#over && epoch === this.#epoch; attempt++) {
      try {
        const outcome = controlPlane.promise(epoch, nexusId);
        const answer = await withDeadline(this.#clock, policy.memberDeadlineMs, outcome);
        if (this.#over || epoch !== this.#epoch) return;
        if (answer.granted) this.#controlPlane = answer;
        else this.#overtaken(CONTROL_PLANE, answer.promised);
        this.#wake();
        return;
      } catch (error) {
        this.#log.debug('Control plane did not promise', { code: asHoldfastError(error).code });
      }
      await this.#pause(attempt);
    }
  }

  #seek(replica: ReplicaId): void {
    if (this.#candidates.has(replica)) return;
    const candidate = {
      replica,
      member: null,
      answer: null,
      line: null,
      state: null,
      reason: '',
      code: '',
    };
    this.#candidates.set(replica, candidate);
    void this.#connect(candidate);
  }

  async #connect(candidate: Candidate): Promise<void> {
    const { replica } = candidate;
    const { connector, policy } = this.#options;
    for (let attempt = 1; !this.#over && candidate.member === null; attempt++) {
      try {
        const timeoutMs = policy.memberDeadlineMs;
        const member = await connector.connect(replica, { timeoutMs });
        if (this.#over) return member.close();
        checkIdentity(member, this.#options);
        candidate.member = member;
        this.#seen = Math.max(this.#seen, member.state.promised);
        const line = new LossLine((error) => this.#lost(candidate, member, error));
        candidate.line = line;
        member.onLost((error) => line.tell(error));
        void this.#promise(candidate, member);
        this.#wake();
        return;
      } catch (error) {
        const { code, message } = asHoldfastError(error);
        candidate.code = code;
        candidate.reason = message;
        this.#hooks.onUnreachable(replica, asHoldfastError(error));
      }
      this.#wake();
      await this.#pause(attempt);
    }
  }

  #pause(attempt: number): Promise<void> {
    const { reconnectMs, reconnectMaxMs } = this.#options.policy;
    const limits = { firstMs: reconnectMs, maxMs: reconnectMaxMs };
    const done = new Deferred<void>();
    this.#clock.after(backOffMs(attempt, limits, this.#rng.float()), () => done.resolve());
    return done.promise;
  }

  #lost(candidate: Candidate, member: Member, error: HoldfastError): void {
    if (this.#over || candidate.member !== member) return;
    member.close();
    candidate.member = null;
    candidate.answer = null;
    candidate.state = null;
    candidate.code = error.code;
    candidate.reason = error.message;
    this.#wake();
    void this.#pause(1).then(() => this.#connect(candidate));
  }

  /**
   * R16: a voter that forgot gets the opening record too, and would not be recognised by the next
   * nexus any more. So first it is told, durably, that it has no vote; one that cannot be told is
   * left alone.
   */
  protected async noteForgetful(sessions: Map<ReplicaId, OpenedSession>): Promise<void> {
    const marks = [...sessions].map(async ([replica, { member, forgot, trusted }]) => {
      if (!forgot || trusted) return;
      try {
        await noteForgotten(member, this.#clock, this.#options.policy.memberDeadlineMs);
      } catch (error) {
        this.#hooks.onUnreachable(replica, asHoldfastError(error));
        sessions.delete(replica);
        member.close();
      }
    });
    await Promise.all(marks);
  }

  /** R3: the record tells every later nexus that sessions older than this epoch must fail. */
  lossFor(lost: boolean, found: MembershipRecord): number {
    return lost ? this.#epoch : found.loss;
  }

  // --- the end
  // ------------------------------------------------------------------------------------

  #result(choice: Extract<SetChoice, { kind: 'chosen' }>): OpeningResult {
    // A session that has not promised is no use: whoever is absent is looked for anew.
    for (const { member, answer } of this.#candidates.values())
      if (answer === null) member?.close();
    return planOpening({
      choice,
      epoch: this.#epoch,
      loss: this.lossFor(choice.lost, choice.found),
      candidates: this.#candidates.values(),
      controlPlane: this.#controlPlane,
    });
  }
}
