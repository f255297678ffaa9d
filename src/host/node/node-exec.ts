import { spawn } from 'node:child_process';
import { HoldfastError } from '#api/mod.ts';
import type { Exec, ExecResult } from '../mod.ts';
import { fromNodeError } from './errno-error.ts';

/** More than this of a program's output is cut. */
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

/** Programs without a shell. */
export class NodeExec implements Exec {
  run(
    argv: readonly string[],
    options: { readonly timeoutMs?: number; readonly input?: string } = {},
  ): Promise<ExecResult> {
    const { promise, resolve, reject } = Promise.withResolvers<ExecResult>();
    const [name = '', ...args] = argv;
    const child = spawn(name, args, { shell: false, stdio: ['pipe', 'pipe', 'pipe'] });
    const stdout = new Output();
    const stderr = new Output();
    let timer: NodeJS.Timeout | undefined;
    if (options.timeoutMs !== undefined) {
      timer = setTimeout(() => {
        child.kill('SIGKILL');
        // Not when it has ended: it may be stuck in the kernel, or its children hold its output.
        reject(
          new HoldfastError('timed-out', 'The program did not end in time', {
            effect: 'unknown',
            details: { name },
          }),
        );
      }, options.timeoutMs);
    }
    child.stdout.on('data', (chunk: Buffer) => stdout.add(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.add(chunk));
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(fromNodeError(error, { name }));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      // As a shell counts: above 128 it was a signal, which the log of the caller need not name.
      const exitCode = code ?? (signal === 'SIGKILL' ? 137 : 143);
      resolve({ exitCode, stdout: stdout.text(), stderr: stderr.text() });
    });
    // A program that does not read its input is not our error.
    child.stdin.on('error', () => {});
    child.stdin.end(options.input ?? '');
    return promise;
  }
}

class Output {
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  add(chunk: Buffer): void {
    if (this.#bytes >= OUTPUT_BYTES_MAX) return;
    this.#bytes += chunk.byteLength;
    this.#chunks.push(chunk);
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }
}
