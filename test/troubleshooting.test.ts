/** The page of troubles has a line for each that is planted, which its first line would match. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { SILENCES, TROUBLE_GROUPS } from './root/trouble-table.testkit.ts';

const PAGE = join(import.meta.dirname, '../docs/operating/troubleshooting.md');
const HEAD = '| symptom | first line names | remedy |';

interface Row {
  readonly symptom: string;
  readonly line: string;
  readonly remedy: string;
}

interface Planted {
  readonly symptom: string;
  readonly cause: RegExp;
  readonly remedy: RegExp;
  /** What the first line begins with. */
  readonly begin: string;
}

const PLANTED: readonly Planted[] = [
  ...TROUBLE_GROUPS.flatMap(({ troubles }) =>
    troubles.map((trouble) => ({ ...trouble, begin: `${trouble.link} ` })),
  ),
  ...SILENCES.map((silence) => ({ ...silence, begin: 'error: ' })),
];

function readRows(text: string): Row[] {
  const table = text.slice(text.indexOf(HEAD)).split('\n\n', 1)[0] ?? '';
  return table
    .split('\n')
    .slice(2)
    .map((row) => row.split(' | '))
    .map(([symptom = '', line = '', remedy = '']) => ({
      symptom: symptom.replace(/^\| /, ''),
      line: line.replaceAll('`', ''),
      remedy: remedy.replace(/ \|$/, ''),
    }));
}

/** What the page and the table say differently; empty when they agree. */
function differences(text: string): string[] {
  const rows = new Map(readRows(text).map((row) => [row.symptom, row]));
  const found = PLANTED.flatMap(({ symptom, cause, remedy, begin }) => {
    const row = rows.get(symptom);
    rows.delete(symptom);
    if (row === undefined) return [`not on the page: ${symptom}`];
    const isSame = row.line.startsWith(begin) && cause.test(row.line);
    const isHelped = remedy.test(`${row.line} ${row.remedy.replaceAll('`', '')}`);
    return [
      ...(isSame ? [] : [`another cause: ${symptom}`]),
      ...(isHelped ? [] : [`another remedy: ${symptom}`]),
    ];
  });
  return [...found, ...[...rows.keys()].map((symptom) => `never planted: ${symptom}`)];
}

describe('The page of troubles', () => {
  const text = readFileSync(PAGE, 'utf8');

  test('It and the troubles that are planted say the same', () => {
    assert.deepEqual(differences(text), []);
  });

  test('There are at least 25, each once', () => {
    const names = PLANTED.map(({ symptom }) => symptom);
    assert.ok(names.length >= 25, `${names.length}`);
    assert.equal(new Set(names).size, names.length);
  });

  test('What differs is found, both ways', () => {
    const gone = text.replace(/^\| claim Lost: its Persistent.*\n/m, '');
    assert.deepEqual(differences(gone), [
      'not on the page: claim Lost: its PersistentVolume is gone',
    ]);
    const row = '| disk on fire | `pool p: Burning` | water |';
    const more = text.replace(`${HEAD}\n|---|---|---|\n`, `$&${row}\n`);
    assert.deepEqual(differences(more), ['never planted: disk on fire']);
    const wrong = text.replace('There is no StorageClass missing', 'It is late');
    assert.deepEqual(differences(wrong), [
      'another cause: claim Pending: its class does not exist',
    ]);
  });
});
