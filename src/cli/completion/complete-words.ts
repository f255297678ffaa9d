/** `holdfast __complete -- WORDS`: the candidates for the last word, one a line. */
import type { KindName } from '#api/kinds/mod.ts';
import { KINDS, parseKindName } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import type { Command } from 'commander';
import { optionsOf } from '../cli-command.ts';
import { withCluster } from '../cluster-client.ts';
import type { ClusterClient, ClusterOption } from '../cluster-client.ts';
import type { CliContext } from '../context.ts';
import { EXIT_OK } from '../exit-codes.ts';
import { sourceOfArgument, sourceOfOption } from './candidates.ts';
import type { Source } from './candidates.ts';
import { readWords } from './words-so-far.ts';
import type { WordsSoFar } from './words-so-far.ts';

interface Candidate {
  readonly word: string;
  readonly meaning: string;
}

export async function printWords(
  context: CliContext,
  program: Command,
  words: readonly string[],
  options: ClusterOption,
): Promise<number> {
  const seen = readWords(program, words);
  const found = await candidatesFor(context, seen, options);
  if (found === 'files') context.out(':files');
  else {
    for (const { word, meaning } of found) {
      if (word.startsWith(seen.current)) context.out(meaning === '' ? word : `${word}\t${meaning}`);
    }
  }
  return EXIT_OK;
}

async function candidatesFor(
  context: CliContext,
  seen: WordsSoFar,
  options: ClusterOption,
): Promise<readonly Candidate[] | 'files'> {
  const { command, wanted } = seen;
  switch (wanted.is) {
    case 'nothing':
      return [];
    case 'command':
      return command.commands
        .filter((each) => !each.name().startsWith('_'))
        .map((each) => ({ word: each.name(), meaning: each.description() }));
    case 'option':
      return [
        ...optionsOf(command)
          .filter((option) => !option.hidden && option.long !== undefined)
          .map((option) => ({ word: option.long ?? '', meaning: option.description })),
        { word: '--help', meaning: 'Show how' },
      ];
    case 'value': {
      const source = sourceOfOption(wanted.option);
      const found = await candidatesFrom(context, seen, options, source, null);
      if (found === 'files') return found;
      return found.map(({ word, meaning }) => ({ word: `${wanted.before}${word}`, meaning }));
    }
    case 'argument': {
      const source = sourceOfArgument(command, wanted.argument);
      return candidatesFrom(context, seen, options, source, kindBefore(seen));
    }
  }
}

/** What was typed for the argument `kind`. */
function kindBefore({ command, given }: WordsSoFar): KindName | null {
  const at = command.registeredArguments.findIndex((argument) => argument.name() === 'kind');
  return at < 0 ? null : kindOf(given[at] ?? '');
}

function kindOf(text: string): KindName | null {
  try {
    return parseKindName(text);
  } catch (error) {
    if (HoldfastError.is(error)) return null;
    throw error;
  }
}

async function candidatesFrom(
  context: CliContext,
  seen: WordsSoFar,
  options: ClusterOption,
  source: Source | undefined,
  kindNamed: KindName | null,
): Promise<readonly Candidate[] | 'files'> {
  if (source === 'files') return 'files';
  if (source === undefined || source === 'free') return [];
  const { current } = seen;
  if ('objects' in source) {
    const kind = source.objects ?? kindNamed;
    return kind === null ? [] : namesOf(context, seen, options, kind, current);
  }
  // `pvc/demo`: the kind is complete, a name is wanted.
  const slash = current.indexOf('/');
  const kind = slash < 0 ? null : kindOf(current.slice(0, slash));
  if (kind === null) return source.words.map((word) => ({ word, meaning: '' }));
  const names = await namesOf(context, seen, options, kind, current.slice(slash + 1));
  const before = current.slice(0, slash + 1);
  return names.map(({ word, meaning }) => ({ word: `${before}${word}`, meaning }));
}

/** Nothing where no cluster answers: a shell waits for no error. */
async function namesOf(
  context: CliContext,
  seen: WordsSoFar,
  options: ClusterOption,
  kind: KindName,
  typed: string,
): Promise<readonly Candidate[]> {
  const path = seen.options.get('--cluster') ?? options.cluster;
  const withNamespace = KINDS[kind].isNamespaced && typed.includes('/');
  const namespace = KINDS[kind].isNamespaced
    ? (seen.options.get('--namespace') ?? 'default')
    : undefined;
  const list = (cluster: ClusterClient) =>
    cluster.list(kind, withNamespace ? undefined : namespace);
  try {
    const objects = await withCluster(context, { cluster: path }, list);
    return objects.map(({ metadata }) => ({
      word: withNamespace ? `${metadata.namespace}/${metadata.name}` : metadata.name,
      meaning: '',
    }));
  } catch (error) {
    if (HoldfastError.is(error)) return [];
    throw error;
  }
}
