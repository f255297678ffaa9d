/** Bytes and headers of an answer, in the form that was chosen. */
import type { JsonObject } from '#api/resources/mod.ts';
import { encodeText } from '#lib/mod.ts';
import { stringify } from 'yaml';
import type { ApiFailure } from './failure.ts';
import { badRequest } from './failure.ts';
import type { AnswerForm } from './negotiate.ts';
import { listBody } from './reads.ts';
import type { ListAnswer } from './reads.ts';
import type { ApiResponse, ResourceRequest } from './request.ts';
import { parseIncludeObject, partialOf, tableOf } from './table.ts';
import type { TableOptions } from './table.ts';
import type { WatchType } from './watch-stream.ts';

const PLAIN: AnswerForm = {
  encoding: 'json',
  view: 'object',
  viewVersion: '',
  discovery: undefined,
};

export function answerJson(
  body: unknown,
  options: {
    readonly status?: number;
    readonly form?: AnswerForm;
    readonly headers?: Readonly<Record<string, string>>;
  } = {},
): ApiResponse {
  const { status = 200, form = PLAIN, headers = {} } = options;
  const isYaml = form.encoding === 'yaml';
  const text = isYaml ? stringify(body) : `${JSON.stringify(body)}\n`;
  return {
    status,
    headers: { 'content-type': isYaml ? 'application/yaml' : 'application/json', ...headers },
    body: encodeText(text),
  };
}

export function answerText(status: number, text: string): ApiResponse {
  const headers = {
    'content-type': 'text/plain; charset=utf-8',
    'x-content-type-options': 'nosniff',
  };
  return { status, headers, body: encodeText(text) };
}

export function answerFailure(failure: ApiFailure): ApiResponse {
  const { body } = failure;
  const seconds = body.details?.retryAfterSeconds;
  const retry = seconds === undefined ? {} : { 'retry-after': String(seconds) };
  const challenge = body.code === 401 ? { 'www-authenticate': 'Bearer' } : {};
  return answerJson(body, { status: body.code, headers: { ...retry, ...challenge } });
}

/** RFC 7234 5.5: code 299, no agent, the text quoted. */
export function warningHeader(warnings: readonly string[]): Readonly<Record<string, string>> {
  if (warnings.length === 0) return {};
  const quoted = warnings.map((text) => `299 - "${text.replaceAll(/["\\]/g, String.raw`\$&`)}"`);
  return { warning: quoted.join(', ') };
}

function tableOptions(to: ResourceRequest, nowMs: number): TableOptions {
  return {
    version: to.form.viewVersion,
    includeObject: parseIncludeObject(to.request.query),
    hasHeaders: true,
    nowMs,
  };
}

export function answerObject(
  to: ResourceRequest,
  object: JsonObject,
  nowMs: number,
  status = 200,
): ApiResponse {
  const headers = warningHeader(to.warnings);
  return answerJson(viewOf(to, object, tableOptions(to, nowMs)), {
    status,
    form: to.form,
    headers,
  });
}

function viewOf(to: ResourceRequest, object: JsonObject, options: TableOptions): JsonObject {
  const { form, resource } = to;
  if (form.view === 'PartialObjectMetadata') return partialOf(object, form.viewVersion);
  if (form.view !== 'Table') return object;
  const { resourceVersion } = object['metadata'] as JsonObject;
  return tableOf(resource, [object], { resourceVersion }, options);
}

export function answerList(to: ResourceRequest, list: ListAnswer, nowMs: number): ApiResponse {
  const { form, resource } = to;
  const metadata = list.metadata as unknown as JsonObject;
  if (form.view === 'Table') {
    const table = tableOf(resource, list.items, metadata, tableOptions(to, nowMs));
    return answerJson(table, { form });
  }
  if (form.view === 'object') return answerJson(listBody(resource, list), { form });
  const items = list.items.map((object) => partialOf(object, form.viewVersion));
  return answerJson(
    { kind: 'PartialObjectMetadataList', apiVersion: form.viewVersion, metadata, items },
    { form },
  );
}

/** How a watch shows objects; a bookmark is a table without rows. */
export function watchView(
  to: ResourceRequest,
  nowMs: () => number,
): (type: WatchType, object: JsonObject, isFirst: boolean) => JsonObject {
  const { form, resource } = to;
  if (form.encoding !== 'json') throw badRequest('a watch is served as JSON');
  if (form.view === 'object') return (_type, object) => object;
  if (form.view !== 'Table') return (_type, object) => partialOf(object, form.viewVersion);
  return (type, object, isFirst) => {
    const options = { ...tableOptions(to, nowMs()), hasHeaders: isFirst };
    const { resourceVersion, annotations } = object['metadata'] as JsonObject;
    if (type === 'BOOKMARK') {
      return tableOf(resource, [], { resourceVersion, annotations }, options);
    }
    return tableOf(resource, [object], { resourceVersion }, options);
  };
}
