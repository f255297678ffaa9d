/** Writes until it is killed; prints each name after it was acknowledged. */
import { writeSync } from 'node:fs';
import { NodeDatabases } from '#host/node/mod.ts';
import { openSqliteStore } from './mod.ts';

const path = process.argv[2] ?? '';
const store = openSqliteStore({ databases: new NodeDatabases(), path, wallMs: () => 0 });
for (;;) {
  const name = `w${store.version}`;
  const key = { resource: '/configmaps', namespace: 'default', name };
  store.transact((transaction) => transaction.put(key, { metadata: { ...key } }));
  writeSync(1, `${name}\n`);
}
