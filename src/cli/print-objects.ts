/** Objects and reports as a table, JSON, YAML or names. */
import type { AnyObject, KindName } from '#api/kinds/mod.ts';
import { KINDS } from '#api/kinds/mod.ts';
import { stringify } from 'yaml';
import type { OBJECT_FORMS } from './cli-command.ts';
import type { CliContext } from './context.ts';
import { COLUMNS } from './object-columns.ts';
import type { Column } from './object-columns.ts';
import { columnWidths, formatRow } from './text-table.ts';

export type ObjectForm = (typeof OBJECT_FORMS)[number];

/** As a value for programs, else in lines for people. */
export function printReport(
  context: CliContext,
  output: string | undefined,
  value: unknown,
  lines: () => readonly string[],
): void {
  if (output === 'json') context.out(JSON.stringify(value, null, 2));
  else if (output === 'yaml') context.out(stringify(value).trimEnd());
  else for (const line of lines()) context.out(line);
}

/** Prints objects of one kind, and later ones below them in the same columns. */
export class ObjectPrinter {
  readonly #context: CliContext;
  readonly #kind: KindName;
  readonly #form: ObjectForm;
  readonly #withNamespace: boolean;
  #widths: readonly number[] = [];

  constructor(context: CliContext, kind: KindName, form: ObjectForm, ofAllNamespaces: boolean) {
    this.#context = context;
    this.#kind = kind;
    this.#form = form;
    this.#withNamespace = KINDS[kind].isNamespaced && ofAllNamespaces;
  }

  all(objects: readonly AnyObject[], isSingle: boolean): void {
    switch (this.#form) {
      case 'json':
      case 'yaml': {
        const list = { apiVersion: 'v1', kind: 'List', items: objects };
        printReport(this.#context, this.#form, isSingle ? objects[0] : list, () => []);
        return;
      }
      case 'name':
        for (const object of objects) this.one(object);
        return;
      case 'table':
      case 'wide':
        this.#table(objects);
    }
  }

  /** One more. */
  one(object: AnyObject): void {
    switch (this.#form) {
      case 'json':
        this.#context.out(JSON.stringify(object));
        return;
      case 'yaml':
        this.#context.out(`---\n${stringify(object).trimEnd()}`);
        return;
      case 'name':
        this.#context.out(`${KINDS[this.#kind].plural}/${object.metadata.name}`);
        return;
      case 'table':
      case 'wide':
        if (this.#widths.length === 0) this.#table([object]);
        else this.#context.out(formatRow(this.#cells(object), this.#widths));
    }
  }

  #table(objects: readonly AnyObject[]): void {
    if (objects.length === 0) {
      this.#context.err(`No ${KINDS[this.#kind].plural} found.`);
      return;
    }
    const heads = this.#columns().map((column) => column.head);
    const rows = [
      this.#withNamespace ? ['NAMESPACE', ...heads] : heads,
      ...objects.map((object) => this.#cells(object)),
    ];
    this.#widths = columnWidths(rows);
    this.#context.out(rows.map((row) => formatRow(row, this.#widths)).join('\n'));
  }

  #columns(): readonly Column[] {
    return COLUMNS[this.#kind].filter((each) => this.#form === 'wide' || each.isWide !== true);
  }

  #cells(object: AnyObject): readonly string[] {
    const nowMs = this.#context.host.clock.wallMs();
    const cells = this.#columns().map((column) => column.cell(object, nowMs));
    return this.#withNamespace ? [object.metadata.namespace ?? '', ...cells] : cells;
  }
}
