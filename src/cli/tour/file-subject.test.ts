import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import type { CliContext, Database } from '../context.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { FileSubject } from './file-subject.ts';
import { Guide } from './guide.ts';

const path = mkdtempSync(`${tmpdir()}/hf-tour-files-`);
const root = `${path}/mnt/demo`;
after(() => rmSync(path, { recursive: true }));

function openDatabase(file: string): Promise<Database> {
  const database = new DatabaseSync(file);
  return Promise.resolve({
    query: async (sql) => database.prepare(sql).all(),
    close: async () => database.close(),
  });
}

/** The parts that a subject uses of its context, on a plain directory. */
async function writtenSubject(): Promise<FileSubject> {
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root, { recursive: true });
  const host = createNodeHost({ logLevel: 'silent' });
  const machine = { openDatabase } as unknown as CliContext['machine'];
  const context = { host, machine, out: () => {} } as unknown as CliContext;
  const subject = new FileSubject(new Guide(context, path, new AbortController().signal));
  const writes = await subject.writes('demo');
  for (let round = 0; round < 6; round += 1) for (const write of writes) await write();
  await subject.settle();
  subject.rememberSnapshot();
  return subject;
}

async function differencesAfter(damage: () => void): Promise<readonly string[]> {
  const subject = await writtenSubject();
  assert.deepEqual((await subject.verify('demo', 'now')).differences, []);
  damage();
  return (await subject.verify('demo', 'now')).differences;
}

test('A flipped bit, a missing and a foreign file are each told by name', async () => {
  const differences = await differencesAfter(() => {
    const bytes = readFileSync(`${root}/files/00002.bin`);
    bytes[bytes.byteLength - 1]! ^= 1;
    writeFileSync(`${root}/files/00002.bin`, bytes);
    unlinkSync(`${root}/files/00003.bin`);
    writeFileSync(`${root}/files/00004.bin`, '');
    writeFileSync(`${root}/files/stranger`, 'x');
  });
  assert.match(differences[0] ?? '', /^files\/stranger should not be there/);
  assert.match(differences[1] ?? '', /^files\/00002\.bin has another checksum/);
  assert.match(differences[2] ?? '', /^files\/00003\.bin is missing/);
  assert.match(differences[3] ?? '', /^files\/00004\.bin has 0 bytes instead of \d+/);
  assert.equal(differences.length, 4);
});

test('A row that is gone and one that was changed are told', async () => {
  const differences = await differencesAfter(() => {
    const database = new DatabaseSync(`${root}/entries.sqlite`);
    database.exec('DELETE FROM entry WHERE id = 7');
    database.exec("UPDATE entry SET value = 'other' WHERE id = 9");
    database.close();
  });
  assert.deepEqual(differences, [
    'entries.sqlite has 59 rows instead of 60',
    'entries.sqlite: row 9 has another value',
  ]);
});

test('After the overwrite the snapshot differs, and what is there is as it was left', async () => {
  const subject = await writtenSubject();
  await subject.overwrite('demo');
  assert.deepEqual((await subject.verify('demo', 'now')).differences, []);
  assert.notDeepEqual((await subject.verify('demo', 'snapshot')).differences, []);
});
