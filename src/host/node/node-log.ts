import pino, { type Logger } from 'pino';
import { HoldfastError } from '#api/mod.ts';
import type { Log, LogFields } from '../mod.ts';

/** Operating errors are logged with code, effect and details; causes with their message. */
function serializeError(error: unknown): unknown {
  if (HoldfastError.is(error)) {
    const { code, message, effect, details } = error;
    return { code, message, effect, details };
  }
  return error instanceof Error ? { message: error.message, stack: error.stack } : error;
}

/** JSON lines, written before the call returns, so that the last line of a crash is there. */
export class NodeLog implements Log {
  readonly #logger: Logger;

  private constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** To a file, or to standard error when there is none. */
  static open(options: { readonly file?: string; readonly level?: string }): NodeLog {
    const destination = pino.destination({ dest: options.file ?? 2, sync: true, mkdir: true });
    const serializers = { error: serializeError };
    return new NodeLog(
      pino(
        { level: options.level ?? 'info', base: { pid: process.pid }, serializers },
        destination,
      ),
    );
  }

  debug(message: string, fields: LogFields = {}): void {
    this.#logger.debug(fields, message);
  }

  info(message: string, fields: LogFields = {}): void {
    this.#logger.info(fields, message);
  }

  warn(message: string, fields: LogFields = {}): void {
    this.#logger.warn(fields, message);
  }

  error(message: string, fields: LogFields = {}): void {
    this.#logger.error(fields, message);
  }

  child(fields: LogFields): Log {
    return new NodeLog(this.#logger.child(fields));
  }
}
