import type { Log, LogFields } from '../mod.ts';
import type { SimProcess } from './sim-process.ts';

export interface LogLine {
  readonly timeMs: number;
  readonly process: string;
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: LogFields;
}

/** The last lines of all nodes: what a failed run prints. */
export class LogBook {
  readonly #linesMax: number;
  #lines: LogLine[] = [];

  constructor(linesMax: number) {
    this.#linesMax = linesMax;
  }

  get lines(): readonly LogLine[] {
    return this.#lines.slice(-this.#linesMax);
  }

  add(line: LogLine): void {
    this.#lines.push(line);
    if (this.#lines.length > 2 * this.#linesMax) this.#lines = this.#lines.slice(-this.#linesMax);
  }
}

export class SimLog implements Log {
  readonly #process: SimProcess;
  readonly #book: LogBook;
  readonly #fields: LogFields;

  constructor(process: SimProcess, book: LogBook, fields: LogFields = {}) {
    this.#process = process;
    this.#book = book;
    this.#fields = fields;
  }

  debug(message: string, fields?: LogFields): void {
    this.#add('debug', message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#add('info', message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.#add('warn', message, fields);
  }

  error(message: string, fields?: LogFields): void {
    this.#add('error', message, fields);
  }

  child(fields: LogFields): Log {
    return new SimLog(this.#process, this.#book, { ...this.#fields, ...fields });
  }

  #add(level: LogLine['level'], message: string, fields: LogFields | undefined): void {
    if (!this.#process.alive) return;
    const { loop, name } = this.#process;
    loop.trace.text(message);
    const all = { ...this.#fields, ...fields };
    this.#book.add({ timeMs: loop.nowMs, process: name, level, message, fields: all });
  }
}
