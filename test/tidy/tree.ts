/**
 * The repository as tidy sees it: paths relative to the root, with their text.
 *
 * Rules are pure functions over a `Tree`, so that each can be proved on a small tree made in
 * memory that contains one planted violation.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export type Tree = ReadonlyMap<string, string>;

export interface Finding {
  readonly path: string;
  /** 1 is the first line; absent when the finding is about the file itself. */
  readonly line?: number;
  readonly message: string;
}

export type Rule = (tree: Tree) => Finding[];

const SKIPPED_FOLDERS = new Set(['.git', '.toolchain', '.holdfast', 'node_modules', 'tmp']);

/** Reads every text file below `root`; a file with a NUL byte is present with empty text. */
export function readTree(root: string): Tree {
  const files = new Map<string, string>();
  const visit = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!SKIPPED_FOLDERS.has(entry.name)) visit(path);
      } else if (entry.isFile()) {
        const text = readFileSync(join(root, path), 'utf8');
        files.set(path, text.includes('\0') ? '' : text);
      }
    }
  };
  visit('');
  return files;
}

export function treeOf(files: Readonly<Record<string, string>>): Tree {
  return new Map(Object.entries(files));
}

export function formatFinding(finding: Finding): string {
  const place = finding.line === undefined ? finding.path : `${finding.path}:${finding.line}`;
  return `${place}: ${finding.message}`;
}

/** The line, counted from 1, that holds the character at `index`. */
export function lineOf(text: string, index: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at !== -1 && at < index; at = text.indexOf('\n', at + 1)) {
    line++;
  }
  return line;
}

/** A unit test, or what tests share: product code never imports either. */
export function isTestFile(path: string): boolean {
  return path.startsWith('test/') || path.endsWith('.test.ts') || path.endsWith('.testkit.ts');
}
