/** The script for bash in a real bash, with the real program. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const BIN = fileURLToPath(new URL('../../bin', import.meta.url));
const hasBash = spawnSync('bash', ['--version']).status === 0;

/** What bash would offer at the end of each line. */
function completions(lines: readonly string[], cwd: string): string[][] {
  const script = `
    source <(holdfast completion bash)
    complete -p holdfast >/dev/null || exit 1
    for line in "$@"; do
      COMP_LINE=$line COMP_POINT=\${#line}
      COMPREPLY=()
      _holdfast 2>/dev/null
      (IFS='|'; printf '%s\\n' "\${COMPREPLY[*]}")
    done`;
  const out = execFileSync('bash', ['--norc', '-c', script, 'bash', ...lines], {
    encoding: 'utf8',
    cwd,
    env: { ...process.env, PATH: `${BIN}:${process.env['PATH'] ?? ''}`, HOLDFAST_CLUSTER: cwd },
  });
  return out
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => (line === '' ? [] : line.split('|')));
}

test('A real bash completes commands, options and their values', (t) => {
  if (!hasBash) {
    t.skip('there is no bash on this machine');
    return;
  }
  const lines = [
    'holdfast vol',
    'holdfast volume sna',
    'holdfast get claims --outp',
    'holdfast get claims --output=js',
    'holdfast get claims -o ya',
    'holdfast get claims ',
    'holdfast completion ',
  ];
  assert.deepEqual(completions(lines, '/tmp'), [
    ['volume'],
    ['snapshot'],
    ['--output'],
    // Bash has typed what stands before the equals sign.
    ['json'],
    ['yaml'],
    // No cluster answers in /tmp.
    [],
    ['bash', 'zsh', 'fish'],
  ]);
});
