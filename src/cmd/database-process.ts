/**
 * SQLite in a process of its own: its calls block, and on a volume that waits for its engine they
 * block long. One JSON line a request and a reply; the process ends with its standard input.
 *
 *     {"sql": "..."}   →   {"rows": [...]} | {"error": "..."}
 */
import { HoldfastError } from '#api/mod.ts';
import type { Database, DatabaseRow } from '#cli/mod.ts';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';

interface Reply {
  readonly rows?: readonly DatabaseRow[];
  readonly error?: string;
}

/** Role `database FILE`. */
export async function runDatabase(args: readonly string[]): Promise<void> {
  const database = new DatabaseSync(args[0] ?? '');
  for await (const line of createInterface({ input: process.stdin })) {
    const { sql } = JSON.parse(line) as { readonly sql: string };
    let reply: Reply;
    try {
      reply = { rows: database.prepare(sql).all() };
    } catch (error) {
      reply = { error: String(error) };
    }
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
  database.close();
}

export async function openDatabase(file: string): Promise<Database> {
  const entry = new URL('./holdfast.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [...process.execArgv, entry, 'database', file], {
    stdio: ['pipe', 'pipe', 'inherit'],
    // A group of its own: Ctrl-C reaches us alone, and we end it in order.
    detached: true,
  });
  const waiting: ((reply: Reply) => void)[] = [];
  let hasEnded = false;
  const ended = new Promise<void>((resolve) => {
    const onEnd = (): void => {
      hasEnded = true;
      for (const settle of waiting.splice(0)) settle({ error: 'Its process ended' });
      resolve();
    };
    child.once('error', onEnd);
    child.once('close', onEnd);
  });
  child.stdin.on('error', () => undefined);
  createInterface({ input: child.stdout }).on('line', (line) => {
    waiting.shift()?.(JSON.parse(line) as Reply);
  });
  const ask = (sql: string): Promise<Reply> =>
    new Promise((resolve) => {
      if (hasEnded) return resolve({ error: 'Its process ended' });
      waiting.push(resolve);
      child.stdin.write(`${JSON.stringify({ sql })}\n`);
    });
  return {
    query: async (sql) => {
      const { rows, error } = await ask(sql);
      if (rows !== undefined) return rows;
      throw new HoldfastError('io-error', 'Database refused a statement', {
        details: { file, sql: sql.slice(0, 120), cause: error ?? '' },
      });
    },
    close: async () => {
      child.stdin.end();
      await ended;
    },
  };
}
