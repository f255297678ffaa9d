/** Commands of a document with what they printed, and the files that they find. */
import { type Block, parseBlocks } from './document-blocks.ts';

/** What may differ from run to run, besides what always does (see mask-output.ts). */
export const VARYING = ['nodes', 'sizes', 'order'] as const;
export type Varying = (typeof VARYING)[number];

export interface Step {
  /** Of its `$`; 1 is the first line of the document. */
  readonly line: number;
  /** As typed; below a line that ends in a backslash stands the next one, behind `> `. */
  readonly command: string;
  /** Of the first line that it printed, or where that would be. */
  readonly outputLine: number;
  readonly output: readonly string[];
}

export interface Transcript {
  readonly path: string;
  readonly line: number;
  /** Transcripts of one scenario run in one shell, in the order of the documents. */
  readonly scenario: string;
  readonly varies: readonly Varying[];
  /** It stays in the foreground, in a terminal of its own, and has printed all with this text. */
  readonly until: string | undefined;
  readonly steps: readonly Step[];
}

export interface SampleFile {
  readonly name: string;
  readonly scenario: string;
  readonly text: string;
}

export interface DocumentTranscripts {
  readonly transcripts: readonly Transcript[];
  readonly files: readonly SampleFile[];
}

export function parseTranscripts(path: string, text: string): DocumentTranscripts {
  const transcripts: Transcript[] = [];
  const files: SampleFile[] = [];
  for (const block of parseBlocks(text).blocks) {
    const { mark } = block;
    if (mark?.kind === 'transcript') {
      transcripts.push({
        path,
        line: mark.line,
        scenario: mark.fields.get('transcript') ?? '',
        varies: variesOf(mark.fields.get('varies')),
        until: mark.fields.get('until'),
        steps: stepsOf(block),
      });
    } else if (mark?.kind === 'file') {
      files.push({
        name: mark.fields.get('file') ?? '',
        scenario: mark.fields.get('of') ?? '',
        text: block.lines.map((line) => `${line}\n`).join(''),
      });
    }
  }
  return { transcripts, files };
}

export function variesOf(text: string | undefined): Varying[] {
  const words = (text ?? '').split(',').map((word) => word.trim());
  return VARYING.filter((each) => words.includes(each));
}

function stepsOf({ line, lines }: Block): Step[] {
  const steps: Step[] = [];
  let at = 0;
  while (at < lines.length) {
    const first = lines[at] ?? '';
    if (!first.startsWith('$ ')) {
      throw new Error(`Line ${line + at} is the output of no command: ${first}`);
    }
    const command = [first.slice(2)];
    let next = at + 1;
    while (command.at(-1)?.endsWith('\\') === true && lines[next]?.startsWith('> ') === true) {
      command.push((lines[next] ?? '').slice(2));
      next += 1;
    }
    const outputAt = next;
    while (next < lines.length && lines[next]?.startsWith('$ ') !== true) next += 1;
    steps.push({
      line: line + at,
      command: command.join('\n'),
      outputLine: line + outputAt,
      output: lines.slice(outputAt, next),
    });
    at = next;
  }
  return steps;
}
