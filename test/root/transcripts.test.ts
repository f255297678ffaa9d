/**
 * README and docs/operating show what their commands print: every transcript is typed into a real
 * bash, against a real cluster, and compared. With HOLDFAST_REWRITE=1 (`npm run transcripts`) what
 * differs is written to the documents instead.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  compareTranscript,
  formatDifference,
  type Replayed,
  rewriteDocument,
} from '../transcripts/compare-transcript.ts';
import { parseTranscripts, type Transcript } from '../transcripts/transcript-steps.ts';
import { whyNotHere } from './real-cluster.testkit.ts';
import { TranscriptShell } from './transcript-shell.testkit.ts';

const ROOT = join(import.meta.dirname, '../..');
const IS_REWRITE = process.env['HOLDFAST_REWRITE'] === '1';
const skip = whyNotHere(['bash', 'mkfs.ext4']);

const PAGES = ['README.md', ...globSync('docs/operating/*.md', { cwd: ROOT }).toSorted()];
const texts = new Map(PAGES.map((path) => [path, readFileSync(join(ROOT, path), 'utf8')]));
const documents = [...texts].map(([path, text]) => parseTranscripts(path, text));
const transcripts = documents.flatMap((each) => each.transcripts);
const files = documents.flatMap((each) => each.files);
const scenarios = [...new Set(transcripts.map(({ scenario }) => scenario))];
const replayed: Replayed[] = [];

async function replay(scenario: string): Promise<Replayed[]> {
  const shell = new TranscriptShell();
  try {
    for (const file of files) {
      if (file.scenario === scenario) shell.addFile(file.name, file.text);
    }
    const done: Replayed[] = [];
    for (const transcript of transcripts.filter((each) => each.scenario === scenario)) {
      done.push({ transcript, printed: await replayOne(shell, transcript) });
    }
    return done;
  } finally {
    await shell.close();
  }
}

async function replayOne(shell: TranscriptShell, transcript: Transcript): Promise<string[][]> {
  const { steps, until } = transcript;
  const printed: string[][] = [];
  for (const { command } of steps) {
    printed.push(
      await (until === undefined ? shell.type(command) : shell.keepTyped(command, until)),
    );
  }
  return printed;
}

function differencesOf(all: readonly Replayed[]): string[] {
  return all.flatMap(({ transcript, printed }) =>
    compareTranscript(transcript, printed).map(formatDifference),
  );
}

describe('Transcripts', { skip }, () => {
  for (const scenario of scenarios) {
    test(`What "${scenario}" shows is what a real run prints`, async (t) => {
      const startMs = performance.now();
      const done = await replay(scenario);
      replayed.push(...done);
      t.diagnostic(`${((performance.now() - startMs) / 1000).toFixed(1)} s`);
      const differences = differencesOf(done);
      if (IS_REWRITE) for (const each of differences) t.diagnostic(each);
      else assert.equal(differences.length, 0, differences.join('\n'));
    });
  }

  test('A rewrite changes only what differs', () => {
    for (const [path, text] of texts) {
      const fresh = rewriteDocument(
        text,
        replayed.filter(({ transcript }) => transcript.path === path),
      );
      if (IS_REWRITE && fresh !== text) writeFileSync(join(ROOT, path), fresh);
      if (!IS_REWRITE) assert.equal(fresh, text, path);
    }
  });

  test('A line that was changed in a document is found, by its place', () => {
    for (const { transcript, printed } of replayed) {
      const { path } = transcript;
      const step = transcript.steps.find(({ output }) => output.some((line) => /[a-z]/.test(line)));
      if (IS_REWRITE || step === undefined) continue;
      const lines = (texts.get(path) ?? '').split('\n');
      const index = step.output.findIndex((line) => /[a-z]/.test(line));
      const at = step.outputLine - 1 + index;
      lines[at] = `${lines[at] ?? ''} and this`;
      const planted = parseTranscripts(path, lines.join('\n')).transcripts.find(
        ({ line }) => line === transcript.line,
      );
      assert.ok(planted !== undefined);
      const [found, ...more] = differencesOf([{ transcript: planted, printed }]);
      assert.ok(found?.startsWith(`${path}:${at + 1}: $ `), found);
      assert.match(found ?? '', / and this\n/);
      assert.deepEqual(more, []);
    }
  });
});
