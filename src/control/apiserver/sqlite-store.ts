/**
 * The store in an SQLite file. Readers read memory; a transaction is in the file, synced, before
 * memory and watchers have it.
 *
 *     objects (resource, namespace, name) → body      what there is
 *     changes (version) → key, at, before, after      what a late watcher is told
 *     facts   (name) → value                          version, compacted
 *
 * A file of a newer layout is refused untouched; an older one is brought up in one transaction.
 */
import { HoldfastError } from '#api/mod.ts';
import type { JsonObject } from '#api/resources/mod.ts';
import type { Database, Databases, SqlRow, SqlStatement } from '#host/mod.ts';
import { MemoryStore } from './memory-store.ts';
import type { Journal, StoreContents } from './memory-store.ts';
import type { Change, HistoryLimits, ObjectStore } from './object-store.ts';

/** "Hold" in ASCII, in the file's header: whose file it is. */
const APPLICATION_ID = 0x486f_6c64;
const LAYOUT = 1;
const TABLES = `
  CREATE TABLE objects (
    resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (resource, namespace, name)
  ) WITHOUT ROWID;
  CREATE TABLE changes (
    version INTEGER PRIMARY KEY, resource TEXT NOT NULL, namespace TEXT NOT NULL,
    name TEXT NOT NULL, at INTEGER NOT NULL, before TEXT, after TEXT
  );
  CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  INSERT INTO facts VALUES ('version', 0), ('compacted', 0);
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${LAYOUT};
`;

export interface SqliteStoreOptions {
  readonly databases: Databases;
  readonly path: string;
  readonly wallMs: () => number;
  readonly history?: HistoryLimits;
}

/**
 * Errors: those of `Databases.open`, `store-newer-format`, `store-foreign`. All leave the file as
 * it is.
 */
export function openSqliteStore(options: SqliteStoreOptions): ObjectStore {
  const { databases, path, wallMs, history } = options;
  const database = databases.open(path);
  try {
    checkLayout(database, path);
    return new MemoryStore({
      wallMs,
      ...(history === undefined ? {} : { history }),
      journal: new SqliteJournal(database),
      contents: readContents(database, path),
    });
  } catch (error) {
    database.close();
    throw error;
  }
}

function checkLayout(database: Database, path: string): void {
  const layout = pragma(database, 'user_version');
  const application = pragma(database, 'application_id');
  const isEmpty = database.prepare('SELECT 1 AS one FROM sqlite_schema').all().length === 0;
  if (isEmpty && layout === 0) {
    database.transaction(() => database.execute(TABLES));
    return;
  }
  if (application !== APPLICATION_ID) {
    throw new HoldfastError('store-foreign', 'Database belongs to something else', {
      details: { path, remedy: 'Give the API server a directory of its own' },
    });
  }
  if (layout > LAYOUT) {
    throw new HoldfastError('store-newer-format', 'Database was written by a newer version', {
      details: {
        path,
        layout,
        supported: LAYOUT,
        remedy: 'Run the newer version again, or restore the copy made before the upgrade',
      },
    });
  }
}

function pragma(database: Database, name: string): number {
  return Number(database.prepare(`PRAGMA ${name}`).all()[0]?.[name] ?? 0);
}

function readContents(database: Database, path: string): StoreContents {
  const facts = new Map(
    database
      .prepare('SELECT name, value FROM facts')
      .all()
      .map((row) => [String(row['name']), Number(row['value'])]),
  );
  const rows = database.prepare('SELECT * FROM changes ORDER BY version').all();
  const objects = database.prepare('SELECT * FROM objects').all();
  try {
    return {
      version: facts.get('version') ?? 0,
      compactedVersion: facts.get('compacted') ?? 0,
      changes: rows.map((row) => changeOf(row)),
      objects: objects.map((row) => ({
        ...keyOfRow(row),
        object: JSON.parse(String(row['body'])) as JsonObject,
      })),
    };
  } catch (error) {
    throw new HoldfastError('store-corrupt', 'Database holds an object that is no JSON', {
      details: { path, remedy: 'Restore the file from a copy' },
      cause: error,
    });
  }
}

function keyOfRow(row: SqlRow) {
  return {
    resource: String(row['resource']),
    namespace: String(row['namespace']),
    name: String(row['name']),
  };
}

function changeOf(row: SqlRow): Change {
  const parse = (text: unknown): JsonObject | undefined =>
    typeof text === 'string' ? (JSON.parse(text) as JsonObject) : undefined;
  return {
    ...keyOfRow(row),
    version: Number(row['version']),
    atMs: Number(row['at']),
    before: parse(row['before']),
    after: parse(row['after']),
  };
}

class SqliteJournal implements Journal {
  readonly #database: Database;
  readonly #putObject: SqlStatement;
  readonly #deleteObject: SqlStatement;
  readonly #addChange: SqlStatement;
  readonly #cutChanges: SqlStatement;
  readonly #setFact: SqlStatement;
  #compactedVersion: number;

  constructor(database: Database) {
    this.#database = database;
    this.#putObject = database.prepare('INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)');
    this.#deleteObject = database.prepare(
      'DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?',
    );
    this.#addChange = database.prepare('INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?)');
    this.#cutChanges = database.prepare('DELETE FROM changes WHERE version <= ?');
    this.#setFact = database.prepare('UPDATE facts SET value = ? WHERE name = ?');
    const row = database.prepare("SELECT value FROM facts WHERE name = 'compacted'").all()[0];
    this.#compactedVersion = Number(row?.['value'] ?? 0);
  }

  append(changes: readonly Change[], compactedVersion: number): void {
    const isCut = compactedVersion > this.#compactedVersion;
    this.#database.transaction(() => {
      for (const change of changes) this.#write(change);
      this.#setFact.run(changes.at(-1)?.version ?? 0, 'version');
      if (!isCut) return;
      this.#cutChanges.run(compactedVersion);
      this.#setFact.run(compactedVersion, 'compacted');
    });
    if (!isCut) return;
    this.#compactedVersion = compactedVersion;
    // Gives the pages of what was cut back to the filesystem.
    this.#database.execute('PRAGMA incremental_vacuum');
  }

  close(): void {
    this.#database.close();
  }

  #write(change: Change): void {
    const { resource, namespace, name, version, atMs, before, after } = change;
    const body = after === undefined ? null : JSON.stringify(after);
    if (body === null) this.#deleteObject.run(resource, namespace, name);
    else this.#putObject.run(resource, namespace, name, body);
    const old = before === undefined ? null : JSON.stringify(before);
    this.#addChange.run(version, resource, namespace, name, atMs, old, body);
  }
}
