/**
 * A workload that only writes and syncs, in a process of its own, and tells how long each took: the
 * pause that a failover costs, as the one who waits sees it.
 *
 *     node stall-writer.testkit.ts FILE     prints `startMs lastedMs` of what took long
 */
import { spawn } from 'node:child_process';
import { fdatasyncSync, openSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const NOTABLE_MS = 20;
const BLOCK_BYTES = 4096;
const BLOCKS = 256;

export interface Pause {
  readonly startMs: number;
  readonly lastedMs: number;
}

/** One that a moment lies in, or that began later. */
export function endsAfter({ startMs, lastedMs }: Pause, atMs: number): boolean {
  return startMs + lastedMs > atMs;
}

/**
 * The longest pause that a moment lies in, or that began until the next; 0 when none was notable.
 */
export function longestPause(pauses: readonly Pause[], fromMs: number, untilMs: number): number {
  return pauses
    .filter((each) => endsAfter(each, fromMs) && each.startMs < untilMs)
    .reduce((longest, { lastedMs }) => Math.max(longest, lastedMs), 0);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

export class StallWriter {
  readonly pauses: Pause[] = [];
  #output = '';
  #errors = '';
  readonly #child;
  readonly #ended: Promise<void>;

  constructor(file: string) {
    const args = ['--disable-warning=ExperimentalWarning', fileURLToPath(import.meta.url), file];
    this.#child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stdout.on('data', (bytes: Buffer) => this.#take(bytes.toString()));
    this.#child.stderr.on('data', (bytes: Buffer) => (this.#errors += bytes.toString()));
    this.#ended = new Promise((resolve) => this.#child.once('close', () => resolve()));
  }

  /** Ends it; throws what went wrong with a write or a sync. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.#ended;
    if (this.#errors !== '') throw new Error(`The writer failed: ${this.#errors}`);
  }

  #take(text: string): void {
    const lines = (this.#output + text).split('\n');
    this.#output = lines.pop() ?? '';
    for (const line of lines) {
      const [startMs = Number.NaN, lastedMs = Number.NaN] = line.split(' ').map(Number);
      this.pauses.push({ startMs, lastedMs });
    }
  }
}

function writeForEver(file: string): never {
  const fd = openSync(file, 'w');
  const block = new Uint8Array(BLOCK_BYTES).fill(1);
  for (let count = 0; ; count += 1) {
    const startMs = Date.now();
    writeSync(fd, block, 0, BLOCK_BYTES, (count % BLOCKS) * BLOCK_BYTES);
    fdatasyncSync(fd);
    const lastedMs = Date.now() - startMs;
    if (lastedMs >= NOTABLE_MS) process.stdout.write(`${startMs} ${lastedMs}\n`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeForEver(process.argv[2] ?? '');
