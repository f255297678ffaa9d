/**
 * Looks at all objects while troubles come and go: one that is not in its good end state has to
 * have a reason, in a condition, in its status or in an Event, within ten seconds.
 *
 * - A reason is text for people that says more than that it is so: reason and message.
 * - What is being deleted needs a reason for that, not one of its life before.
 * - An Event counts from when the object stopped being well: one of its life before says nothing.
 * - A spec that nobody has looked at has none, whatever the conditions say of the one before.
 */
import type { AnyObject, Condition, KindName } from '#api/kinds/mod.ts';
import { findCondition, parseTime } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import type { KubeClient } from '#control/kube/mod.ts';
import { setTimeout as pause } from 'node:timers/promises';

export const SILENT_MS_MAX = 10_000;
const LOOK_MS = 1_000;

/** Of each kind: the conditions that are True when all is well. */
const GOOD: Partial<Record<KindName, readonly string[]>> = {
  PersistentVolumeClaim: ['Ready'],
  Volume: ['Placed', 'Ready'],
  Mount: ['Ready'],
  Replica: ['Ready'],
  Snapshot: ['Ready'],
  DiskPool: ['Ready'],
  StorageNode: ['Ready', 'MountCapable'],
  PersistentVolume: [],
  VolumeAttachment: [],
};

interface Observed {
  readonly metadata: AnyObject['metadata'];
  readonly status?: {
    readonly conditions?: readonly Condition[];
    readonly observedGeneration?: number;
    readonly phase?: string;
    readonly message?: string;
    readonly attached?: boolean;
    readonly attachError?: { readonly message?: string };
    readonly detachError?: { readonly message?: string };
  };
}

export type Reader = Pick<KubeClient, 'list'>;

export class ReasonWatch {
  readonly #client: Reader;
  readonly #silentMsMax: number;
  /** Since when an object is not well and says nothing. */
  readonly #silent = new Map<string, number>();
  /** Since when an object is not well: milliseconds since 1970. */
  readonly #unwell = new Map<string, number>();
  readonly #found = new Map<string, string>();
  #isOver = false;
  #watching: Promise<void> = Promise.resolve();
  #looks = 0;
  #longestMs = 0;
  #longest = 'nothing';

  constructor(client: Reader, silentMsMax = SILENT_MS_MAX) {
    this.#client = client;
    this.#silentMsMax = silentMsMax;
  }

  start(): void {
    this.#watching = this.#watch();
  }

  /** Resolves to the objects that stayed without a reason, with how they were. */
  async stop(): Promise<readonly string[]> {
    this.#isOver = true;
    await this.#watching;
    return [...this.#found.values()];
  }

  /** How often all was looked at. */
  get looks(): number {
    return this.#looks;
  }

  /** How often all was looked at, and the longest that an object said nothing. */
  get summary(): string {
    const seconds = (this.#longestMs / 1_000).toFixed(1);
    return `${this.#looks} looks; longest without a reason, ${seconds} s: ${this.#longest}`;
  }

  async #watch(): Promise<void> {
    while (!this.#isOver) {
      try {
        await this.#look();
      } catch (error) {
        // Nobody can be asked: nothing is known.
        if (!HoldfastError.is(error)) throw error;
        this.#silent.clear();
      }
      await pause(LOOK_MS);
    }
  }

  async #look(): Promise<void> {
    const { items: events } = await this.#client.list('Event');
    const told = new Map<string, number>();
    for (const { note = '', regarding, eventTime } of events) {
      const uid = regarding?.uid ?? '';
      if (note !== '') told.set(uid, Math.max(told.get(uid) ?? 0, parseTime(eventTime ?? '') || 0));
    }
    const unwell = new Set<string>();
    const silent = new Set<string>();
    for (const kind of Object.keys(GOOD) as KindName[]) {
      for (const object of (await this.#client.list(kind)).items) {
        const { uid = '' } = object.metadata;
        if (isWell(kind, object)) continue;
        unwell.add(uid);
        const sinceMs = this.#unwell.get(uid) ?? Date.now() - LOOK_MS;
        this.#unwell.set(uid, sinceMs);
        if (hasReason(object) || (told.get(uid) ?? 0) >= sinceMs) continue;
        silent.add(uid);
        this.#note(kind, object, uid);
      }
    }
    keepOnly(this.#unwell, unwell);
    keepOnly(this.#silent, silent);
    this.#looks += 1;
  }

  #note(kind: KindName, object: AnyObject, uid: string): void {
    const nowMs = performance.now();
    const sinceMs = this.#silent.get(uid) ?? nowMs;
    this.#silent.set(uid, sinceMs);
    if (nowMs - sinceMs > this.#longestMs) {
      this.#longestMs = nowMs - sinceMs;
      this.#longest = describe(kind, object);
    }
    if (nowMs - sinceMs <= this.#silentMsMax || this.#found.has(uid)) return;
    this.#found.set(uid, describe(kind, object));
  }
}

function describe(kind: KindName, object: AnyObject): string {
  const { metadata, status = {} } = object as Observed;
  const going = metadata.deletionTimestamp === undefined ? '' : ', going,';
  return `${kind} ${metadata.name}${going} said nothing: ${JSON.stringify(status).slice(0, 500)}`;
}

function isWell(kind: KindName, object: AnyObject): boolean {
  const { metadata, status = {} } = object as Observed;
  if (metadata.deletionTimestamp !== undefined || !isLookedAt(object)) return false;
  if (kind === 'VolumeAttachment') return status.attached === true;
  if (kind === 'PersistentVolume') return ['Bound', 'Available'].includes(status.phase ?? '');
  const types = GOOD[kind] ?? [];
  return types.every((type) => findCondition(status.conditions, type)?.status === 'True');
}

/** A node says of its mounts what it did, not which spec it saw: that never changes. */
function isLookedAt(object: AnyObject): boolean {
  const { metadata, status } = object as Observed;
  const seen = status?.observedGeneration;
  return seen === undefined || metadata.generation === undefined || seen >= metadata.generation;
}

function hasReason(object: AnyObject): boolean {
  const { metadata, status = {} } = object as Observed;
  if (!isLookedAt(object)) return false;
  const isGoing = metadata.deletionTimestamp !== undefined;
  const texts = isGoing
    ? [status.detachError?.message, status.message]
    : [status.attachError?.message, status.message];
  if (texts.some((text) => (text ?? '') !== '')) return true;
  const conditions = (status.conditions ?? []).filter((condition) =>
    isGoing ? condition.type === 'Terminating' : condition.status !== 'True',
  );
  return conditions.some(({ reason, message }) => reason !== '' && message !== '');
}

function keepOnly(map: Map<string, unknown>, keys: ReadonlySet<string>): void {
  for (const key of map.keys()) if (!keys.has(key)) map.delete(key);
}
