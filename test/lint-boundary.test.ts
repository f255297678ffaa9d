/**
 * Proves that the linter, with the configuration of this repository, fires for every way around
 * the host boundary. The planted files live in a temporary folder that only borrows the
 * configuration and node_modules.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'node:test';

const ROOT = join(import.meta.dirname, '..');

interface Plant {
  readonly code: string;
  readonly rule: string;
  readonly folder?: string;
}

const GLOBALS: Readonly<Record<string, string>> = {
  Date: 'export const at = Date.now();',
  'new Date': 'export const at = new Date();',
  performance: 'export const at = performance.now();',
  setTimeout: 'setTimeout(() => {}, 1);',
  setInterval: 'setInterval(() => {}, 1);',
  setImmediate: 'setImmediate(() => {});',
  clearTimeout: 'clearTimeout(undefined);',
  clearInterval: 'clearInterval(undefined);',
  clearImmediate: 'clearImmediate(undefined);',
  'process.nextTick': 'process.nextTick(() => {});',
  crypto: 'export const id = crypto.randomUUID();',
  fetch: `void fetch('x');`,
  WebSocket: `export const socket = new WebSocket('x');`,
  MessageChannel: 'export const channel = new MessageChannel();',
  CompressionStream: `export const stream = new CompressionStream('gzip');`,
  WeakRef: 'export const ref = new WeakRef({});',
  FinalizationRegistry: 'export const registry = new FinalizationRegistry(() => {});',
  globalThis: 'export const at = globalThis.Date;',
};

const PROPERTIES: Readonly<Record<string, string>> = {
  'Math.random': 'export const x = Math.random();',
  'AbortSignal.timeout': 'export const signal = AbortSignal.timeout(5);',
  'Atomics.wait': 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);',
};

const MODULES = [
  'node:fs',
  'node:fs/promises',
  'node:net',
  'node:tls',
  'node:dgram',
  'node:dns',
  'node:http',
  'node:http2',
  'node:https',
  'node:child_process',
  'node:worker_threads',
  'node:os',
  'node:timers/promises',
  'node:sqlite',
  'node:stream',
  'node:perf_hooks',
  'koffi',
];

function plants(): Map<string, Plant> {
  const all = new Map<string, Plant>();
  for (const [name, code] of Object.entries(GLOBALS)) {
    all.set(name, { code, rule: 'eslint(no-restricted-globals)' });
  }
  for (const [name, code] of Object.entries(PROPERTIES)) {
    all.set(name, { code, rule: 'eslint(no-restricted-properties)' });
  }
  const rule = 'eslint(no-restricted-imports)';
  for (const name of MODULES) all.set(name, { code: `import '${name}';`, rule });
  all.set('import()', { code: `export const fs = await import('node:fs');`, rule });
  all.set('export from', { code: `export { readFileSync } from 'node:fs';`, rule });
  all.set('host/node', { code: `import '#host/node/mod.ts';`, rule });
  all.set('host/sim', { code: `import '../../host/sim/mod.ts';`, rule });
  all.set('random', { code: `export { randomBytes } from 'node:crypto';`, rule });
  all.set('random import', {
    code: `import { randomUUID } from 'node:crypto';\nexport const id = randomUUID();`,
    rule,
  });
  all.set('zlib', { code: `import { gzip } from 'node:zlib';\nexport const g = gzip;`, rule });
  all.set('bare fs', { code: `import 'fs';`, rule: 'unicorn(prefer-node-protocol)' });
  all.set('console', { code: `console.log('x');`, rule: 'eslint(no-console)' });
  all.set('equality', {
    code: 'export const same = (a: number, b: number) => a == b;',
    rule: 'eslint(eqeqeq)',
  });
  all.set('unused', { code: `import { x } from './x.ts';`, rule: 'eslint(no-unused-vars)' });
  all.set('any', { code: 'export const x: any = 1;', rule: 'typescript(no-explicit-any)' });
  all.set('floating', {
    code: 'async function act(): Promise<void> {}\nact();',
    rule: 'typescript(no-floating-promises)',
  });
  all.set('misused', {
    code: 'async function act(): Promise<void> {}\n[1].forEach(act);',
    rule: 'typescript(no-misused-promises)',
  });
  all.set('Date in host/sim', {
    folder: 'src/host/sim',
    code: 'export const at = Date.now();',
    rule: 'eslint(no-restricted-globals)',
  });
  return all;
}

/** What the same boundary must let through. */
const CLEAN: readonly Plant[] = [
  { folder: 'src/host/node', code: `import 'node:fs';\nexport const at = Date.now();`, rule: '' },
  { folder: 'src/cmd', code: `import 'node:os';\nprocess.exit(1);`, rule: '' },
  { folder: 'test', code: `import 'node:fs';\nsetTimeout(() => {}, 1);`, rule: '' },
  { code: `import 'node:path';\nqueueMicrotask(() => {});`, rule: '' },
  { code: `import { createHash } from 'node:crypto';\nexport const h = createHash;`, rule: '' },
];

function lint(files: ReadonlyMap<string, string>): { filename: string; code: string }[] {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-lint-'));
  try {
    for (const name of ['.oxlintrc.json', 'tsconfig.json', 'package.json']) {
      cpSync(join(ROOT, name), join(folder, name));
    }
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    for (const [path, code] of files) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), `${code}\n`);
    }
    const oxlint = join(ROOT, 'node_modules/oxlint/bin/oxlint');
    const args = [oxlint, '--type-aware', '--deny-warnings', '--format', 'json', 'src', 'test'];
    const result = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
    assert.equal(result.status, 1, result.stderr + result.stdout);
    return JSON.parse(result.stdout).diagnostics;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('the linter fires for every planted way around the host boundary', () => {
  const planted = [...plants()].map(([name, plant], index) => {
    return { name, plant, path: `${plant.folder ?? 'src/data/block'}/plant-${index}.ts` };
  });
  const clean = CLEAN.map((plant, index) => {
    return { plant, path: `${plant.folder ?? 'src/data/block'}/clean-${index}.ts` };
  });
  const found = lint(new Map([...planted, ...clean].map(({ path, plant }) => [path, plant.code])));
  const codesOf = (path: string): string[] =>
    found.filter((one) => one.filename === path).map((one) => one.code);
  const silent = planted.filter(({ path, plant }) => !codesOf(path).includes(plant.rule));
  assert.deepEqual(
    silent.map(({ name, path }) => `${name}: ${codesOf(path).join()}`),
    [],
  );
  for (const { path, plant } of clean) assert.deepEqual(codesOf(path), [], plant.code);
});
