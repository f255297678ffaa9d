/** A transcript against what its commands print now, and the document with that in it. */
import { maskLine, maskOutput } from './mask-output.ts';
import type { Step, Transcript } from './transcript-steps.ts';

export interface Difference {
  readonly path: string;
  /** Of the line that is wrong in the document. */
  readonly line: number;
  readonly command: string;
  /** Undefined where the document has a line too few. */
  readonly documented: string | undefined;
  /** Undefined where the document has a line too many. */
  readonly printed: string | undefined;
}

/** What a step printed now, line by line, in the order of the steps. */
export type Printed = readonly (readonly string[])[];

/** The first difference of each step. */
export function compareTranscript(transcript: Transcript, printed: Printed): Difference[] {
  return transcript.steps.flatMap((step, index) => {
    const found = compareStep(transcript, step, printed[index] ?? []);
    return found === undefined ? [] : [found];
  });
}

function compareStep(
  { path, varies }: Transcript,
  step: Step,
  printed: readonly string[],
): Difference | undefined {
  const wanted = maskOutput(step.output, varies);
  const got = maskOutput(printed, varies);
  const at = firstDifference(wanted, got);
  if (at === undefined) return undefined;
  const isSorted = varies.includes('order');
  const index = isSorted ? indexOfMasked(step.output, wanted[at], got, varies) : at;
  return {
    path,
    line: step.outputLine + Math.min(index, step.output.length),
    command: step.command,
    documented: isSorted ? step.output[index] : step.output[at],
    printed: isSorted ? got[at] : printed[at],
  };
}

function firstDifference(a: readonly string[], b: readonly string[]): number | undefined {
  const length = Math.max(a.length, b.length);
  for (let at = 0; at < length; at += 1) if (a[at] !== b[at]) return at;
  return undefined;
}

/** Of a documented line that was not printed; else behind the last one. */
function indexOfMasked(
  output: readonly string[],
  wanted: string | undefined,
  got: readonly string[],
  varies: Transcript['varies'],
): number {
  const masked = output.map((line) => maskLine(line, varies));
  const absent = masked.findIndex((line) => !got.includes(line));
  if (absent !== -1) return absent;
  return wanted === undefined ? output.length : masked.indexOf(wanted);
}

export function formatDifference(difference: Difference): string {
  const { path, line, command, documented, printed } = difference;
  const show = (text: string | undefined): string => (text === undefined ? '(nothing)' : text);
  return [
    `${path}:${line}: $ ${command}`,
    `  documented: ${show(documented)}`,
    `  printed:    ${show(printed)}`,
  ].join('\n');
}

export interface Replayed {
  readonly transcript: Transcript;
  readonly printed: Printed;
}

/**
 * The document with what was printed in place of what differs. A step that is equal once masked
 * keeps its text, so that a document that is right does not change.
 */
export function rewriteDocument(text: string, replayed: readonly Replayed[]): string {
  const lines = text.split('\n');
  const edits = replayed.flatMap(({ transcript, printed }) =>
    transcript.steps.flatMap((step, index) => {
      const fresh = printed[index] ?? [];
      return compareStep(transcript, step, fresh) === undefined ? [] : [{ step, fresh }];
    }),
  );
  // From the end, so that the lines above keep their numbers.
  for (const { step, fresh } of edits.toSorted((a, b) => b.step.line - a.step.line)) {
    lines.splice(step.outputLine - 1, step.output.length, ...fresh);
  }
  return lines.join('\n');
}
