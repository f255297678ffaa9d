/**
 * Which pools a volume may lie in: a list of terms, all of which must hold. `ssd` wants a tag (or a
 * label of the name), `!ssd` forbids it, `tier=fast` and `tier!=slow` compare a label.
 */
export interface PoolTerm {
  /** As it was written. */
  readonly text: string;
  readonly key: string;
  /** Null: whether the tag is there. */
  readonly value: string | null;
  readonly isNegated: boolean;
}

export type PoolSelectorResult =
  | { readonly ok: true; readonly terms: readonly PoolTerm[] }
  | { readonly ok: false; readonly problem: string };

export interface PoolMarks {
  readonly tags: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

export const POOL_SELECTOR_MAX = 512;
const NAME = '[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,251}[A-Za-z0-9])?';
const VALUE = '(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?';
const TERM = new RegExp(`^(?:(!?)(${NAME})|(${NAME})(=|==|!=)(${VALUE}))$`);

export function readPoolSelector(text: string): PoolSelectorResult {
  if (text.length > POOL_SELECTOR_MAX) return { ok: false, problem: 'Selector is too long' };
  const terms: PoolTerm[] = [];
  for (const part of text.split(',').map((piece) => piece.trim())) {
    const match = TERM.exec(part);
    if (match === null) return { ok: false, problem: `Term "${part.slice(0, 60)}" is malformed` };
    const [, not, tag, label, operator, value] = match;
    terms.push(
      tag === undefined
        ? { text: part, key: label ?? '', value: value ?? '', isNegated: operator === '!=' }
        : { text: part, key: tag, value: null, isNegated: not === '!' },
    );
  }
  return { ok: true, terms };
}

/** The first term that does not hold; undefined when all do. */
export function findUnmetTerm(terms: readonly PoolTerm[], pool: PoolMarks): PoolTerm | undefined {
  return terms.find((term) => holds(term, pool) === term.isNegated);
}

function holds({ key, value }: PoolTerm, { tags, labels }: PoolMarks): boolean {
  const label = Object.hasOwn(labels, key) ? labels[key] : undefined;
  return value === null ? tags.includes(key) || label !== undefined : label === value;
}
