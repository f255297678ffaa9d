/**
 * A node:test reporter for scripts/ok.ts. Says little about what passes and everything about what
 * fails; what a test puts out counts as part of its file's failure. The last line is the summary
 * as JSON, with every skipped or todo test, behind SUMMARY_MARK.
 */
import { relative } from 'node:path';
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

export const SUMMARY_MARK = '#summary ';

export interface TestSummary {
  readonly passed: number;
  readonly failed: number;
  /** Skipped and todo tests; the reason is empty when the test gave none. */
  readonly skipped: readonly { readonly test: string; readonly reason: string }[];
  /** What tests said with `t.diagnostic`: seeds, counts, figures. */
  readonly notes: readonly string[];
}

export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const printed = new Map<string, string[]>();
  const failedFiles = new Set<string>();
  const skipped: { test: string; reason: string }[] = [];
  const notes: string[] = [];
  let passed = 0;
  let failed = 0;
  for await (const event of events) {
    if (event.type === 'test:stdout' || event.type === 'test:stderr') {
      const file = shortPath(event.data.file);
      const chunks = printed.get(file) ?? [];
      chunks.push(event.data.message);
      printed.set(file, chunks);
    } else if (event.type === 'test:diagnostic') {
      // Without a file it is the runner's own count.
      if (event.data.file !== undefined) notes.push(event.data.message);
    } else if (event.type === 'test:pass') {
      const reason = event.data.skip ?? event.data.todo;
      const name = `${shortPath(event.data.file)}: ${event.data.name}`;
      if (reason !== undefined && reason !== false) {
        skipped.push({ test: name, reason: reason === true ? '' : reason });
      } else if (isTest(event.data)) passed++;
    } else if (event.type === 'test:fail') {
      const { file, name, line, details, skip, todo } = event.data;
      const cause = details.error.cause ?? details.error;
      const why = 'failureType' in details.error ? details.error.failureType : undefined;
      failedFiles.add(shortPath(file ?? name));
      if (why === 'subtestsFailed') continue;
      if (skip !== undefined || todo !== undefined) {
        skipped.push({ test: name, reason: typeof todo === 'string' ? todo : '' });
      }
      failed++;
      const text = cause instanceof Error ? (cause.stack ?? cause.message) : inspect(cause);
      yield `FAILED ${shortPath(file)}:${line ?? 0}: ${name}\n${indent(text)}\n`;
    }
  }
  for (const [file, chunks] of printed) {
    if (failedFiles.has(file)) yield `OUTPUT of ${file}\n${indent(chunks.join('').trimEnd())}\n`;
  }
  const summary: TestSummary = { passed, failed, skipped, notes };
  yield `${SUMMARY_MARK}${JSON.stringify(summary)}\n`;
}

/** A file that could not be loaded is reported as a test of its own name; a passing one is none. */
function isTest({
  file,
  name,
  details,
}: {
  file?: string;
  name: string;
  details: object;
}): boolean {
  if ('type' in details && details.type === 'suite') return false;
  return file === undefined || !file.endsWith(`/${name}`) || !name.endsWith('.ts');
}

function shortPath(file: string | undefined): string {
  if (file === undefined) return '?';
  return file.startsWith('/') ? relative(process.cwd(), file) : file;
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, '  ');
}
