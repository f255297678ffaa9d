/** `npm start -- --tour` as root and as a plain user: it passes, in time, and leaves nothing. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { after, before, test } from 'node:test';
import { runCli, type CliContext } from '#cli/mod.ts';
import { createContext } from '#cmd/cli-context.testkit.ts';

const TREE = new URL('../../', import.meta.url).pathname;
const NOBODY = 65534;
const TOUR_MS_MAX = 120_000;
const skip = process.getuid?.() === 0 ? false : 'needs root';
let scratch = '';

before(() => {
  // Everybody's, as /tmp is: the plain user's tour lives here too.
  scratch = mkdtempSync(`${tmpdir()}/hf-tour-`);
  chmodSync(scratch, 0o1777);
});

after(() => rmSync(scratch, { recursive: true, force: true }));

interface Run {
  readonly code: number | null;
  readonly output: string;
  readonly elapsedMs: number;
}

interface RunOptions {
  readonly tree?: string;
  readonly userId?: number;
  /** Ctrl-C once this was printed. */
  readonly stopAt?: RegExp;
}

function runTour(options: RunOptions = {}): Promise<Run> {
  const { tree = TREE, userId, stopAt } = options;
  const startedMs = performance.now();
  const entry = `${tree}src/cmd/holdfast.ts`;
  const node = userId === undefined ? process.execPath : `${tree}node`;
  const child = spawn(node, ['--disable-warning=ExperimentalWarning', entry, 'tour'], {
    cwd: tree,
    env: { PATH: process.env['PATH'], TMPDIR: scratch, HOME: scratch },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(userId === undefined ? {} : { uid: userId, gid: userId }),
  });
  let output = '';
  let isStopped = false;
  const onText = (bytes: Buffer): void => {
    output += bytes.toString();
    if (stopAt === undefined || isStopped || !stopAt.test(output)) return;
    isStopped = true;
    child.kill('SIGINT');
  };
  child.stdout.on('data', onText);
  child.stderr.on('data', onText);
  return new Promise((resolve) => {
    child.on('close', (code) =>
      resolve({ code, output, elapsedMs: performance.now() - startedMs }),
    );
  });
}

/** Not the tour's own look at what it left: another one. */
function leftovers(): string[] {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  const loops = spawnSync('losetup', ['-l', '-n', '-O', 'NAME,BACK-FILE'], { encoding: 'utf8' });
  const processes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map((name) => {
      try {
        return `${name} ${readFileSync(`/proc/${name}/cmdline`, 'utf8')}`;
      } catch {
        return '';
      }
    });
  const named = [...mounts, ...loops.stdout.split('\n'), ...processes];
  return [...named.filter((line) => line.includes(scratch)), ...readdirSync(scratch)];
}

const STEPS =
  /A claim of 1 GiB[^]*Write [^]*Where is it[^]*kill -9 the engine that serves[^]*kill -9 the engine of another[^]*Rebuild[^]*Snapshot[^]*Overwrite[^]*Restore[^]*Verify every byte[^]*Clean up[^]*nothing is left/;

function checkTold(run: Run): void {
  assert.equal(run.code, 0, run.output);
  assert.match(run.output, STEPS);
  assert.match(run.output, SHOWN);
  assert.equal(run.output.match(/the writer waited .* at most, and saw no error/g)?.length, 2);
  assert.equal(run.output.match(/all as written/g)?.length, 2);
  assert.match(run.output, /replica .*\n(?:.*\n)*.*device /, 'where names the disks');
  assert.ok(run.elapsedMs < TOUR_MS_MAX, `${run.elapsedMs} ms`);
}

/** Every object that it makes, as YAML and before it is made. */
const SHOWN =
  /kind: StorageClass\n[^]*kind: PersistentVolumeClaim\n[^]*claims\/demo created[^]*kind: Snapshot\n[^]*snapshots\/before created[^]*dataSourceRef: [^]*claims\/restored created/;
const SHOWN_MOUNTS =
  /kind: Mount\n[^]*path: \S+\/demo\n[^]*mounts\/demo created[^]*kind: Mount\n[^]*path: \S+\/restored\n[^]*mounts\/restored created/;

test('The tour passes on a mounted volume and leaves nothing', { skip }, async (t) => {
  const run = await runTour();
  checkTold(run);
  assert.match(run.output, SHOWN_MOUNTS);
  assert.match(run.output, /\d+ files of .*, a database of \d+ rows: all as written/);
  assert.deepEqual(leftovers(), []);
  t.diagnostic(`${(run.elapsedMs / 1000).toFixed(1)} s`);
});

test('The tour of a plain user writes blocks and says what needs root', { skip }, async (t) => {
  const tree = `${mkdtempSync(`${tmpdir()}/hf-tour-tree-`)}/`;
  t.after(() => rmSync(tree, { recursive: true }));
  chmodSync(tree, 0o755);
  for (const name of ['bin', 'src', 'node_modules', 'package.json']) {
    cpSync(`${TREE}${name}`, `${tree}${name}`, { recursive: true, verbatimSymlinks: true });
  }
  // The checkout may lie where only root can read.
  cpSync(process.execPath, `${tree}node`);
  const run = await runTour({ tree, userId: NOBODY });
  checkTold(run);
  assert.match(run.output, /root: running as user 65534; run with sudo/);
  assert.match(run.output, /\d+ pieces of 64 KiB, and zeroes in the rest of 1 GiB: all as written/);
  assert.deepEqual(leftovers(), []);
  t.diagnostic(`${(run.elapsedMs / 1000).toFixed(1)} s`);
});

test('Ctrl-C in the middle of the tour cleans up', { skip }, async () => {
  const run = await runTour({ stopAt: /the writer waited/ });
  assert.equal(run.code, 130, run.output);
  assert.match(run.output, /nothing is left/);
  assert.deepEqual(leftovers(), []);
});

test('A file that changed behind the tour fails it, by name', { skip }, async () => {
  const lines: string[] = [];
  const real = createContext();
  let path = '';
  const out = (text: string): void => {
    lines.push(text);
    path = /path: (\S+\/restored)$/.exec(text)?.[1] ?? path;
    if (text.includes('mounts/restored ready')) appendFileSync(`${path}/files/00001.bin`, 'x');
  };
  const context: CliContext = {
    ...real,
    out,
    err: (text) => lines.push(text),
    machine: { ...real.machine, tempDirectory: scratch },
  };
  const code = await runCli(context, ['tour']);
  assert.equal(code, 8, lines.join('\n'));
  assert.match(lines.join('\n'), /Data is not what was written \(checksum-mismatch\)/);
  assert.match(lines.join('\n'), /files\/00001\.bin has \d+ bytes instead of \d+/);
  assert.match(lines.join('\n'), /nothing is left/);
  assert.deepEqual(leftovers(), []);
});
