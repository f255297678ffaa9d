/** The voice of the tour: numbered steps with times, objects, and commands as a user types them. */
import { HoldfastError } from '#api/mod.ts';
import type { Clock } from '#host/mod.ts';
import type { CliContext } from '../context.ts';
import { EXIT_NOT_WELL, EXIT_OK } from '../exit-codes.ts';
import { runCli } from '../main.ts';

const WIDTH = 96;

export class Guide {
  readonly context: CliContext;
  readonly clusterPath: string;
  readonly #signal: AbortSignal;
  readonly #startMs: number;
  readonly #manifests = new Set<string>();
  #steps = 0;

  /** Everything that waits ends with `aborted` when the signal fires. */
  constructor(context: CliContext, clusterPath: string, signal: AbortSignal) {
    const clock = abortable(context.host.clock, signal);
    this.context = { ...context, host: { ...context.host, clock } };
    this.clusterPath = clusterPath;
    this.#signal = signal;
    this.#startMs = clock.monotonicMs();
  }

  get clock(): Clock {
    return this.context.host.clock;
  }

  step(title: string, why: string): void {
    this.#signal.throwIfAborted();
    this.#steps += 1;
    const seconds = `${this.elapsedSeconds()} s`;
    const head = `${String(this.#steps).padStart(2)}. ${title}`;
    this.context.out(
      `\n${this.context.colors.bold(head)}${seconds.padStart(Math.max(2, WIDTH - head.length))}`,
    );
    this.say(why);
  }

  elapsedSeconds(): string {
    return ((this.clock.monotonicMs() - this.#startMs) / 1000).toFixed(1);
  }

  say(text: string): void {
    for (const line of wrap(text, WIDTH - 4)) this.context.out(`    ${line}`);
  }

  /** What was found, to stand out from what is told. */
  result(text: string): void {
    const [first = '', ...more] = wrap(text, WIDTH - 6);
    this.context.out(`  ${this.context.colors.green('✓')} ${first}`);
    for (const line of more) this.context.out(`    ${line}`);
  }

  showCommand(text: string): void {
    this.context.out(`    ${this.context.colors.cyan(`$ ${text}`)}`);
  }

  /** Runs a command of ours in this process; one that says "not well" has still answered. */
  async run(...args: string[]): Promise<void> {
    this.#signal.throwIfAborted();
    this.showCommand(`bin/holdfast ${args.join(' ')}`);
    const code = await runCli(this.#quoted(), args);
    if (code === EXIT_OK || code === EXIT_NOT_WELL) return;
    throw new HoldfastError('aborted', 'A command of the tour failed', {
      details: { command: `holdfast ${args.join(' ')}`, exitCode: code },
    });
  }

  /**
   * Shows the objects as YAML, once, then makes them and waits for them. `inShort` is the command
   * that does the same.
   */
  async apply(name: string, manifest: string, inShort?: string): Promise<void> {
    this.#signal.throwIfAborted();
    const path = `${this.clusterPath}/manifests/${name}.yaml`;
    if (!this.#manifests.has(path)) {
      this.#manifests.add(path);
      await this.#write(path, manifest);
      this.showCommand(`cat ${path}`);
      for (const line of manifest.trimEnd().split('\n')) this.context.out(`      ${line}`);
      if (inShort !== undefined) this.say(`In short: bin/holdfast ${inShort}`);
    }
    await this.run('apply', '-f', path, '--wait');
  }

  async #write(path: string, text: string): Promise<void> {
    const file = await this.context.host.disk.open(path, { write: true, create: 'new' });
    try {
      await file.write(0, new TextEncoder().encode(text));
    } finally {
      await file.close();
    }
  }

  #quoted(): CliContext {
    const quote = (text: string): void => {
      if (this.#signal.aborted) return;
      for (const line of text.split('\n')) this.context.out(`      ${line}`.trimEnd());
    };
    const env = { ...this.context.env, HOLDFAST_CLUSTER: this.clusterPath };
    const { colors } = this.context;
    return { ...this.context, env, out: quote, err: quote, errColors: colors, isTerminal: false };
  }
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

function abortable(clock: Clock, signal: AbortSignal): Clock {
  return {
    monotonicMs: () => clock.monotonicMs(),
    wallMs: () => clock.wallMs(),
    sleep: (ms, own) => clock.sleep(ms, own ? AbortSignal.any([own, signal]) : signal),
    after: (ms, fn) => clock.after(ms, fn),
    defer: (fn) => clock.defer(fn),
  };
}
