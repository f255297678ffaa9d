import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type JsonObject, findResource } from './mod.ts';

/** What a real kube-apiserver 1.36.3 prints. */
interface Table {
  readonly group: string;
  readonly plural: string;
  readonly columns: readonly {
    readonly name: string;
    readonly type: string;
    readonly format: string;
    readonly priority: number;
  }[];
  readonly rows: readonly { readonly cells: readonly unknown[]; readonly object: JsonObject }[];
}

const TABLES = JSON.parse(
  readFileSync(join(import.meta.dirname, 'testdata', 'tables.json'), 'utf8'),
) as readonly Table[];

/** Ages depend on when one asks. */
const AGES = new Set(['Age', 'Last Seen', 'First Seen']);

describe('Columns of built-in kinds', () => {
  for (const { columns, group, plural, rows } of TABLES) {
    const resource = findResource(group, 'v1', plural) ?? assert.fail(plural);

    test(`${group}/${plural} has the columns of Kubernetes`, () => {
      const own = resource.columns.map(({ name, type, format = '', priority }) => ({
        name,
        type,
        format,
        priority,
      }));
      assert.deepEqual(own, columns);
    });

    test(`${group}/${plural} prints what Kubernetes prints`, () => {
      assert.ok(rows.length > 0);
      for (const { cells, object } of rows) {
        resource.columns.forEach((column, index) => {
          const cell = column.cell?.(object, 1_800_000_000_000);
          const expected = cells[index];
          if (!AGES.has(column.name)) assert.deepEqual(cell, expected, column.name);
          else assert.equal(cell === '<unknown>', expected === '<unknown>', column.name);
        });
      }
    });
  }
});
