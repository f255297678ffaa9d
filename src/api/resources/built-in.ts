/** What built-in kinds share. */
import type { FieldProblem, JsonObject, Resource } from './resource.ts';

type Given = Pick<Resource, 'group' | 'kind' | 'plural' | 'isNamespaced' | 'schema' | 'columns'> &
  Partial<Resource>;

export function builtIn(given: Given): Resource {
  return {
    version: 'v1',
    listKind: `${given.kind}List`,
    singular: given.kind.toLowerCase(),
    shortNames: [],
    categories: [],
    hasStatus: false,
    isCustom: false,
    hasGeneration: false,
    ...given,
  };
}

export type Check = (after: JsonObject, before: JsonObject | undefined) => FieldProblem[];
