import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, test, type TestContext } from 'node:test';
import { DatabaseSync } from 'node:sqlite';
import { HoldfastError } from '#api/mod.ts';
import { NodeDatabases } from '#host/node/mod.ts';
import { MemoryStore, openSqliteStore, type ObjectStore } from './mod.ts';

const LIMITS = { changesMax: 10, ageMsMax: 1_000 };
const RESOURCE = '/configmaps';

function key(name: string) {
  return { resource: RESOURCE, namespace: 'default', name };
}

function put(store: ObjectStore, name: string, value = 0) {
  const object = { metadata: { namespace: 'default', name }, value };
  return store.transact((transaction) => transaction.put(key(name), object));
}

function openFile(path: string): ObjectStore {
  const databases = new NodeDatabases();
  return openSqliteStore({ databases, path, wallMs: () => 0, history: LIMITS });
}

function scratch(t: TestContext): string {
  const directory = mkdtempSync(`${tmpdir()}/holdfast-store-`);
  t.after(() => rmSync(directory, { recursive: true }));
  return `${directory}/objects.db`;
}

function refused(action: () => unknown, code: string): void {
  assert.throws(action, (error) => HoldfastError.is(error) && error.code === code);
}

const KINDS: Record<string, (t: TestContext) => ObjectStore> = {
  MemoryStore: () => new MemoryStore({ wallMs: () => 0, history: LIMITS }),
  SqliteStore: (t) => openFile(scratch(t)),
};

for (const [name, open] of Object.entries(KINDS)) {
  describe(name, () => {
    test('a put gives the next version, a delete one of its own', (t) => {
      const store = open(t);
      t.after(() => store.close());
      const first = put(store, 'a') as { metadata: { resourceVersion: string } };
      assert.equal(first.metadata.resourceVersion, '1');
      store.transact((transaction) => transaction.delete(key('a')));
      assert.equal(store.version, 2);
      assert.equal(store.find(key('a')), undefined);
      assert.equal(store.changeAfter(1)?.after, undefined);
    });

    test('a transaction that throws leaves no trace', (t) => {
      const store = open(t);
      t.after(() => store.close());
      put(store, 'a', 1);
      const before = store.find(key('a'));
      assert.throws(() =>
        store.transact((transaction) => {
          transaction.put(key('a'), { metadata: { name: 'a' }, value: 2 });
          transaction.put(key('b'), { metadata: { name: 'b' } });
          throw new Error('planted');
        }),
      );
      assert.deepEqual(store.find(key('a')), before);
      assert.equal(store.find(key('b')), undefined);
      assert.equal(store.version, 1);
      assert.equal(store.changeAfter(1), undefined);
    });

    test('old changes are cut, those that are left are told in order', (t) => {
      const store = open(t);
      t.after(() => store.close());
      for (let n = 0; n < 30; n += 1) put(store, `o${n % 3}`, n);
      assert.ok(store.compactedVersion >= 18 && store.compactedVersion <= 20);
      assert.equal(store.changeAfter(store.compactedVersion)?.version, store.compactedVersion + 1);
      assert.equal(store.list(RESOURCE, 'default').length, 3);
    });
  });
}

describe('SqliteStore', () => {
  test('what was there is there after it was opened again, with higher versions', (t) => {
    const path = scratch(t);
    const store = openFile(path);
    put(store, 'a', 7);
    put(store, 'b');
    store.transact((transaction) => transaction.delete(key('b')));
    store.close();
    const again = openFile(path);
    t.after(() => again.close());
    assert.equal((again.find(key('a')) as { value?: number } | undefined)?.value, 7);
    assert.equal(again.version, 3);
    assert.equal(again.changeAfter(2)?.version, 3);
    put(again, 'c');
    assert.equal(again.version, 4);
  });

  test('a locked, a damaged, a foreign and a newer file are refused', (t) => {
    const path = scratch(t);
    const store = openFile(path);
    refused(() => openFile(path), 'store-locked');
    store.close();
    const raw = new DatabaseSync(path);
    raw.exec('PRAGMA user_version = 99');
    raw.close();
    refused(() => openFile(path), 'store-newer-format');
    const foreign = scratch(t);
    const other = new DatabaseSync(foreign);
    other.exec('CREATE TABLE t (a)');
    other.close();
    refused(() => openFile(foreign), 'store-foreign');
    const damaged = scratch(t);
    writeFileSync(damaged, 'no database at all, but longer than a header '.repeat(100));
    refused(() => openFile(damaged), 'store-corrupt');
  });

  test('after kill -9 everything that was acknowledged is there', async (t) => {
    const path = scratch(t);
    const writer = new URL('./store-writer.testkit.ts', import.meta.url).pathname;
    for (let round = 0; round < 3; round += 1) {
      const child = spawn(process.execPath, [writer, path], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let text = '';
      for await (const chunk of child.stdout) {
        text += String(chunk);
        if (text.split('\n').length > 40) child.kill('SIGKILL');
      }
      const acknowledged = text.split('\n').slice(0, -1);
      assert.ok(acknowledged.length >= 40);
      const store = openFile(path);
      for (const name of acknowledged) assert.ok(store.find(key(name)), name);
      store.close();
    }
  });
});
