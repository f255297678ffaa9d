/**
 * SQLite: write-ahead log, a sync with every commit, one process at a time.
 *
 * After an I/O error in a commit nobody knows what the disk has: the database refuses everything
 * from then on, and the next open reads what is there.
 */
import { HoldfastError, type ErrorCode } from '#api/mod.ts';
import { closeSync, openSync } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import type { Database, Databases, SqlRow, SqlStatement, SqlValue } from '../mod.ts';
import { fromNodeError } from './errno-error.ts';

/** Primary result codes of SQLite (https://sqlite.org/rescode.html). */
const CODES: Readonly<Record<number, ErrorCode>> = {
  3: 'permission-denied', // SQLITE_PERM
  5: 'store-locked', // SQLITE_BUSY
  6: 'store-locked', // SQLITE_LOCKED
  8: 'read-only', // SQLITE_READONLY
  10: 'io-error', // SQLITE_IOERR
  11: 'store-corrupt', // SQLITE_CORRUPT
  13: 'no-space', // SQLITE_FULL
  14: 'permission-denied', // SQLITE_CANTOPEN
  26: 'store-corrupt', // SQLITE_NOTADB
};

const REMEDIES: Partial<Record<ErrorCode, string>> = {
  'store-locked': 'Stop the other process that has the file open',
  'store-corrupt': 'Restore the file from a copy, or move it away to begin with an empty one',
};

export class NodeDatabases implements Databases {
  open(path: string): Database {
    try {
      // Created before SQLite does it, for the mode; its log takes the mode of the file.
      closeSync(openSync(path, 'a', 0o600));
    } catch (error) {
      throw fromNodeError(error, { path });
    }
    const database = new NodeDatabase(path);
    database.prepareFile();
    return database;
  }
}

class NodeDatabase implements Database {
  readonly #path: string;
  readonly #inner: DatabaseSync;
  #isLost = false;

  constructor(path: string) {
    this.#path = path;
    this.#inner = new DatabaseSync(path);
  }

  prepareFile(): void {
    try {
      this.execute('PRAGMA locking_mode = EXCLUSIVE; PRAGMA auto_vacuum = INCREMENTAL;');
      this.execute('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
      this.execute('PRAGMA journal_size_limit = 1048576; PRAGMA trusted_schema = OFF;');
      // Takes the lock for good.
      this.execute('BEGIN IMMEDIATE; COMMIT;');
      const verdict = this.prepare('PRAGMA quick_check(1)').all()[0]?.['quick_check'];
      if (verdict !== 'ok') throw this.#error('store-corrupt', new Error(String(verdict)));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  prepare(sql: string): SqlStatement {
    const statement = this.#guard(() => this.#inner.prepare(sql));
    return {
      run: (...values) => void this.#guard(() => statement.run(...values)),
      all: (...values) => this.#guard(() => rowsOf(statement, values)),
    };
  }

  execute(sql: string): void {
    this.#guard(() => this.#inner.exec(sql));
  }

  transaction<Result>(action: () => Result): Result {
    this.execute('BEGIN IMMEDIATE');
    let result: Result;
    try {
      result = action();
    } catch (error) {
      this.#rollBack();
      throw error;
    }
    try {
      this.execute('COMMIT');
    } catch (error) {
      this.#rollBack();
      throw error;
    }
    return result;
  }

  close(): void {
    if (this.#inner.isOpen) this.#inner.close();
  }

  /** SQLite has done it already after some errors. */
  #rollBack(): void {
    if (this.#inner.isTransaction) this.#inner.exec('ROLLBACK');
  }

  #guard<Result>(action: () => Result): Result {
    if (this.#isLost) throw this.#error('io-error', undefined);
    try {
      return action();
    } catch (error) {
      if (HoldfastError.is(error)) throw error;
      const number = error instanceof Error && 'errcode' in error ? Number(error.errcode) : 0;
      // A mistake in a statement is ours.
      const code = CODES[number & 0xff];
      if (code === undefined) throw error;
      this.#isLost = code === 'io-error';
      throw this.#error(code, error);
    }
  }

  #error(code: ErrorCode, cause: unknown): HoldfastError {
    const remedy = REMEDIES[code];
    return new HoldfastError(code, 'Database cannot be used', {
      effect: code === 'io-error' ? 'unknown' : 'none',
      details: { path: this.#path, ...(remedy === undefined ? {} : { remedy }) },
      cause,
    });
  }
}

function rowsOf(statement: StatementSync, values: readonly SqlValue[]): readonly SqlRow[] {
  return statement.all(...values) as SqlRow[];
}
