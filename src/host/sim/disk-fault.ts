import type { ErrorCode } from '#api/mod.ts';
import type { DiskVerb } from '../mod.ts';
import type { SimRng } from './sim-rng.ts';

export type DiskFaultVerb =
  | DiskVerb
  | 'open'
  | 'stat'
  | 'list'
  | 'makeDirectory'
  | 'rename'
  | 'remove'
  | 'syncDirectory'
  | 'space'
  | 'lock'
  | 'resize'
  | 'extents';

export type DiskFaultEffect =
  /**
   * The operation fails. A failed flush drops or forgets the dirty pages; the next one succeeds.
   */
  | { readonly kind: 'fail'; readonly code: ErrorCode }
  | { readonly kind: 'slow'; readonly factor: number }
  | { readonly kind: 'delay'; readonly ms: number }
  /** Without `ms` until the fault is removed. */
  | { readonly kind: 'hang'; readonly ms?: number }
  /** Acknowledged, never stored. On a flush: acknowledged, nothing made durable. */
  | { readonly kind: 'lose' }
  /** A write that lands elsewhere in its file. */
  | { readonly kind: 'misdirect' }
  /** One bit flips: in what is read only, or (`stored`) on the platter, on reads and writes. */
  | { readonly kind: 'flip'; readonly stored: boolean };

/** Everything that is given must match. */
export interface DiskFault {
  /** A prefix of the path, or a pattern. */
  readonly path?: string | RegExp;
  readonly verbs?: readonly DiskFaultVerb[];
  /** Touched by the request. */
  readonly range?: { readonly offsetBytes: number; readonly lengthBytes: number };
  /** Only the nth request that matches the rest, from 1. */
  readonly nth?: number;
  /** Ends after so many hits. */
  readonly times?: number;
  readonly chance?: number;
  readonly effect: DiskFaultEffect;
}

export interface DiskAccess {
  readonly verb: DiskFaultVerb;
  readonly path: string;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** A fault in force. */
export class ActiveDiskFault {
  readonly fault: DiskFault;
  readonly #remove: (fault: ActiveDiskFault) => void;
  readonly #hanging: (() => void)[] = [];
  #matched = 0;
  #hits = 0;

  constructor(fault: DiskFault, remove: (fault: ActiveDiskFault) => void) {
    this.fault = fault;
    this.#remove = remove;
  }

  /** How often it struck. */
  get hits(): number {
    return this.#hits;
  }

  /** Ends the fault. What hangs because of it goes on. */
  remove(): void {
    this.#remove(this);
    for (const goOn of this.#hanging.splice(0)) goOn();
  }

  /** For the disk: what to do once a hang without end was ended. */
  whenRemoved(goOn: () => void): void {
    this.#hanging.push(goOn);
  }

  strikes(access: DiskAccess, rng: SimRng): boolean {
    const { path, verbs, range, nth, times, chance } = this.fault;
    if (times !== undefined && this.#hits >= times) return false;
    if (verbs !== undefined && !verbs.includes(access.verb)) return false;
    if (typeof path === 'string' && !access.path.startsWith(path)) return false;
    if (path instanceof RegExp && !path.test(access.path)) return false;
    if (range !== undefined && !touches(range, access)) return false;
    this.#matched++;
    if (nth !== undefined && this.#matched !== nth) return false;
    if (chance !== undefined && !rng.chance(chance)) return false;
    this.#hits++;
    return true;
  }
}

function touches(
  range: { readonly offsetBytes: number; readonly lengthBytes: number },
  access: DiskAccess,
): boolean {
  return (
    range.offsetBytes < access.offsetBytes + access.lengthBytes &&
    access.offsetBytes < range.offsetBytes + range.lengthBytes
  );
}
