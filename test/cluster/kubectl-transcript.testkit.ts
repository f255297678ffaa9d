/** What a script printed, as one text: recorded/transcript.txt is the real server's. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KubectlResult } from './kubectl-runner.testkit.ts';
import type { KubectlCommand } from './kubectl-script.testkit.ts';
import { mask } from './masking.testkit.ts';

const PATH = join(import.meta.dirname, 'recorded', 'transcript.txt');

/** One command and what came of it, masked. */
export function transcriptOf(result: KubectlResult): string {
  const { stdout, stderr, exitCode } = result;
  const out = withNewline(mask(stdout));
  const err = stderr === '' ? '' : `--- stderr\n${withNewline(mask(stderr))}`;
  return `${out}${err}--- exit ${exitCode ?? 'stopped'}\n`;
}

function withNewline(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n--- no newline\n`;
}

export function saveTranscript(
  commands: readonly KubectlCommand[],
  results: ReadonlyMap<string, string>,
): void {
  const parts = commands.map(({ title }) => `=== ${title}\n${results.get(title) ?? ''}\n`);
  writeFileSync(PATH, parts.join(''));
}

/** By title. */
export function readTranscript(): Map<string, string> {
  const results = new Map<string, string>();
  if (!existsSync(PATH)) return results;
  for (const part of readFileSync(PATH, 'utf8').split(/^=== /m).slice(1)) {
    const end = part.indexOf('\n');
    results.set(part.slice(0, end), part.slice(end + 1, -1));
  }
  return results;
}
