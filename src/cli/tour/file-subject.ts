/**
 * Files and a SQLite database on a mounted volume. Checksums and rows are kept here, outside the
 * volume, from the moment a write is durable.
 */
import { formatBytes } from '#api/kinds/mod.ts';
import type { Disk } from '#host/mod.ts';
import { readWholeFile } from '#host/mod.ts';
import type { Database } from '../context.ts';
import type { Guide } from './guide.ts';
import { anyBytes, checksum } from './pattern.ts';
import type { Differences, Moment, Subject, Verification } from './subject.ts';
import type { WriteOne } from './writer.ts';

const FILE_BYTES_MIN = 1;
const FILE_BYTES_MAX = 256 * 1024;
const ROWS_A_TRANSACTION = 10;
const SHOWN_MAX = 5;

interface Content {
  /** Name to checksum and size. */
  readonly files: ReadonlyMap<string, { readonly sum: string; readonly sizeBytes: number }>;
  readonly rows: ReadonlyMap<number, string>;
}

export class FileSubject implements Subject {
  readonly noun = 'files and a database';
  readonly #guide: Guide;
  readonly #disk: Disk;
  readonly #files = new Map<string, { sum: string; sizeBytes: number }>();
  readonly #rows = new Map<number, string>();
  #snapshot: Content = { files: new Map(), rows: new Map() };
  #database: Database | undefined;
  #lastFile = 0;

  constructor(guide: Guide) {
    this.#guide = guide;
    this.#disk = guide.context.host.disk;
  }

  async open(claim: string): Promise<void> {
    const manifest = mountManifest(claim, this.#pathOf(claim));
    await this.#guide.apply(`${claim}-mount`, manifest, `mount ${claim}`);
  }

  async close(claim: string): Promise<void> {
    await this.#guide.run('umount', claim);
  }

  async writes(claim: string): Promise<readonly WriteOne[]> {
    const root = this.#pathOf(claim);
    await this.#disk.makeDirectory(`${root}/files`);
    const database = await this.#open(root);
    this.#database = database;
    await database.query('PRAGMA journal_mode = WAL');
    await database.query('PRAGMA synchronous = FULL');
    await database.query('CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, value TEXT)');
    return [() => this.#writeFile(root), () => this.#writeRows(database)];
  }

  /** Also where the writer ended with an error: an open database keeps the volume mounted. */
  async settle(): Promise<void> {
    await this.#database?.close();
    this.#database = undefined;
  }

  describe(): string {
    return describeContent({ files: this.#files, rows: this.#rows });
  }

  rememberSnapshot(): void {
    this.#snapshot = { files: new Map(this.#files), rows: new Map(this.#rows) };
  }

  async overwrite(claim: string): Promise<string> {
    const root = this.#pathOf(claim);
    const names = [...this.#files.keys()];
    for (const [index, name] of names.entries()) {
      if (index % 3 === 0) {
        await this.#disk.remove(`${root}/files/${name}`);
        this.#files.delete(name);
      } else if (index % 3 === 1) {
        await this.#disk.remove(`${root}/files/${name}`);
        await this.#write(root, name);
      }
    }
    await this.#disk.syncDirectory(`${root}/files`);
    const database = await this.#open(root);
    try {
      await database.query('DELETE FROM entry WHERE id % 2 = 0');
      await database.query("UPDATE entry SET value = 'overwritten ' || id WHERE id % 5 = 0");
    } finally {
      await database.close();
    }
    for (const id of [...this.#rows.keys()]) {
      if (id % 2 === 0) this.#rows.delete(id);
      else if (id % 5 === 0) this.#rows.set(id, `overwritten ${id}`);
    }
    return 'a third of the files deleted, a third written anew, half of the rows deleted';
  }

  async verify(claim: string, moment: Moment): Promise<Verification> {
    const root = this.#pathOf(claim);
    const wanted = moment === 'now' ? { files: this.#files, rows: this.#rows } : this.#snapshot;
    const differences = [
      ...(await this.#compareFiles(root, wanted)),
      ...(await this.#compareRows(root, wanted)),
    ];
    return { differences: summarise(differences), compared: describeContent(wanted) };
  }

  #pathOf(claim: string): string {
    return `${this.#guide.clusterPath}/mnt/${claim}`;
  }

  async #open(root: string): Promise<Database> {
    return this.#guide.context.machine.openDatabase(`${root}/entries.sqlite`);
  }

  async #writeFile(root: string): Promise<void> {
    this.#lastFile += 1;
    await this.#write(root, `${String(this.#lastFile).padStart(5, '0')}.bin`);
  }

  async #write(root: string, name: string): Promise<void> {
    const bytes = anyBytes(this.#guide.context.host.rng, FILE_BYTES_MIN, FILE_BYTES_MAX);
    const options = { write: true, create: 'new' } as const;
    const file = await this.#disk.open(`${root}/files/${name}`, options);
    try {
      await file.write(0, bytes);
      await file.flush();
    } finally {
      await file.close();
    }
    await this.#disk.syncDirectory(`${root}/files`);
    this.#files.set(name, { sum: checksum(bytes), sizeBytes: bytes.byteLength });
  }

  async #writeRows(database: Database): Promise<void> {
    const first = this.#rows.size + 1;
    const fresh = Array.from({ length: ROWS_A_TRANSACTION }, (_, index) => {
      const id = first + index;
      return { id, value: checksum(new TextEncoder().encode(`entry ${id}`)) };
    });
    const values = fresh.map(({ id, value }) => `(${id}, '${value}')`).join(', ');
    await database.query(`INSERT INTO entry (id, value) VALUES ${values}`);
    for (const { id, value } of fresh) this.#rows.set(id, value);
  }

  async #compareFiles(root: string, wanted: Content): Promise<string[]> {
    const differences: string[] = [];
    for (const name of await this.#disk.list(`${root}/files`)) {
      if (!wanted.files.has(name)) differences.push(`files/${name} should not be there`);
    }
    for (const [name, { sum, sizeBytes }] of wanted.files) {
      const bytes = await readWholeFile(this.#disk, `${root}/files/${name}`);
      if (bytes === undefined) differences.push(`files/${name} is missing`);
      else if (bytes.byteLength !== sizeBytes) {
        differences.push(`files/${name} has ${bytes.byteLength} bytes instead of ${sizeBytes}`);
      } else if (checksum(bytes) !== sum) differences.push(`files/${name} has another checksum`);
    }
    return differences;
  }

  async #compareRows(root: string, wanted: Content): Promise<string[]> {
    const database = await this.#open(root);
    try {
      const integrity = await database.query('PRAGMA integrity_check');
      const verdict = String(integrity[0]?.['integrity_check']);
      const differences = verdict === 'ok' ? [] : [`entries.sqlite: ${verdict}`];
      const rows = await database.query('SELECT id, value FROM entry');
      if (rows.length !== wanted.rows.size) {
        differences.push(`entries.sqlite has ${rows.length} rows instead of ${wanted.rows.size}`);
      }
      for (const { id, value } of rows) {
        if (wanted.rows.get(Number(id)) === value) continue;
        differences.push(`entries.sqlite: row ${String(id)} has another value`);
      }
      return differences;
    } finally {
      await database.close();
    }
  }
}

/** Every node has a replica, so each of them will do. */
function mountManifest(claim: string, path: string): string {
  return `apiVersion: holdfast.dev/v1alpha1
kind: Mount
metadata: { name: ${claim} }
spec:
  claimName: ${claim}
  nodeName: node-1
  path: ${path}
`;
}

function describeContent({ files, rows }: Content): string {
  let sizeBytes = 0;
  for (const file of files.values()) sizeBytes += file.sizeBytes;
  return `${files.size} files of ${formatBytes(sizeBytes)}, a database of ${rows.size} rows`;
}

export function summarise(differences: readonly string[]): Differences {
  const more = differences.length - SHOWN_MAX;
  return more <= 0
    ? differences
    : [...differences.slice(0, SHOWN_MAX), `and ${more} more differences`];
}
