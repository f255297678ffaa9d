/**
 * What varies from run to run, taken out of a line of output. Words, counts, states and the shape
 * of trees stay; the widths of columns go, because a longer age moves them.
 */
import type { Varying } from './transcript-steps.ts';

const ALWAYS: readonly (readonly [RegExp, string])[] = [
  [/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, 'UID'],
  [/\bpvc-[0-9a-f]{12}-[0-9a-f]{6}\b/g, 'REPLICA'],
  [/\bpvc-[0-9a-f]{12}\b/g, 'VOLUME'],
  [/\bhf-[0-9a-f]{12}\b/g, 'CLUSTER'],
  [/\bi-[0-9a-f]{16}\b/g, 'INCARNATION'],
  [/\b[0-9a-f]{16,64}\b/g, 'HEX'],
  [/\(\d+, \d+\)/g, '(GENERATION)'],
  [/\b(node-\d+)\/\d+\/HEX/g, '$1/PID/HEX'],
  // Blocks of a layer: a journal writes more or fewer.
  [/\b\d+ (data|zero|checked)\b/g, 'N $1'],
  // Where a filesystem puts a file depends on its mkfs.
  [/\bblock[= ]\d+/g, 'block N'],
  // A Mount is named for its claim, node and path.
  [/\b([a-z][a-z0-9-]*)-[0-9a-f]{8}\b/g, '$1-HASH'],
  [/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, 'TIME'],
  [/\b\d{8}-\d{6}\b/g, 'TIME'],
  [/\b(?:\d+d)?(?:\d+h)?(?:\d+m)?\d+s\b/g, 'PERIOD'],
  [/\b(?:\d+d\d*h?|\d+h\d*m?|\d+m)(?![\w.])/g, 'PERIOD'],
  [/\b\d+(?:\.\d+)? (?:ms|s|min|h|days?)\b(?: \d+ (?:s|min|h)\b)*/g, 'PERIOD'],
  [/\/dev\/loop\d+/g, 'LOOP'],
  [/\bpid \d+/g, 'pid PID'],
  [/\bnode-(\d+)\.[0-9a-f]{12}\.nbd\b/g, 'node-$1.nbd'],
  [/\b127\.0\.0\.1:\d+/g, '127.0.0.1:PORT'],
  // The disk below is the machine's.
  [/ device \/dev\/\S+ .*| device \S+  filesystem .*/g, ' device DISK'],
];

const SIZE = /(?<![\w.-])\d+(?:\.\d+)?(?: ?(?:B|[KMGT]iB)|[KMGT]|%)(?!\w)/g;

export function maskLine(line: string, varies: readonly Varying[]): string {
  let masked = line;
  for (const [pattern, name] of ALWAYS) masked = masked.replaceAll(pattern, name);
  if (varies.includes('nodes')) masked = masked.replaceAll(/\bnode-\d+\b/g, 'NODE');
  if (varies.includes('sizes')) {
    // Numbers are aligned to the right, so what is before them goes as well.
    masked = masked.replaceAll(SIZE, 'SIZE').replace(/^ +(?=SIZE)/, '');
  }
  return masked.replaceAll(/(?<=\S)\s{2,}/g, '  ').trimEnd();
}

/** Lines in any order are sorted once they are masked. */
export function maskOutput(lines: readonly string[], varies: readonly Varying[]): string[] {
  const masked = lines.map((line) => maskLine(line, varies));
  return varies.includes('order') ? masked.toSorted() : masked;
}
