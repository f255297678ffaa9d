/** What the words before the cursor mean, by the table of commands. Pure. */
import type { Argument, Command, Option } from 'commander';
import { optionsOf } from '../cli-command.ts';

export interface WordsSoFar {
  /** The command that they have come to. */
  readonly command: Command;
  /** Its arguments that are complete. */
  readonly given: readonly string[];
  /** Values of the options that are complete, by their long names. */
  readonly options: ReadonlyMap<string, string>;
  /** What is being typed. */
  readonly current: string;
  readonly wanted: Wanted;
}

export type Wanted =
  | {
      readonly is: 'value';
      readonly option: Option /** `--node=`, or empty. */;
      readonly before: string;
    }
  | { readonly is: 'option' }
  | { readonly is: 'command' }
  | { readonly is: 'argument'; readonly argument: Argument }
  | { readonly is: 'nothing' };

export function readWords(program: Command, words: readonly string[]): WordsSoFar {
  const current = words.at(-1) ?? '';
  const options = new Map<string, string>();
  const given: string[] = [];
  let command = program;
  let pending: Option | undefined;
  let isPlain = false;
  for (const word of words.slice(0, -1)) {
    if (pending !== undefined) {
      options.set(pending.long ?? '', word);
      // More of the same may follow; the next option ends it.
      pending = undefined;
    } else if (word === '--' && !isPlain) isPlain = true;
    else if (word.startsWith('-') && word !== '-' && !isPlain) {
      const [flag = '', ...rest] = word.split('=');
      const option = findOption(command, flag);
      if (option === undefined || !takesValue(option)) continue;
      if (rest.length > 0) options.set(option.long ?? '', rest.join('='));
      else if (flag.length > 2 && !flag.startsWith('--')) {
        options.set(option.long ?? '', flag.slice(2));
      } else pending = option;
    } else {
      const below = given.length === 0 ? findCommand(command, word) : undefined;
      if (below === undefined) given.push(word);
      else command = below;
    }
  }
  return {
    command,
    given,
    options,
    current,
    wanted: wantedBy(command, given, current, pending, isPlain),
  };
}

function wantedBy(
  command: Command,
  given: readonly string[],
  current: string,
  pending: Option | undefined,
  isPlain: boolean,
): Wanted {
  if (pending !== undefined) return { is: 'value', option: pending, before: '' };
  if (current.startsWith('-') && !isPlain) {
    const flag = /^(--[a-z-]+)=/.exec(current);
    const option = flag === null ? undefined : findOption(command, flag[1] ?? '');
    if (flag === null || option === undefined) return { is: 'option' };
    return { is: 'value', option, before: flag[0] };
  }
  if (command.commands.length > 0 && given.length === 0) return { is: 'command' };
  const { registeredArguments } = command;
  const last = registeredArguments.at(-1);
  const argument =
    registeredArguments[given.length] ?? (last?.variadic === true ? last : undefined);
  return argument === undefined ? { is: 'nothing' } : { is: 'argument', argument };
}

function findCommand(command: Command, word: string): Command | undefined {
  return command.commands.find((each) => each.name() === word || each.aliases().includes(word));
}

/** `-nfoo` is `-n` with its value. */
function findOption(command: Command, flag: string): Option | undefined {
  const short = flag.startsWith('--') ? undefined : flag.slice(0, 2);
  return optionsOf(command).find((option) => option.long === flag || option.short === short);
}

export function takesValue(option: Option): boolean {
  return option.required || option.optional;
}
