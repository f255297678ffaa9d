/**
 * An embedded SQL database in one file, used by one process at a time.
 *
 * Calls are synchronous: a transaction is a plain function, and nothing runs between its
 * statements. Errors: `store-locked` another process has the file; `store-corrupt` it is no
 * database, or damaged; `no-space`, `read-only`, `permission-denied`, `io-error`.
 */
export type SqlValue = string | number | null;
export type SqlRow = Readonly<Record<string, SqlValue>>;

export interface SqlStatement {
  run(...values: readonly SqlValue[]): void;
  all(...values: readonly SqlValue[]): readonly SqlRow[];
}

export interface Database {
  prepare(sql: string): SqlStatement;
  /** One or more statements without values. */
  execute(sql: string): void;
  /** Durable when it returns; rolled back when `action` throws. Not nested. */
  transaction<Result>(action: () => Result): Result;
  close(): void;
}

export interface Databases {
  /** Creates the file (mode 0600) when absent; its directory must exist. */
  open(path: string): Database;
}
