/**
 * What kubectl and a real API server said to each other, in a form that another server can be asked
 * to repeat: values that a server chooses are placeholders, numbered in the order they appeared.
 *
 * recorded/FILE.jsonl has a line for each exchange. Documents that list everything the real server
 * has (discovery, OpenAPI) are only named: their answers are null.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Exchange } from './recording-proxy.testkit.ts';

const FOLDER = join(import.meta.dirname, 'recorded');

export type Json = null | boolean | number | string | readonly Json[] | JsonFields;
export interface JsonFields {
  readonly [name: string]: Json;
}

export interface RecordedExchange {
  /** Titles of the commands that it belongs to: several when a watch ran beside them. */
  readonly titles: readonly string[];
  readonly goneFirst?: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Text as it was sent, or base64 of protobuf. */
  readonly body: string;
  readonly status: number;
  readonly contentType: string;
  readonly warnings: readonly string[];
  /** Of a watch, the list of its events; text where it is not JSON; null where not kept. */
  readonly answer: Json;
  /** Of a watch: how many exchanges of its step had begun when kubectl ended it. */
  readonly watchEndsAfter?: number;
}

/** Whether another server's answer to this could be the same. */
export function isComparable(path: string): boolean {
  return !/^\/(?:api|apis|openapi\/v[23].*|version)(?:\?|$)/.test(path) && !isForeign(path);
}

const FOREIGN =
  /\/(?:resourcequotas|limitranges|pods|services|endpoints|replicationcontrollers)(?:[/?]|$)/;

/** kubectl looks at kinds that only the real server has. */
function isForeign(path: string): boolean {
  return (
    /^\/apis\/(?:apiextensions\.k8s\.io|apps|batch|networking\.k8s\.io)\//.test(path) ||
    FOREIGN.test(path)
  );
}

export function isWatch(path: string): boolean {
  return /[?&]watch=(?:true|1)\b/.test(path);
}

/** Gives placeholders, the same one for the same value. */
export class Placeholders {
  readonly #known = new Map<string, string>();
  readonly #counts = new Map<string, number>();

  #of(kind: string, value: string): string {
    const key = `${kind} ${value}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    const placeholder = `<${kind}:${count}>`;
    this.#known.set(key, placeholder);
    return placeholder;
  }

  /** Of a path, a body or an answer, as they were sent. */
  replace(text: string): string {
    return (
      text
        .replaceAll(/(?<![0-9a-f-])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, (uid) => {
          return uid === SCRIPTED_UID ? uid : this.#of('uid', uid);
        })
        .replaceAll(
          /(resourceVersion(?:\\*":\\*"|","value":"|=))(\d{2,})/g,
          (_, before: string, version: string) => {
            return before + this.#of('version', version);
          },
        )
        .replaceAll(
          /("continue":"|[?&]continue=)([\w%=+/-]{12,})/g,
          (_, before: string, token: string) => {
            return before + this.#of('continue', decodeURIComponent(token));
          },
        )
        .replaceAll(/\bgen-[bcdfghjklmnpqrstvwxz2456789]{5}\b/g, (name) => this.#of('name', name))
        .replaceAll(/\b(?!2026-01-01)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, '<time>')
        .replaceAll(/"(?:\d+[smhd])+"/g, '"<age>"')
        // kubectl draws it.
        .replaceAll(/([?&]timeoutSeconds=)\d+/g, '$1400')
    );
  }
}

/** A uid that the scripts write themselves. */
const SCRIPTED_UID = 'd9607e19-f88f-11e6-a518-42010a800195';

export function recordedStep(
  titles: readonly string[],
  goneFirst: string | undefined,
  exchanges: readonly Exchange[],
  placeholders: Placeholders,
): RecordedExchange[] {
  return exchanges.map((one, index) => ({
    titles,
    ...(goneFirst !== undefined && index === 0 ? { goneFirst } : {}),
    method: one.method,
    path: placeholders.replace(one.path),
    headers: one.headers,
    body: placeholders.replace(one.body),
    status: one.status,
    contentType: one.contentType,
    warnings: one.warnings,
    answer: isComparable(one.path) ? answerOf(one, placeholders) : null,
    ...(isWatch(one.path) ? { watchEndsAfter: one.endedAfter } : {}),
  }));
}

function answerOf({ path, status, answer }: Exchange, placeholders: Placeholders): Json {
  const text = placeholders.replace(answer);
  if (isWatch(path) && status === 200) {
    const lines = text.split('\n').filter((line) => line !== '');
    return lines.map((line) => JSON.parse(line) as Json).filter((event) => !isHeartbeat(event));
  }
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text;
  }
}

/** A bookmark that came because a while had passed. */
function isHeartbeat(event: Json): boolean {
  const { type, object } = event as JsonFields;
  return type === 'BOOKMARK' && !JSON.stringify(object).includes('k8s.io/initial-events-end');
}

export function saveRecorded(file: string, exchanges: readonly RecordedExchange[]): void {
  mkdirSync(FOLDER, { recursive: true });
  const lines = exchanges.map((one) => `${JSON.stringify(one)}\n`);
  writeFileSync(join(FOLDER, `${file}.jsonl`), lines.join(''));
}

/** In the order of the scripts. */
export function readRecorded(): RecordedExchange[] {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith('.jsonl'));
  return names.toSorted().flatMap((name) => {
    const lines = readFileSync(join(FOLDER, name), 'utf8').split('\n');
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as RecordedExchange);
  });
}
