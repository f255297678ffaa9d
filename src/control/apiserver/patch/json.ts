/**
 * JSON values as patches see them. A key may be any string, also `__proto__`: a ConfigMap may hold
 * such a key, and an assignment would change the prototype instead.
 */
export type JsonMap = Record<string, unknown>;

export function isMap(value: unknown): value is JsonMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Undefined when absent; never what a prototype has. */
export function getKey(map: JsonMap, key: string): unknown {
  return Object.hasOwn(map, key) ? map[key] : undefined;
}

export function setKey(map: JsonMap, key: string, value: unknown): void {
  Object.defineProperty(map, key, {
    value,
    configurable: true,
    enumerable: true,
    writable: true,
  });
}

/** Numbers by value, maps in any order of keys. */
export function equalJson(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (Array.isArray(left)) {
    return (
      Array.isArray(right) &&
      left.length === right.length &&
      left.every((item, at) => equalJson(item, right[at]))
    );
  }
  if (!isMap(left) || !isMap(right)) return false;
  const keys = Object.keys(left);
  return (
    keys.length === Object.keys(right).length &&
    keys.every((key) => Object.hasOwn(right, key) && equalJson(left[key], right[key]))
  );
}

/** How deep maps and lists lie in one another, counted no further than one past `most`. */
export function depthOf(value: unknown, most: number): number {
  let level: unknown[] = [value];
  for (let depth = 0; depth <= most; depth += 1) {
    const next: unknown[] = [];
    for (const one of level) {
      if (typeof one === 'object' && one !== null) {
        for (const child of Object.values(one) as unknown[]) next.push(child);
      }
    }
    if (next.length === 0) return depth;
    level = next;
  }
  return most + 1;
}

export function cloneJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(cloneJson);
  if (!isMap(value)) return value;
  const copy: JsonMap = {};
  for (const [key, child] of Object.entries(value)) setKey(copy, key, cloneJson(child));
  return copy;
}

/** As Go's encoding/json writes it: keys sorted, what HTML could mistake escaped. */
export function goJson(value: unknown): string {
  return escapeHtml(JSON.stringify(sorted(value)));
}

export function escapeHtml(json: string): string {
  return json.replace(/[<>&\u2028\u2029]/g, (character) => {
    const code = character.charCodeAt(0).toString(16).padStart(4, '0');
    return `\\u${code}`;
  });
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isMap(value)) return value;
  const copy: JsonMap = {};
  for (const key of Object.keys(value).toSorted()) setKey(copy, key, sorted(value[key]));
  return copy;
}
