/**
 * A volume in a thread of its own (`isolation: thread`): calls cross as messages. The thread has a
 * heap limit of its own; when it dies, the engine and the other volumes go on.
 */
import { Worker } from 'node:worker_threads';
import { type ErrorCode, HoldfastError, type ParamsOf, type ResultOf } from '#api/mod.ts';
import { closeLeftOpen, createFileSlots, type FileSlots } from '#host/node/mod.ts';
import type { VolumeMethods, VolumeRunner, VolumeSettings } from '#data/engine/mod.ts';

export interface VolumeThreadData {
  readonly settings: VolumeSettings;
  readonly canMount: boolean;
  readonly logFile: string;
  /** What the thread has open, for its death. */
  readonly openFiles: FileSlots;
}

export interface ThreadCall {
  readonly id: number;
  readonly method: keyof VolumeMethods;
  readonly params: unknown;
}

/** Errors lose their class on the way between threads, so they travel as plain values. */
export interface ThreadError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly effect: HoldfastError['effect'];
  readonly details: HoldfastError['details'];
}

export type ThreadAnswer =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: ThreadError };

interface Waiting {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

const HEAP_MIB_MAX = 256;
const YOUNG_MIB_MAX = 4;

export class ThreadRunner implements VolumeRunner {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #ended: Error | null = null;

  constructor(data: Omit<VolumeThreadData, 'openFiles'>, onExit: (error: Error) => void) {
    const openFiles = createFileSlots();
    this.#worker = new Worker(new URL('./volume-thread.ts', import.meta.url), {
      workerData: { ...data, openFiles } satisfies VolumeThreadData,
      // Node would close at the end of the thread every number that fs opened in it, also those
      // that a socket owned and has closed: by then they are files of other volumes.
      trackUnmanagedFds: false,
      resourceLimits: {
        maxOldGenerationSizeMb: HEAP_MIB_MAX,
        maxYoungGenerationSizeMb: YOUNG_MIB_MAX,
      },
    });
    let cause = new Error('Volume thread ended');
    this.#worker.on('message', (answer: ThreadAnswer) => this.#onAnswer(answer));
    this.#worker.on(
      'error',
      (error) => (cause = error instanceof Error ? error : new Error(String(error))),
    );
    this.#worker.on('exit', () => {
      // Before anybody is told: the next runner needs the lock of the local replica.
      closeLeftOpen(openFiles);
      this.#fail(cause);
      onExit(cause);
    });
  }

  async call<Name extends keyof VolumeMethods>(
    method: Name,
    params: ParamsOf<VolumeMethods, Name>,
  ): Promise<ResultOf<VolumeMethods, Name>> {
    if (this.#ended)
      throw new HoldfastError('aborted', 'Volume thread ended', { cause: this.#ended });
    const id = this.#nextId;
    this.#nextId += 1;
    const result = await new Promise<ResultOf<VolumeMethods, Name>>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, method, params } satisfies ThreadCall);
    });
    // The thread has nothing left to do; its exit is no accident any more.
    if (method === 'volume.stop' || method === 'volume.handOver') this.#worker.unref();
    return result;
  }

  #onAnswer(answer: ThreadAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if ('result' in answer) return waiting?.resolve(answer.result as never);
    const { code, message, effect, details } = answer.error;
    waiting?.reject(new HoldfastError(code, message, { effect, details }));
  }

  #fail(cause: Error): void {
    this.#ended = cause;
    for (const { reject } of this.#waiting.values()) {
      reject(new HoldfastError('aborted', 'Volume thread ended', { effect: 'unknown', cause }));
    }
    this.#waiting.clear();
  }
}
