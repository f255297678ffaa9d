/**
 * Text to values: what a person or a program wrote for `apply`, and the files in DIR/manifests.
 * Bounded before it is read and while it is read: a manifest can be a mistake or an attack, and
 * neither may end the process that reads it.
 */
import { invalidObject } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import { readWholeFile, type Disk } from '#host/mod.ts';
import { decodeText, EMPTY_BYTES } from '#lib/mod.ts';
import { type Document, isScalar, LineCounter, parseAllDocuments, visit } from 'yaml';

/** As much as a Kubernetes API server takes in one object. */
export const MANIFEST_BYTES_MAX = 1024 * 1024;

/** `invalid-argument` for what is no file, is not there or is too long. */
export async function readManifestFile(disk: Disk, path: string): Promise<string> {
  const stat = await disk.stat(path);
  if (stat?.kind !== 'file') throw unreadable(path, stat === undefined ? 'absent' : 'no file');
  if (stat.sizeBytes > MANIFEST_BYTES_MAX) throw unreadable(path, `${stat.sizeBytes} bytes`);
  return decodeText((await readWholeFile(disk, path)) ?? EMPTY_BYTES);
}

function unreadable(path: string, found: string): HoldfastError {
  return new HoldfastError('invalid-argument', 'Manifest cannot be read', {
    details: { field: 'file', value: path, found, remedy: 'Give a file of at most 1 MiB' },
  });
}

/** Every document of a YAML stream (JSON is YAML). `invalid-object` names the line. */
export function parseManifest(text: string): unknown[] {
  const values: unknown[] = [];
  for (const value of parseDocuments(text)) {
    if (value === null || value === undefined) continue;
    const { kind, items } = value as { kind?: unknown; items?: unknown };
    if (kind === 'List' && Array.isArray(items)) values.push(...(items as unknown[]));
    else values.push(value);
  }
  return values;
}

function parseDocuments(text: string): unknown[] {
  const lines = new LineCounter();
  // The library compares each key with every other one: 100,000 keys would take hours.
  const documents = parseAllDocuments(text, { lineCounter: lines, uniqueKeys: false });
  const list = Array.isArray(documents) ? (documents as Document[]) : [];
  return list.map((document) => {
    const [error] = document.errors;
    if (error !== undefined) {
      throw notTaken(error.linePos?.[0].line ?? 0, firstLine(error), 'Correct the YAML there');
    }
    refuseDuplicateKeys(document, lines);
    return toValue(document);
  });
}

function refuseDuplicateKeys(document: Document, lines: LineCounter): void {
  visit(document, {
    Map: (_key, map) => {
      const seen = new Set<string>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        const name = String(key.value);
        const { line } = lines.linePos(key.range?.[0] ?? 0);
        if (seen.has(name)) {
          throw notTaken(line, `Key is there twice: ${name.slice(0, 80)}`, 'Keep one of the two');
        }
        seen.add(name);
      }
    },
  });
}

/** Aliases without an anchor, and those that multiply, show only here. */
function toValue(document: Document): unknown {
  try {
    return document.toJS();
  } catch (error) {
    if (!(error instanceof ReferenceError || error instanceof RangeError)) throw error;
    throw notTaken(0, firstLine(error), 'Write it without anchors and aliases');
  }
}

function firstLine(error: Error): string {
  const line = (error.message.split('\n')[0] ?? '').slice(0, 200).replace(/:$/, '');
  return line.replace('Maximum call stack size exceeded', 'nested too deep');
}

function notTaken(line: number, reason: string, remedy: string): HoldfastError {
  const value = line === 0 ? 'the document' : `line ${line}`;
  return invalidObject('', value, `Manifest is not YAML: ${reason}`, remedy);
}
