/** What other people's NBD clients do to an export, whatever serves it. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { open, readFile, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { patternBytes, randomBelow } from '#data/block/block-device.testkit.ts';

const MIB = 1024 * 1024;

/** An export behind a unix socket. */
export interface NbdExportPlace {
  readonly socket: string;
  readonly name: string;
  readonly sizeBytes: number;
  /** For scratch files. */
  readonly directory: string;
}

export interface MapEntry {
  readonly offset: number;
  readonly length: number;
  readonly type: number;
}

export const run = promisify(execFile);

export function uriOf({ socket, name }: NbdExportPlace): string {
  return `nbd+unix:///${name}?socket=${socket}`;
}

/** Why programs cannot run here; false when they can. */
export function missingPrograms(names: readonly string[]): string | false {
  const missing = names.filter((name) => !existsSync(path.join('/usr/bin', name)));
  return missing.length === 0 ? false : `not installed: ${missing.join(', ')}`;
}

/** Exit code and output of a program that reads `input`. */
export function feed(
  argv: readonly string[],
  input: string,
): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    const [program = '', ...rest] = argv;
    const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()));
    child.stderr.on('data', (bytes: Buffer) => (output += bytes.toString()));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? -1, output }));
    child.stdin.end(input);
  });
}

export async function discardAll(place: NbdExportPlace): Promise<void> {
  const { code, output } = await feed(
    ['qemu-io', '-f', 'raw', uriOf(place)],
    `discard 0 ${place.sizeBytes}\n`,
  );
  assert.equal(code, 0, output);
}

/** `nbdinfo --map` after some writes and discards of whole blocks. */
export async function checkMap(place: NbdExportPlace): Promise<void> {
  await discardAll(place);
  const input = 'write -P 1 1M 1M\nwrite -P 2 8M 64k\ndiscard 1M 512k\n';
  const written = await feed(['qemu-io', '-f', 'raw', uriOf(place)], input);
  assert.equal(written.code, 0, written.output);
  const { stdout } = await run('nbdinfo', ['--map', '--json', uriOf(place)]);
  const expected = [
    [0, 1.5 * MIB, 3],
    [1.5 * MIB, MIB / 2, 0],
    [2 * MIB, 6 * MIB, 3],
    [8 * MIB, 65536, 0],
    [8 * MIB + 65536, place.sizeBytes - 8 * MIB - 65536, 3],
  ];
  assert.deepEqual(
    (JSON.parse(stdout) as MapEntry[]).map(({ offset, length, type }) => [offset, length, type]),
    expected,
  );
}

/** nbdcopy there and back, qemu-img convert, compare and bench. */
export async function checkRoundTrip(place: NbdExportPlace, benchRequests: number): Promise<void> {
  const uri = uriOf(place);
  const image = path.join(place.directory, 'image');
  const back = path.join(place.directory, 'back');
  const file = await open(image, 'w');
  await file.truncate(place.sizeBytes);
  const below = randomBelow(3);
  for (let n = 0; n < 60; n++) {
    await file.write(patternBytes(1 + below(MIB), n), 0, null, below(place.sizeBytes - MIB));
  }
  await file.close();
  await run('nbdcopy', ['--connections=4', '--requests=64', image, uri]);
  await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, uri]);
  await run('nbdcopy', ['--connections=4', '--requests=64', uri, back]);
  await run('cmp', [image, back]);
  await discardAll(place);
  await run('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', image, uri]);
  await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, uri]);
  const bench = ['bench', '-f', 'raw', '-c', String(benchRequests), '-d', '32', '-s', '4096'];
  await run('qemu-img', [...bench, '-w', '--flush-interval=64', uri]);
  await run('qemu-img', [...bench, uri]);
}

/**
 * Random reads and writes of sectors under blkverify, which compares every read with a reference
 * file; then all of it is compared, and one changed sector must be seen.
 */
export async function checkBlkverify(place: NbdExportPlace, operations: number): Promise<void> {
  const reference = path.join(place.directory, 'reference');
  await writeFile(reference, '');
  await truncate(reference, place.sizeBytes);
  await discardAll(place);
  const below = randomBelow(20_000);
  const lines: string[] = [];
  for (let n = 0; n < operations; n++) {
    // Sectors, so that the AlignDevice below has its part in it.
    const length = 512 * (1 + below(below(8) === 0 ? 256 : 16));
    const offset = 512 * below(16 * 2048);
    lines.push(
      below(2) ? `write -q -P ${below(256)} ${offset} ${length}` : `read -q ${offset} ${length}`,
    );
  }
  const under = async (text: string): Promise<{ code: number; output: string }> =>
    feed(
      [
        'qemu-io',
        '--image-opts',
        [
          'driver=blkverify,test.driver=nbd,test.server.type=unix',
          `test.server.path=${place.socket},test.export=${place.name}`,
          `raw.driver=file,raw.filename=${reference}`,
        ].join(','),
      ],
      text,
    );
  const { code, output } = await under(`${lines.join('\n')}\n`);
  assert.equal(code, 0, output.slice(-2000));
  assert.doesNotMatch(output, /mismatch|failed|error/i);
  const compared = ['compare', '-f', 'raw', '-F', 'raw', reference, uriOf(place)];
  await run('qemu-img', compared);
  // The control: one sector changed behind its back must be seen, by either program.
  const changed = await open(reference, 'r+');
  await changed.write(patternBytes(512, 1), 0, 512, 4096);
  await changed.close();
  await assert.rejects(run('qemu-img', compared));
  const caught = await under('read -q 4096 512\n');
  assert.match(caught.output, /mismatch/);
}

/** Writes, zeroes (with and without unmapping) and discards against a model in memory. */
export async function checkZeroAndDiscard(
  place: NbdExportPlace,
  operations: number,
): Promise<void> {
  const model = Buffer.alloc(4 * MIB);
  const below = randomBelow(77);
  const lines = [`discard 0 ${place.sizeBytes}`];
  for (let n = 0; n < operations; n++) {
    const length = 512 * (1 + below(64));
    const offset = 512 * below(4 * 2048 - 64);
    const fill = 1 + below(255);
    const verb = ['write', 'zero', 'zero -u', 'discard'][below(4)] ?? 'write';
    if (verb === 'write') lines.push(`write -q -P ${fill} ${offset} ${length}`);
    else if (verb === 'discard') lines.push(`discard -q ${offset} ${length}`);
    else lines.push(`write -q -z ${verb === 'zero -u' ? '-u ' : ''}${offset} ${length}`);
    model.fill(verb === 'write' ? fill : 0, offset, offset + length);
  }
  const argv = ['qemu-io', '-f', 'raw', uriOf(place)];
  const { code, output } = await feed(argv, `${lines.join('\n')}\n`);
  assert.equal(code, 0, output.slice(-2000));
  const copy = path.join(place.directory, 'copy');
  await run('nbdcopy', [uriOf(place), copy]);
  const served = (await readFile(copy)).subarray(0, model.byteLength);
  assert.equal(Buffer.compare(served, model), 0);
}
