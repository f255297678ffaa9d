/**
 * What the nexus keeps with a replica (`ReplicaState.rebuild`): enough to know, after anybody's
 * death, that it must go on from nothing, and that the replica has lost its vote for ever (R16).
 *
 *     ''              nothing to know
 *     'delta 128'     a rebuild reached about segment 128
 *     'full 128'      the same, of a replica that was emptied
 *     'reset 0'       it is to be emptied first
 *     '... no-vote'   it forgot what it promised: in sync perhaps, but no voter under this name
 */
export interface RebuildNote {
  readonly kind: 'delta' | 'full' | 'reset' | null;
  readonly segment: number;
  readonly voteless: boolean;
}

/** Of a replica that forgot: durable on it before it gets a record of ours (R16). */
export const FORGOT_NOTE: RebuildNote = { kind: 'reset', segment: 0, voteless: true };

export function formatNote(note: RebuildNote): string {
  const words: string[] = note.kind === null ? [] : [note.kind, String(note.segment)];
  if (note.voteless) words.push('no-vote');
  return words.join(' ');
}

/** Words that another version wrote are not understood and say nothing. */
export function parseNote(text: string): RebuildNote {
  const words = text.split(' ');
  const voteless = words.includes('no-vote');
  const [kind] = words;
  if (kind !== 'delta' && kind !== 'full' && kind !== 'reset') {
    return { kind: null, segment: 0, voteless };
  }
  const segment = Number(words[1]);
  return { kind, segment: Number.isSafeInteger(segment) ? segment : 0, voteless };
}
