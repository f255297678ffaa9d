/**
 * Shared memory between the thread that submits and the threads ("lanes") that make the calls.
 *
 *     submitter ──▶ submission ring of slot numbers ──▶ lanes (each takes the next, by CAS)
 *               ◀── one completion ring per lane    ◀──
 *
 * - The submission tail is also the futex: a lane sleeps while it has not moved, so no wake is lost
 *   and an idle pool costs nothing.
 * - `ARMED` says that the submitter sleeps and wants one message; whoever clears it sends it.
 * - A slot belongs to the submitter, from submission to completion to the lanes.
 */
export const SLOTS = 512;
export const LANES_MAX = 3;

export const CONTROL = {
  submitTail: 0,
  submitHead: 1,
  sleepers: 2,
  armed: 3,
  /** Then for every lane: tail (lane) and head (submitter) of its completion ring. */
  lanes: 4,
} as const;

/** Fields of a slot, eight doubles each: integers up to 2^53 and addresses fit. */
export const FIELD = { verb: 0, fd: 1, address: 2, length: 3, offset: 4, result: 5 } as const;
export const SLOT_FIELDS = 8;

export const LANE_VERBS = [
  'read',
  'write',
  'flush',
  'trim',
  'zero',
  'seekData',
  'seekHole',
] as const;
export type LaneVerb = (typeof LANE_VERBS)[number];

export interface LaneRing {
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly submissions: Int32Array<SharedArrayBuffer>;
  readonly slots: Float64Array<SharedArrayBuffer>;
  readonly completions: readonly Int32Array<SharedArrayBuffer>[];
}

/** What a lane is started with. */
export interface LaneStart {
  readonly ring: LaneRing;
  readonly lane: number;
  /** It ends after so long without a request. */
  readonly idleMs: number;
}

export function createLaneRing(): LaneRing {
  const ints = (count: number): Int32Array<SharedArrayBuffer> =>
    new Int32Array(new SharedArrayBuffer(count * 4));
  return {
    control: ints(CONTROL.lanes + 2 * LANES_MAX),
    submissions: ints(SLOTS),
    slots: new Float64Array(new SharedArrayBuffer(SLOTS * SLOT_FIELDS * 8)),
    completions: Array.from({ length: LANES_MAX }, () => ints(SLOTS)),
  };
}
