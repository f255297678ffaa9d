/** Composes the command line with the real process. */
import { HoldfastError } from '#api/mod.ts';
import type { CliContext, ExtraCommand } from '#cli/mod.ts';
import { colorsFor, runCli } from '#cli/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { createApiClient } from './api-client.ts';
import { runDown } from './down.ts';
import { createMachine } from './machine.ts';
import { runUp } from './up.ts';
import { VERSION } from './version.ts';

export async function runCommand(args: readonly string[]): Promise<number> {
  // A reader that stops reading (`holdfast get volumes | head -1`) is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  const code = await runCli(createContext(), args);
  await flush();
  return code;
}

export function createContext(): CliContext {
  const err = (text: string): void => void process.stderr.write(`${text}\n`);
  const host = createNodeHost({ logLevel: process.env['HOLDFAST_LOG'] ?? 'fatal' });
  return {
    host,
    out: (text) => void process.stdout.write(`${text}\n`),
    err,
    colors: colorsFor(process.stdout, process.env),
    errColors: colorsFor(process.stderr, process.env),
    isTerminal: process.stderr.isTTY,
    drawProgress: (text) => void process.stderr.write(`\r\u001B[K${text.slice(0, 160)}`),
    env: process.env,
    cwd: process.cwd(),
    version: VERSION,
    nodeVersion: process.version,
    userId: process.getuid?.() ?? -1,
    readInput,
    ask: process.stdin.isTTY ? ask : undefined,
    connectApi: (socketPath, timeoutMs) =>
      createApiClient(host, socketPath, 'holdfast-cli', timeoutMs),
    up: (request) => runUp({ ...request, onLine: (text) => err(`up: ${text}`) }),
    down: (path) => runDown({ path, onLine: (text) => err(text) }),
    findTour,
    machine: createMachine(host),
  };
}

async function readInput(bytesMax: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).byteLength;
    if (bytes <= bytesMax) continue;
    throw new HoldfastError('invalid-argument', 'Standard input is too long', {
      details: { field: '--filename', value: '-', remedy: `Give at most ${bytesMax} bytes` },
    });
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function ask(question: string): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await lines.question(question);
  } finally {
    lines.close();
  }
}

/** Written by others; absent in some builds, so that it is looked for by name. */
async function findTour(): Promise<ExtraCommand | undefined> {
  const url = new URL('../cli/tour.ts', import.meta.url);
  if (!existsSync(url)) return undefined;
  const { runTour } = (await import(url.href)) as { readonly runTour?: ExtraCommand };
  return runTour;
}

/** `process.exit` would lose what a pipe has not taken yet. */
function flush(): Promise<void> {
  return new Promise((resolve) => process.stdout.write('', () => resolve()));
}
