import type { AnyObject } from '#api/kinds/mod.ts';
import { formatMicroTime } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import type { Clock, Log, Rng } from '#host/mod.ts';
import { formatHex } from '#lib/mod.ts';
import type { KubeClient } from './client.ts';

export interface EventRecorderOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly instance: string;
}

const NOTE_CHARS_MAX = 1_024;

/** Writes Events, once per change: the same (object, reason, note) twice in a row is one. */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #last = new Map<string, string>();

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  normal(regarding: AnyObject, reason: string, note: string): void {
    this.#record('Normal', regarding, reason, note);
  }

  warning(regarding: AnyObject, reason: string, note: string): void {
    this.#record('Warning', regarding, reason, note);
  }

  #record(type: 'Normal' | 'Warning', regarding: AnyObject, reason: string, note: string): void {
    const { uid, name, namespace } = regarding.metadata;
    const subject = `${regarding.kind} ${uid ?? name}`;
    const content = `${reason} ${note}`;
    if (this.#last.get(subject) === content) return;
    this.#last.delete(subject);
    this.#last.set(subject, content);
    if (this.#last.size > 10_000) this.#last.delete(this.#last.keys().next().value ?? '');
    void this.#write(type, regarding, reason, note, name, namespace ?? 'default');
  }

  async #write(
    type: 'Normal' | 'Warning',
    regarding: AnyObject,
    reason: string,
    note: string,
    name: string,
    namespace: string,
  ): Promise<void> {
    const { client, clock, rng, log, instance } = this.#options;
    try {
      await client.create('Event', {
        apiVersion: 'events.k8s.io/v1',
        kind: 'Event',
        metadata: { name: `${name}.${formatHex(rng.bytes(8))}`, namespace },
        type,
        reason,
        note: note.slice(0, NOTE_CHARS_MAX),
        action: reason,
        eventTime: formatMicroTime(clock.wallMs()),
        regarding: {
          kind: regarding.kind,
          name,
          ...(regarding.metadata.namespace === undefined ? {} : { namespace }),
          ...(regarding.metadata.uid === undefined ? {} : { uid: regarding.metadata.uid }),
        },
        reportingController: 'holdfast.dev/controller',
        reportingInstance: instance,
      });
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      log.warn('event was not written', { reason, code: error.code });
    }
  }
}
