/** Proves that scripts/ok.ts fails when it should, on a small tree with planted tests. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';

const RUNNER = join(import.meta.dirname, '../scripts/ok.ts');

function runRoot(body: string, isCi: boolean): { status: number | null; stdout: string } {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-ok-'));
  try {
    mkdirSync(join(folder, 'test/root'), { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}\n');
    const file = body === '' ? 'no-test.ts' : 'planted.test.ts';
    writeFileSync(
      join(folder, 'test/root', file),
      `import test from 'node:test';\nimport { spawn } from 'node:child_process';\n${body}\n`,
    );
    const env = { ...process.env, HOLDFAST_CI: isCi ? '1' : '', NODE_TEST_CONTEXT: undefined };
    return spawnSync(process.execPath, [RUNNER, 'root'], { cwd: folder, env, encoding: 'utf8' });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('a passing run exits with 0 and shows the figures tests print', () => {
  const { status, stdout } = runRoot(`test('a', (t) => t.diagnostic('seed 7'));`, true);
  assert.equal(status, 0, stdout);
  assert.match(stdout, /root .* ok +1 passed\n +seed 7\n/);
});

test('a skip with a reason passes on a developer machine and is listed', () => {
  const { status, stdout } = runRoot(`test('a', (t) => t.skip('needs /dev/fuse'));`, false);
  assert.equal(status, 0, stdout);
  assert.match(stdout, /1 skipped\n +skipped test\/root\/planted.test.ts: a: needs \/dev\/fuse/);
});

test('a skip without a reason fails everywhere', () => {
  const { status, stdout } = runRoot(`test.skip('a', () => {});`, false);
  assert.equal(status, 1, stdout);
  assert.match(stdout, /a: NO REASON/);
});

for (const [name, body] of Object.entries({
  'a skip': `test('a', (t) => t.skip('needs /dev/fuse'));`,
  'a skipped suite': `test.describe('a', { skip: 'later' }, () => { test('b', () => {}); });`,
  'a todo': `test('a', { todo: 'later' }, () => {});`,
  'a failing todo': `test('a', { todo: 'later' }, () => { throw new Error('x'); });`,
})) {
  test(`${name} fails with HOLDFAST_CI=1`, () => {
    const { status, stdout } = runRoot(body, true);
    assert.equal(status, 1, stdout);
    assert.match(stdout, /nothing may be skipped here/);
    assert.match(stdout, /skipped .*a: (?:needs|later)/);
  });
}

test('a tier without any test fails with HOLDFAST_CI=1', () => {
  assert.equal(runRoot('', false).status, 0);
  assert.equal(runRoot('', true).status, 1);
});

test('a failure shows its place, its error and what its file printed', () => {
  const { status, stdout } = runRoot(
    `test('a', () => { console.log('before'); throw new Error('boom'); });`,
    false,
  );
  assert.equal(status, 1, stdout);
  assert.match(stdout, /FAILED test\/root\/planted.test.ts:\d+: a\n +Error: boom/);
  assert.match(stdout, /OUTPUT of test\/root\/planted.test.ts\n +before/);
});

test('a file that does not load fails', () => {
  const { status, stdout } = runRoot(`import './gone.ts';`, false);
  assert.equal(status, 1, stdout);
  assert.match(stdout, /gone\.ts/);
});

test('a process left behind fails', () => {
  const { status, stdout } = runRoot(
    `test('a', () => { spawn('sleep', ['61'], { stdio: 'ignore' }).unref(); });`,
    false,
  );
  assert.equal(status, 1, stdout);
  assert.match(stdout, /Left processes behind:\n +\d+ sleep 61/);
});
