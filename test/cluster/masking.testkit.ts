/** Takes out of kubectl's output what no two runs have in common. */

const RULES: readonly (readonly [RegExp, string])[] = [
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g, '<uid>'],
  [/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, '<time>'],
  [
    /\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}/g,
    '<time>',
  ],
  [/(resourceVersion\\?"?: ?\\?")\d+/gi, '$1<version>'],
  [/(Resource Version: +)\d+/g, '$1<version>'],
  [/\bgen-[bcdfghjklmnpqrstvwxz2456789]{5}\b/g, 'gen-<name>'],
  [/\b(?:127\.0\.0\.1|localhost):\d+/g, '<address>'],
  [/"continue":"[^"]+"/g, '"continue":"<token>"'],
  // A watch that ends early makes kubectl's library complain, or not.
  [/^[IWE]\d{4} \d\d:\d\d:.*\n/gm, ''],
  // kubectl diff names its scratch files.
  [/\/tmp\/(LIVE|MERGED)-\d+/g, '/tmp/$1-<n>'],
];

/** An age as kubectl prints it, with the spaces that fill its column. */
const AGE =
  /(?<=^|\s|\()(?:\d+y)?(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+s)?(?<=[smhdy])(?=\s|\)|$)( *)/gm;

export function mask(text: string): string {
  let masked = text;
  for (const [pattern, replacement] of RULES) masked = masked.replaceAll(pattern, replacement);
  const lines = sortManagers(sortBullets(sortJsonManagers(masked).split('\n')));
  return lines.map((line) => maskAges(line)).join('\n');
}

/**
 * Field managers come in the order of their times, in whole seconds, and then of their names: which
 * counts depends on where in a second a command ran. Here the order of their texts counts.
 */
function sortManagers(lines: readonly string[]): string[] {
  const sorted: string[] = [];
  for (let at = 0; at < lines.length; ) {
    const line = lines[at++] ?? '';
    sorted.push(line);
    const indent = /^( *)managedFields:$/.exec(line)?.[1];
    if (indent === undefined) continue;
    const entries: string[] = [];
    while (at < lines.length && /^(?:- |  )/.test(lines[at]?.slice(indent.length) ?? '')) {
      const own = lines[at++] ?? '';
      if (own.startsWith(`${indent}- `)) entries.push(own);
      else entries.push(`${entries.pop() ?? ''}\n${own}`);
    }
    sorted.push(...entries.toSorted());
  }
  return sorted;
}

function sortJsonManagers(text: string): string {
  if (!text.startsWith('{') || !text.includes('"managedFields"')) return text;
  const value = JSON.parse(text, (name, entry: unknown) => {
    if (name !== 'managedFields' || !Array.isArray(entry)) return entry;
    return entry.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  }) as unknown;
  const newline = text.endsWith('\n') ? '\n' : '';
  return JSON.stringify(value, null, text.startsWith('{\n') ? 4 : 0) + newline;
}

/** Go walks the properties of an object in any order, and lists their problems so. */
function sortBullets(lines: readonly string[]): string[] {
  const sorted: string[] = [];
  let bullets: string[] = [];
  for (const line of [...lines, '']) {
    if (line.startsWith('* ')) {
      bullets.push(line);
      continue;
    }
    sorted.push(...bullets.toSorted(), line);
    bullets = [];
  }
  return sorted.slice(0, -1);
}

function maskAges(line: string): string {
  const masked = line.replaceAll(AGE, (_, spaces: string) =>
    spaces === '' ? '<age>' : '<age>   ',
  );
  return masked.replaceAll(/\bAGE +/g, 'AGE   ');
}
