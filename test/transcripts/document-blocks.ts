/**
 * Code blocks of a document, and the marks that stand above some of them:
 *
 *     <!-- transcript: NAME; varies: nodes, sizes; until: TEXT -->   ran, and printed what is below
 *     <!-- file: PATH; of: NAME -->                                  a file that NAME finds
 *     <!-- not run: REASON -->                                       commands that nobody runs
 *
 * A block is fenced, or indented by four spaces below an empty line.
 */

export interface Mark {
  /** The first word: `transcript`, `file`, `not run`. */
  readonly kind: string;
  readonly fields: ReadonlyMap<string, string>;
  /** 1 is the first line of the document. */
  readonly line: number;
}

export interface Block {
  readonly mark: Mark | undefined;
  /** Of the first line of its contents. */
  readonly line: number;
  readonly lines: readonly string[];
  readonly isFenced: boolean;
}

export interface DocumentBlocks {
  readonly blocks: readonly Block[];
  /** Marks with no block below. */
  readonly stray: readonly Mark[];
}

const MARK = /^<!-- ((?:transcript|file|not run)\b.*?) -->$/;
const FENCE = /^```/;
const INDENT = '    ';

export function parseBlocks(text: string): DocumentBlocks {
  const lines = text.split('\n');
  const blocks: Block[] = [];
  const stray: Mark[] = [];
  let mark: Mark | undefined;
  let at = 0;
  while (at < lines.length) {
    const line = lines[at] ?? '';
    const words = MARK.exec(line)?.[1];
    const isIndented = line.startsWith(INDENT) && (lines[at - 1] ?? '') === '';
    if (FENCE.test(line) || isIndented) {
      const from = isIndented ? at : at + 1;
      const end = isIndented ? endOfIndented(lines, from) : endOfFenced(lines, from);
      const cut = isIndented ? INDENT.length : 0;
      const content = lines.slice(from, end).map((each) => each.slice(cut));
      blocks.push({ mark, line: from + 1, lines: content, isFenced: !isIndented });
      mark = undefined;
      at = isIndented ? end : end + 1;
    } else {
      if (mark !== undefined && line !== '') {
        stray.push(mark);
        mark = undefined;
      }
      if (words !== undefined) mark = parseMark(words, at + 1);
      at += 1;
    }
  }
  if (mark !== undefined) stray.push(mark);
  return { blocks, stray };
}

function endOfFenced(lines: readonly string[], from: number): number {
  const end = lines.findIndex((line, index) => index >= from && FENCE.test(line));
  return end === -1 ? lines.length : end;
}

function endOfIndented(lines: readonly string[], from: number): number {
  let end = from;
  for (let at = from; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    if (line.startsWith(INDENT)) end = at + 1;
    else if (line !== '') break;
  }
  return end;
}

function parseMark(words: string, line: number): Mark {
  const fields = new Map<string, string>();
  for (const part of words.split(';')) {
    const [name = '', ...value] = part.split(':');
    fields.set(name.trim(), value.join(':').trim());
  }
  return { kind: [...fields.keys()][0] ?? '', fields, line };
}
