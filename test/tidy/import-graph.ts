/** Which file imports which, read from the text. */
import { posix } from 'node:path';
import { blank } from './source-text.ts';
import { lineOf, type Tree } from './tree.ts';

export interface Import {
  /** The importing file. */
  readonly from: string;
  readonly line: number;
  /** As written. */
  readonly specifier: string;
  /** The file meant, relative to the root; undefined for packages and `node:` modules. */
  readonly target: string | undefined;
  /** `import type` and `export type`: gone at run time. */
  readonly typeOnly: boolean;
}

/**
 * Clauses in front of `from` hold names, braces, commas and stars only: no quotes, no semicolon.
 */
const STATEMENT =
  /\b(import|export)\b(\s+type\b(?!\s*from\b))?\s*(?:[\w$*{}\s,]*?\bfrom\s*)?'([^'\n]+)'/g;
const DYNAMIC = /\bimport\(\s*'([^'\n]+)'\s*\)/g;
/** Workers and children are named by a path relative to the module. */
const NAMED_BY_URL = /\bnew URL\(\s*'(\.[^'\n]+)'\s*,\s*import\.meta\.url\s*\)/g;

export function importsOf(path: string, text: string): Import[] {
  const { withStrings: source, codeOnly } = blank(text);
  const found: Import[] = [];
  const add = (index: number, specifier: string, typeOnly: boolean): void => {
    // An import inside a string, as in tests of these rules, is no import.
    if (codeOnly[index] === ' ') return;
    const line = lineOf(text, index);
    found.push({ from: path, line, specifier, target: resolve(path, specifier), typeOnly });
  };
  for (const match of source.matchAll(STATEMENT)) {
    add(match.index, match[3] ?? '', match[2] !== undefined);
  }
  for (const match of source.matchAll(DYNAMIC)) add(match.index, match[1] ?? '', false);
  return found;
}

export function importsOfTree(tree: Tree): Import[] {
  const all: Import[] = [];
  for (const [path, text] of tree) if (path.endsWith('.ts')) all.push(...importsOf(path, text));
  return all;
}

/** Files that `text` starts as a worker or a child. */
export function entriesNamedBy(path: string, text: string): string[] {
  const source = blank(text).withStrings;
  return [...source.matchAll(NAMED_BY_URL)].map((match) => resolve(path, match[1] ?? '') ?? '');
}

function resolve(path: string, specifier: string): string | undefined {
  if (specifier.startsWith('#')) return `src/${specifier.slice(1)}`;
  if (!specifier.startsWith('.')) return undefined;
  return posix.join(posix.dirname(path), specifier);
}
