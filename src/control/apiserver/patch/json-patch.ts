/**
 * JSON patch (RFC 6902) as kube-apiserver's library (evanphx/json-patch v4) does it. That differs
 * from the RFC where clients have come to rely on it: `replace` creates a missing key of a map,
 * indices may be negative, reading a missing key of a map gives null, and there is no `add` or
 * `remove` of the whole document.
 */
import { cloneJson, depthOf, equalJson, getKey, isMap, type JsonMap, setKey } from './json.ts';
import { badPatch, demandDepth, DEPTH_MAX, PatchTestFailed } from './refusal.ts';

const OPERATIONS_MAX = 10_000;
/** What `copy` may add in all, so that a short patch cannot double an object for ever. */
const COPIED_CHARACTERS_MAX = 3 * 1024 * 1024;

interface Place {
  readonly container: JsonMap | unknown[];
  readonly key: string;
  /** Of what is put there. */
  readonly depth: number;
}

interface Document {
  root: unknown;
  copied: number;
  /** No less than it is. */
  depth: number;
}

/** Never changes `object`; all operations apply or none. */
export function applyJsonPatch(object: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) {
    throw badPatch(`json: cannot unmarshal ${nounOf(patch)} into Go value of type jsonpatch.Patch`);
  }
  if (patch.length > OPERATIONS_MAX) {
    const most = `The allowed maximum operations in a JSON patch is ${OPERATIONS_MAX}`;
    throw badPatch(`${most}, got ${patch.length}`, 413);
  }
  demandDepth(patch);
  const document: Document = {
    root: cloneJson(object),
    copied: 0,
    depth: depthOf(object, DEPTH_MAX),
  };
  for (const operation of patch as readonly unknown[]) {
    if (!isMap(operation)) {
      const type = 'jsonpatch.Operation';
      throw badPatch(`json: cannot unmarshal ${nounOf(operation)} into Go value of type ${type}`);
    }
    applyOperation(document, operation);
  }
  return document.root;
}

function nounOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}

function applyOperation(document: Document, operation: JsonMap): void {
  const op = getKey(operation, 'op');
  switch (op) {
    case 'add':
      return add(document, stringOf(operation, 'path', op), valueOf(operation));
    case 'remove':
      return remove(document, stringOf(operation, 'path', op));
    case 'replace':
      return replace(document, stringOf(operation, 'path', op), valueOf(operation));
    case 'test':
      return test(document, stringOf(operation, 'path', op), valueOf(operation));
    case 'move':
      return move(document, stringOf(operation, 'from', op), stringOf(operation, 'path', op));
    case 'copy':
      return copy(document, stringOf(operation, 'from', op), stringOf(operation, 'path', op));
    default:
      throw new PatchTestFailed(`Unexpected kind: ${typeof op === 'string' ? op : 'unknown'}`);
  }
}

function stringOf(operation: JsonMap, name: string, op: string): string {
  const text = getKey(operation, name);
  if (typeof text === 'string') return text;
  throw new PatchTestFailed(`${op} operation failed to decode ${name}: missing value`);
}

/** A missing value is null. */
function valueOf(operation: JsonMap): unknown {
  return cloneJson(getKey(operation, 'value') ?? null);
}

function add(document: Document, path: string, value: unknown): void {
  const place = find(document.root, path);
  if (place === undefined) {
    throw missing(`add operation does not apply: doc is missing path: "${path}"`);
  }
  insert(place, value, `error in add for path: '${path}'`);
  demandObjectDepth(document, place.depth + depthOf(value, DEPTH_MAX));
}

function remove(document: Document, path: string): void {
  const place = find(document.root, path);
  if (place === undefined) {
    throw missing(`remove operation does not apply: doc is missing path: "${path}"`);
  }
  erase(place, `error in remove for path: '${path}'`);
}

function replace(document: Document, path: string, value: unknown): void {
  if (path === '') {
    if (typeof value !== 'object' || value === null) {
      throw new PatchTestFailed('replace operation value must be object or array');
    }
    document.root = value;
    return demandObjectDepth(document, depthOf(value, DEPTH_MAX));
  }
  const place = find(document.root, path);
  if (place === undefined) {
    throw missing(`replace operation does not apply: doc is missing path: ${path}`);
  }
  const { container, key } = place;
  if (!Array.isArray(container)) {
    setKey(container, key, value);
    return demandObjectDepth(document, place.depth + depthOf(value, DEPTH_MAX));
  }
  const at = indexOf(key, container.length - 1, container.length);
  if (at === undefined) {
    throw missing(`replace operation does not apply: doc is missing key: ${path}`);
  }
  container[at] = value;
  demandObjectDepth(document, place.depth + depthOf(value, DEPTH_MAX));
}

function test(document: Document, path: string, value: unknown): void {
  const place = path === '' ? undefined : find(document.root, path);
  if (path !== '' && place === undefined) {
    throw missing(`test operation does not apply: is missing path: ${path}`);
  }
  const found =
    place === undefined ? document.root : read(place, `error in test for path: '${path}'`);
  if (equalJson(found, value)) return;
  throw new PatchTestFailed(`testing value ${path} failed: test failed`);
}

function move(document: Document, from: string, path: string): void {
  const source = find(document.root, from);
  if (source === undefined) {
    throw missing(`move operation does not apply: doc is missing from path: ${from}`);
  }
  const value = read(source, `error in move for path: '${source.key}'`);
  erase(source, `error in move for path: '${source.key}'`);
  const place = find(document.root, path);
  if (place === undefined) {
    throw missing(`move operation does not apply: doc is missing destination path: ${path}`);
  }
  insert(place, value, `error in move for path: '${path}'`);
  demandObjectDepth(document, document.depth - source.depth + place.depth);
}

function copy(document: Document, from: string, path: string): void {
  const source = find(document.root, from);
  if (source === undefined) {
    throw missing(`copy operation does not apply: doc is missing from path: ${from}`);
  }
  const value = cloneJson(read(source, `error in copy for from: '${from}'`));
  const place = find(document.root, path);
  if (place === undefined) {
    throw missing(`copy operation does not apply: doc is missing destination path: ${path}`);
  }
  document.copied += JSON.stringify(value).length;
  if (document.copied > COPIED_CHARACTERS_MAX) {
    throw new PatchTestFailed('Unable to complete the copy, the accumulated size is too large');
  }
  insert(place, value, 'error while adding value during copy');
  demandObjectDepth(document, place.depth + depthOf(value, DEPTH_MAX));
}

/** RFC 6901, except that the whole document has no place. */
function find(root: unknown, path: string): Place | undefined {
  const parts = path.split('/');
  if (parts.length < 2) return undefined;
  const keys = parts.slice(1).map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  const last = keys.pop() ?? '';
  let at = root;
  for (const key of keys) {
    if (Array.isArray(at)) at = at[indexOf(key, at.length - 1, at.length) ?? -1];
    else at = isMap(at) ? getKey(at, key) : undefined;
  }
  if (!Array.isArray(at) && !isMap(at)) return undefined;
  return { container: at, key: last, depth: parts.length - 1 };
}

/** A negative index counts from the end of `length`. */
function indexOf(key: string, highest: number, length: number): number | undefined {
  if (!/^[+-]?[0-9]+$/.test(key)) return undefined;
  const index = Number(key);
  const at = index < 0 ? index + length : index;
  return at >= 0 && at <= highest ? at : undefined;
}

function read({ container, key }: Place, doing: string): unknown {
  if (!Array.isArray(container)) return getKey(container, key) ?? null;
  const at = indexOf(key, container.length - 1, container.length);
  if (at === undefined) throw badIndex(doing, key);
  return container[at];
}

/**
 * Operation by operation an object could grow deeper than any patch may be. Only when it may have
 * is it walked: a patch of many moves must not walk it each time.
 */
function demandObjectDepth(document: Document, depth: number): void {
  document.depth = Math.max(document.depth, depth);
  if (document.depth <= DEPTH_MAX) return;
  document.depth = depthOf(document.root, DEPTH_MAX);
  if (document.depth > DEPTH_MAX) throw new PatchTestFailed('exceeded max depth');
}

function insert({ container, key }: Place, value: unknown, doing: string): void {
  if (!Array.isArray(container)) return setKey(container, key, value);
  if (key === '-') {
    container.push(value);
    return;
  }
  const at = indexOf(key, container.length, container.length + 1);
  if (at === undefined) throw badIndex(doing, key);
  container.splice(at, 0, value);
}

function erase({ container, key }: Place, doing: string): void {
  if (!Array.isArray(container)) {
    if (!Object.hasOwn(container, key)) {
      throw missing(`${doing}: Unable to remove nonexistent key: ${key}`);
    }
    delete container[key];
    return;
  }
  const at = indexOf(key, container.length - 1, container.length);
  if (at === undefined) throw badIndex(doing, key);
  container.splice(at, 1);
}

function missing(message: string): PatchTestFailed {
  return new PatchTestFailed(`${message}: missing value`);
}

function badIndex(doing: string, key: string): PatchTestFailed {
  const why = /^[+-]?[0-9]+$/.test(key)
    ? `Unable to access invalid index: ${key}: invalid index referenced`
    : `strconv.Atoi: parsing ${JSON.stringify(key)}: invalid syntax`;
  return new PatchTestFailed(`${doing}: ${why}`);
}
