/**
 * Commands in the documents that users follow are transcripts, which test/root runs; or they say
 * why nobody runs them.
 */
import { type Block, type Mark, parseBlocks } from '../transcripts/document-blocks.ts';
import { VARYING } from '../transcripts/transcript-steps.ts';
import type { Finding, Tree } from './tree.ts';

const PAGE = /^(?:README\.md|docs\/operating\/[^/]+\.md)$/;
const COMMAND = /^\s*(?:\$ |(?:bin\/)?holdfast |npm (?:start|test|run)\b|kubectl |kill )/;
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  transcript: ['transcript', 'varies', 'until'],
  file: ['file', 'of'],
  'not run': ['not run'],
};

export function checkTranscripts(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const [path, text] of tree) {
    if (!PAGE.test(path)) continue;
    const { blocks, stray } = parseBlocks(text);
    const known = new Set(blocks.flatMap(({ mark }) => mark?.fields.get('transcript') ?? []));
    for (const block of blocks) {
      const message = checkBlock(block, known);
      if (message !== undefined) findings.push({ path, line: block.line, message });
    }
    for (const { kind, line } of stray) {
      findings.push({ path, line, message: `No block below the mark "${kind}"` });
    }
  }
  return findings;
}

function checkBlock({ mark, lines }: Block, scenarios: ReadonlySet<string>): string | undefined {
  const hasCommand = lines.some((line) => COMMAND.test(line));
  if (mark === undefined) {
    return hasCommand
      ? 'Commands without a mark: <!-- transcript: NAME --> or <!-- not run: REASON -->'
      : undefined;
  }
  const strange = [...mark.fields.keys()].find((name) => !FIELDS[mark.kind]?.includes(name));
  if (strange !== undefined) return `"${strange}" is no field of the mark "${mark.kind}"`;
  if (!mark.fields.get(mark.kind)) return `The mark "${mark.kind}" says nothing`;
  if (mark.kind === 'file') return checkFile(mark, scenarios);
  return mark.kind === 'transcript' ? checkTranscript(mark, lines) : undefined;
}

function checkFile({ fields }: Mark, scenarios: ReadonlySet<string>): string | undefined {
  const scenario = fields.get('of') ?? '';
  return scenarios.has(scenario) ? undefined : `No transcript of this page is of "${scenario}"`;
}

function checkTranscript({ fields }: Mark, lines: readonly string[]): string | undefined {
  if (lines[0]?.startsWith('$ ') !== true) return 'A transcript begins with "$ " and a command';
  const varies = fields.get('varies')?.split(',') ?? [];
  const unknown = varies.find((word) => !VARYING.some((each) => each === word.trim()));
  return unknown === undefined
    ? undefined
    : `"${unknown.trim()}" does not vary: use ${VARYING.join(', ')}`;
}
