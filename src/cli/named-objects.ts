/** Which objects are meant: `claim demo`, `claim/demo`, `claim default/demo`, with -n. */
import type { KindName } from '#api/kinds/mod.ts';
import { KINDS, parseKindName } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import { parseKey } from '#control/kube/mod.ts';
import type { ObjectKey } from '#control/kube/mod.ts';

export interface NamedObjects {
  readonly kind: KindName;
  /** As typed. */
  readonly names: readonly string[];
}

/** `pvc/demo` is as good as `pvc demo`. */
export function splitKind(text: string, names: readonly string[]): NamedObjects {
  const slash = text.indexOf('/');
  if (slash < 0) return { kind: parseKindName(text), names };
  return { kind: parseKindName(text.slice(0, slash)), names: [text.slice(slash + 1), ...names] };
}

export function scopedName(
  kind: KindName,
  text: string,
  namespace: string | undefined,
): { name: string; namespace?: string } {
  if (!KINDS[kind].isNamespaced) return { name: checkName('name', text) };
  const key = parseKey(text);
  return {
    name: checkName('name', key.name),
    namespace: checkName('namespace', key.namespace ?? namespace ?? 'default'),
  };
}

const NAME_MAX = 253;
const NAMESPACE_MAX = 63;
const NAME = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/;

/** A name that an object can have; said here, an answer of the server would only be "not found". */
export function checkName(field: string, text: string): string {
  const max = field === 'namespace' ? NAMESPACE_MAX : NAME_MAX;
  if (text.length <= max && NAME.test(text)) return text;
  const message = text.length > max ? 'Name is too long' : 'Name is malformed';
  throw new HoldfastError('invalid-argument', message, {
    details: {
      field,
      value: text.slice(0, 80),
      ...(text.length > max ? { characters: text.length } : {}),
      remedy: `Use at most ${max} of a-z, 0-9, "-" and ".", beginning and ending with a letter or digit`,
    },
  });
}

/** Exactly one object, as typed; `invalid-argument` for none and for several. */
export function nameOne(
  kindText: string,
  nameText: string | undefined,
): { readonly kind: KindName; readonly name: string } {
  const { kind, names } = splitKind(kindText, nameText === undefined ? [] : [nameText]);
  const [name] = names;
  if (name !== undefined && names.length === 1) return { kind, name };
  throw new HoldfastError('invalid-argument', 'One object must be named', {
    details: { field: 'name', value: names.join(' '), remedy: 'Name it: KIND NAME, or KIND/NAME' },
  });
}

/** At least one. */
export function nameSome(
  kindText: string,
  names: readonly string[],
  namespace: string | undefined,
): { readonly kind: KindName; readonly keys: readonly ObjectKey[] } {
  const split = splitKind(kindText, names);
  if (split.names.length === 0) throw nothingNamed();
  const { kind } = split;
  return { kind, keys: split.names.map((name) => scopedName(kind, name, namespace)) };
}

export function nothingNamed(): HoldfastError {
  return new HoldfastError('invalid-argument', 'No object was named', {
    details: { field: 'name', value: '', remedy: 'Name it: KIND NAME, or KIND/NAME' },
  });
}
