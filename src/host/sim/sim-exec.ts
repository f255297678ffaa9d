import { HoldfastError } from '#api/mod.ts';
import type { Exec, ExecResult } from '../mod.ts';
import type { SimProcess } from './sim-process.ts';

/** What a program does when it is run; undefined: it runs until its deadline. */
export type SimProgram = (
  argv: readonly string[],
  input: string,
  node: string,
) => ExecResult | undefined;

/** Programs are functions that the test registers by name; they take 1 ms. */
export class SimExec implements Exec {
  readonly #process: SimProcess;
  readonly #programs: ReadonlyMap<string, SimProgram>;

  constructor(process: SimProcess, programs: ReadonlyMap<string, SimProgram>) {
    this.#process = process;
    this.#programs = programs;
  }

  async run(
    argv: readonly string[],
    options: { readonly timeoutMs?: number; readonly input?: string } = {},
  ): Promise<ExecResult> {
    const name = argv[0] ?? '';
    await this.#pass(1);
    const program = this.#programs.get(name);
    if (program === undefined) {
      throw new HoldfastError('not-found', 'There is no such program', { details: { name } });
    }
    const result = program(argv, options.input ?? '', this.#process.node);
    if (result !== undefined) return result;
    if (options.timeoutMs === undefined) return new Promise(() => {});
    await this.#pass(options.timeoutMs);
    throw new HoldfastError('timed-out', 'The program did not end in time', {
      effect: 'unknown',
      details: { name },
    });
  }

  #pass(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#process.loop.schedule(this.#process, 'exec', 0, ms, resolve);
    });
  }
}
