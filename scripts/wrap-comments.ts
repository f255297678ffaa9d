/**
 * Wraps comments that are wider than 100 columns, which the formatter leaves alone.
 *
 *   node scripts/bootstrap.cjs scripts/wrap-comments.ts [FILE or FOLDER]...
 *
 * The rest of a line moves to the front of the next one of the same paragraph. Comments behind
 * code stay: where one of those is too wide, it belongs above the code.
 */
import { globSync, readFileSync, statSync, writeFileSync } from 'node:fs';

const COLUMNS_MAX = 100;
/** Indentation and mark, then text. */
const COMMENT = /^(\s*(?:\*|\/\/) )(\S.*)$/;
const ONE_LINE_BLOCK = /^(\s*)\/\*\* (.*) \*\/$/;
/** A list item, table row, code fence or drawing begins something of its own. */
const ITEM = /^(?:[-*]|\d+[.)]) +/;
const OWN_LINE = /^(?:[-*|`+@]|\d+[.)] |\S+ {2,})/;

export function wrapComments(text: string): string {
  const input = text.split('\n');
  const output: string[] = [];
  for (let index = 0; index < input.length; index++) {
    const line = input[index] ?? '';
    if (line.length <= COLUMNS_MAX) {
      output.push(line);
      continue;
    }
    const block = ONE_LINE_BLOCK.exec(line);
    if (block !== null) {
      const indent = block[1] ?? '';
      output.push(`${indent}/**`);
      input.splice(index, 1, '', `${indent} * ${block[2] ?? ''}`, `${indent} */`);
      continue;
    }
    const comment = COMMENT.exec(line);
    const prefix = comment?.[1] ?? '';
    const cut = line.lastIndexOf(' ', COLUMNS_MAX);
    if (comment === null || cut <= prefix.length) {
      output.push(line);
      continue;
    }
    output.push(line.slice(0, cut).trimEnd());
    const rest = line.slice(cut + 1);
    const next = COMMENT.exec(input[index + 1] ?? '');
    // The text of an item is indented: what follows it then lines up below its first word.
    const hanging = prefix + ' '.repeat(ITEM.exec(comment[2] ?? '')?.[0].length ?? 0);
    if (next !== null && next[1] === prefix && !OWN_LINE.test(next[2] ?? '')) {
      input[index + 1] = `${prefix}${rest} ${next[2] ?? ''}`;
    } else {
      input.splice(index + 1, 0, hanging + rest);
    }
  }
  return output.join('\n');
}

function filesOf(paths: readonly string[]): string[] {
  return paths.flatMap((path) =>
    statSync(path).isDirectory() ? globSync(`${path}/**/*.ts`) : [path],
  );
}

if (import.meta.main) {
  const named = process.argv.slice(2);
  for (const path of filesOf(named.length > 0 ? named : ['src', 'test', 'scripts'])) {
    const before = readFileSync(path, 'utf8');
    const after = wrapComments(before);
    if (after === before) continue;
    writeFileSync(path, after);
    console.log(`wrapped ${path}`);
  }
}
