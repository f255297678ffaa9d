/**
 * Scripts of kubectl commands as data (kubectl/*.txt):
 *
 *   # why                     a comment
 *   $ kubectl get configmaps  a command; quotes group words, as in a shell
 *   | kind: ConfigMap         a line of its standard input
 *   @2 kubectl get --watch    runs beside what follows, once it has printed 2 lines
 *   @4 end                    stops it when it has printed 4
 *   % gone /api/v1/...        waits, unseen, until nothing answers at that path
 *
 * UID(configmap/one) in an input is the uid that this object has then.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const FOLDER = join(import.meta.dirname, 'kubectl');

export interface KubectlCommand {
  /** Unique: file and command, with a number when it occurs again. */
  readonly title: string;
  readonly file: string;
  readonly text: string;
  /** Without `kubectl`. */
  readonly args: readonly string[];
  readonly input: string;
  /** Of a watch: lines printed when it counts as begun. */
  readonly begunAfterLines?: number;
  /** After this command the watch has printed so many lines, and ends. */
  endsWatchAfterLines?: number;
  /** Before the command, nothing is at this path any more. */
  readonly goneFirst?: string;
}

export function readScripts(): KubectlCommand[] {
  const commands: KubectlCommand[] = [];
  for (const name of readdirSync(FOLDER)
    .filter((one) => one.endsWith('.txt'))
    .toSorted()) {
    const file = name.slice(0, -4);
    commands.push(...parseScript(file, readFileSync(join(FOLDER, name), 'utf8')));
  }
  return commands;
}

export function parseScript(file: string, script: string): KubectlCommand[] {
  const commands: KubectlCommand[] = [];
  const seen = new Map<string, number>();
  let input: string[] = [];
  let head: { text: string; begunAfterLines?: number; goneFirst?: string } | undefined;
  let gone: string | undefined;
  const finish = (): void => {
    if (head === undefined) return;
    const count = (seen.get(head.text) ?? 0) + 1;
    seen.set(head.text, count);
    commands.push({
      title: `${file}: ${head.text}${count > 1 ? ` (${count})` : ''}`,
      file,
      args: splitWords(head.text).slice(1),
      input: input.join(''),
      ...head,
    });
    head = undefined;
    input = [];
  };
  script.split('\n').forEach((line, index) => {
    const watch = /^@(\d+) (kubectl .*|end)$/.exec(line);
    if (watch !== null) {
      finish();
      const last = commands.at(-1);
      const lines = Number(watch[1]);
      if (watch[2] !== 'end') head = { text: watch[2] ?? '', begunAfterLines: lines };
      else if (last !== undefined) last.endsWatchAfterLines = lines;
    } else if (line.startsWith('$ kubectl ')) {
      finish();
      head = { text: line.slice(2), ...(gone === undefined ? {} : { goneFirst: gone }) };
      gone = undefined;
    } else if (line.startsWith('% gone /')) {
      finish();
      gone = line.slice('% gone '.length);
    } else if (line.startsWith('| ') || line === '|') {
      input.push(`${line.slice(2)}\n`);
    } else if (line !== '' && !line.startsWith('#')) {
      throw new Error(`${file}:${index + 1}: neither command, input nor comment: ${line}`);
    }
  });
  finish();
  return commands;
}

function splitWords(text: string): string[] {
  const words: string[] = [];
  for (const match of text.matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g)) {
    words.push(match[0].replaceAll(/'([^']*)'|"([^"]*)"/g, (_, one, two) => one ?? two));
  }
  return words;
}
