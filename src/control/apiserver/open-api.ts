/** /openapi/v3: an index of documents by group and version, each with the hash of its content. */
import { toOpenApi } from '#api/resources/mod.ts';
import type { JsonObject, Resource } from '#api/resources/mod.ts';
import { encodeText } from '#lib/mod.ts';
import { createHash } from 'node:crypto';
import { answerJson } from './answer.ts';
import type { ApiRequest, ApiResponse } from './request.ts';

interface Document {
  readonly bytes: Uint8Array;
  readonly hash: string;
}

export class OpenApi {
  readonly #resources: readonly Resource[];
  #documents: ReadonlyMap<string, Document> | undefined;

  constructor(resources: readonly Resource[]) {
    this.#resources = resources;
  }

  /** `rest` is what follows `/openapi/v3`; undefined when there is no such document. */
  answer(rest: string, request: ApiRequest): ApiResponse | undefined {
    // Made when somebody asks: most servers are never asked.
    this.#documents ??= build(this.#resources);
    if (rest === '') return answerJson({ paths: indexOf(this.#documents) });
    const document = this.#documents.get(rest.slice(1));
    if (document === undefined) return undefined;
    const { bytes, hash } = document;
    const etag = `"${hash}"`;
    const isHashed = request.query.get('hash') === hash;
    const headers = {
      'content-type': 'application/json',
      etag,
      vary: 'Accept-Encoding, Accept',
      // A document under its hash never changes.
      ...(isHashed ? { 'cache-control': 'public, immutable, max-age=31536000' } : {}),
    };
    if (request.headers['if-none-match'] === etag) {
      return { status: 304, headers, body: new Uint8Array(0) };
    }
    return { status: 200, headers, body: bytes };
  }
}

function build(resources: readonly Resource[]): ReadonlyMap<string, Document> {
  const documents = new Map<string, Document>();
  for (const [path, document] of Object.entries(toOpenApi(resources))) {
    const bytes = encodeText(JSON.stringify(document));
    const hash = createHash('sha512').update(bytes).digest('hex').toUpperCase();
    documents.set(path, { bytes, hash });
  }
  return documents;
}

function indexOf(documents: ReadonlyMap<string, Document>): JsonObject {
  const paths: Record<string, unknown> = {};
  for (const [path, { hash }] of documents) {
    paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` };
  }
  return paths;
}
