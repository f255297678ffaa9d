/**
 * The difference that kube-apiserver shows when a spec must not change: both values as Go prints
 * its own structures, compared line by line (apimachinery pkg/util/diff).
 */
import { isMap } from './field-problems.ts';

/** A field of a Go structure: its name there, its name in JSON, what it is. */
export type GoField = readonly [string, string, GoKind];
/** Structures that are pointers are null when absent. */
export type GoKind =
  | 'text'
  | 'flag'
  | 'any'
  | { readonly list: readonly GoField[] }
  | { readonly struct: readonly GoField[] }
  | { readonly pointer: readonly GoField[] };

export function toGo(fields: readonly GoField[], value: unknown): Record<string, unknown> {
  const from = isMap(value) ? value : {};
  return Object.fromEntries(fields.map(([go, json, kind]) => [go, goValue(kind, from[json])]));
}

function goValue(kind: GoKind, value: unknown): unknown {
  if (kind === 'text') return value ?? '';
  if (kind === 'flag') return value ?? false;
  if (kind === 'any') return sortKeys(value ?? null);
  if ('list' in kind) {
    return Array.isArray(value) ? value.map((item) => toGo(kind.list, item)) : null;
  }
  if ('struct' in kind) return toGo(kind.struct, value);
  return value === undefined || value === null ? null : toGo(kind.pointer, value);
}

/** Go writes maps sorted by key. */
export function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (!isMap(value)) return value;
  const keys = Object.keys(value).toSorted();
  return Object.fromEntries(keys.map((key) => [key, sortKeys(value[key])]));
}

const CONTEXT = 3;

interface Line {
  readonly sign: ' ' | '-' | '+';
  readonly text: string;
}

/** Unified, with three lines of context; empty when both are the same. */
export function diffOf(before: unknown, after: unknown): string {
  const lines = align(
    JSON.stringify(before, null, 1).split('\n'),
    JSON.stringify(after, null, 1).split('\n'),
  );
  return hunksOf(lines)
    .map(([from, to]) => formatHunk(lines, from, to))
    .join('');
}

/** The longest run that both have, then the same before and after it, as difflib does. */
function align(a: readonly string[], b: readonly string[]): Line[] {
  const run = longestRun(a, b);
  if (run.count === 0) {
    const gone = a.map((text): Line => ({ sign: '-', text }));
    return [...gone, ...b.map((text): Line => ({ sign: '+', text }))];
  }
  const { inA, inB, count } = run;
  return [
    ...align(a.slice(0, inA), b.slice(0, inB)),
    ...a.slice(inA, inA + count).map((text): Line => ({ sign: ' ', text })),
    ...align(a.slice(inA + count), b.slice(inB + count)),
  ];
}

interface Run {
  readonly inA: number;
  readonly inB: number;
  readonly count: number;
}

/** The first of the longest. */
function longestRun(a: readonly string[], b: readonly string[]): Run {
  let best: Run = { inA: 0, inB: 0, count: 0 };
  for (let inA = 0; inA < a.length; inA += 1) {
    for (let inB = 0; inB < b.length; inB += 1) {
      let count = 0;
      while (inA + count < a.length && a[inA + count] === b[inB + count]) count += 1;
      if (count > best.count) best = { inA, inB, count };
    }
  }
  return best;
}

/** Runs of lines to show, each with its context; runs that touch are one. */
function hunksOf(lines: readonly Line[]): (readonly [number, number])[] {
  const hunks: [number, number][] = [];
  lines.forEach(({ sign }, index) => {
    if (sign === ' ') return;
    const from = Math.max(0, index - CONTEXT);
    const to = Math.min(lines.length, index + CONTEXT + 1);
    const last = hunks.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = to;
    else hunks.push([from, to]);
  });
  return hunks;
}

function formatHunk(lines: readonly Line[], from: number, to: number): string {
  const range = (sign: '-' | '+'): string => {
    const belongs = (line: Line): boolean => line.sign === ' ' || line.sign === sign;
    const start = lines.slice(0, from).filter(belongs).length + 1;
    const count = lines.slice(from, to).filter(belongs).length;
    if (count === 1) return String(start);
    return `${count === 0 ? start - 1 : start},${count}`;
  };
  const body = lines.slice(from, to).map(({ sign, text }) => `${sign}${text}\n`);
  return `@@ -${range('-')} +${range('+')} @@\n${body.join('')}`;
}
