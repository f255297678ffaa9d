/** What can stand at each place of the command line: arguments and options by their names. */
import type { KindName } from '#api/kinds/mod.ts';
import { KIND_NAMES, KINDS } from '#api/kinds/mod.ts';
import { FORECAST_VERBS } from '#api/mod.ts';
import type { Argument, Command, Option } from 'commander';
import { SHELLS } from './scripts.ts';

export type Source =
  /** Names of objects of this kind; null: of the kind that was named before. */
  | { readonly objects: KindName | null }
  | { readonly words: readonly string[] }
  | 'files'
  /** Nobody can know: a new name, a size. */
  | 'free';

const AWAITED = ['condition=Ready', 'condition=Attached', 'phase=Bound', 'create', 'delete'];
const CLAIMS: Source = { objects: 'PersistentVolumeClaim' };
const PLACES: Source = { words: ['node', 'pool'] };

/** `COMMAND ARGUMENT` before `ARGUMENT`. */
const ARGUMENTS: Readonly<Record<string, Source>> = {
  kind: { words: KIND_NAMES.flatMap((kind) => [KINDS[kind].plural, ...KINDS[kind].shortNames]) },
  'where kind': { words: ['claim', 'volume', 'replica', 'pool', 'node', 'disk'] },
  'drain kind': PLACES,
  'cordon kind': PLACES,
  'uncordon kind': PLACES,
  'space kind': { words: ['claim', 'pool'] },
  name: { objects: null },
  names: { objects: null },
  claim: CLAIMS,
  'restore claim': 'free',
  'clone claim': 'free',
  source: CLAIMS,
  snapshot: { objects: 'VolumeSnapshot' },
  size: 'free',
  verb: { words: FORECAST_VERBS },
  shell: { words: SHELLS },
  path: 'files',
  dir: 'files',
  words: 'free',
};

const OPTIONS: Readonly<Record<string, Source>> = {
  '--cluster': 'files',
  '--filename': 'files',
  '--patch-file': 'files',
  '--namespace': { objects: 'Namespace' },
  '--node': { objects: 'StorageNode' },
  '--replica': { objects: 'Replica' },
  '--storage-class': { objects: 'StorageClass' },
  '--snapshot-class': { objects: 'VolumeSnapshotClass' },
  '--for': { words: AWAITED },
  '--wait': { words: AWAITED },
  '--timeout': { words: ['30s', '5m', '1h'] },
  '--name': 'free',
  '--nodes': 'free',
  '--patch': 'free',
  '--size': 'free',
};

export function sourceOfArgument(command: Command, argument: Argument): Source | undefined {
  return ARGUMENTS[`${command.name()} ${argument.name()}`] ?? ARGUMENTS[argument.name()];
}

export function sourceOfOption(option: Option): Source | undefined {
  if (option.argChoices !== undefined) return { words: option.argChoices };
  return OPTIONS[option.long ?? ''];
}
