/**
 * The JSONPath that printer columns use: `.spec.a`, `['a.b']`, `[0]`, `[*]` and
 * `[?(@.type=="Ready")]`. What is absent selects nothing.
 */
type Step = (value: unknown) => unknown[];

const TOKEN =
  /\.(?<field>[\w/-]+(?:\\\.[\w/-]+)*)|\[(?<index>\d+)\]|\[(?<all>\*)\]|\['(?<quoted>[^']+)'\]|\[\?\(@\.(?<key>[\w.]+)\s*==\s*(?:"(?<text>[^"]*)"|'(?<text2>[^']*)')\)\]/y;

const parsed = new Map<string, readonly Step[]>();

export function readJsonPath(object: unknown, path: string): unknown[] {
  let steps = parsed.get(path);
  if (steps === undefined) parsed.set(path, (steps = parseSteps(path)));
  return steps.reduce<unknown[]>((values, step) => values.flatMap(step), [object]);
}

function parseSteps(path: string): readonly Step[] {
  const steps: Step[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < path.length) {
    const groups = TOKEN.exec(path)?.groups;
    // A path that is none selects nothing.
    if (groups === undefined) return [() => []];
    steps.push(stepOf(groups));
  }
  return steps;
}

function stepOf(groups: Record<string, string | undefined>): Step {
  const { field, index, all, quoted, key, text, text2 } = groups;
  if (all !== undefined) return (value) => (Array.isArray(value) ? value : []);
  if (index !== undefined) {
    return (value) => (Array.isArray(value) ? value.slice(Number(index), Number(index) + 1) : []);
  }
  if (key !== undefined) {
    const wanted = text ?? text2;
    const read = key.split('.').map(fieldStep);
    return (value) => {
      const list = Array.isArray(value) ? value : [];
      return list.filter(
        (one) => read.reduce<unknown[]>((v, s) => v.flatMap(s), [one])[0] === wanted,
      );
    };
  }
  return fieldStep(quoted ?? (field ?? '').replaceAll('\\.', '.'));
}

function fieldStep(name: string): Step {
  return (value) => {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return [];
    const found = (value as Record<string, unknown>)[name];
    return found === null || found === undefined ? [] : [found];
  };
}
