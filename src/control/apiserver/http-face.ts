/**
 * HTTP before the server: who is not known is turned away before a body is read, who comes too
 * often is told to come again.
 */
import { HoldfastError } from '#api/mod.ts';
import type { HttpRequest, HttpResponse } from '#host/mod.ts';
import { createHash, timingSafeEqual } from 'node:crypto';
import { answerFailure } from './answer.ts';
import type { ApiServer } from './api-server.ts';
import { tooLarge, tooManyRequests, unauthorized } from './failure.ts';
import { BODY_BYTES_MAX } from './request.ts';

export interface HttpFaceOptions {
  readonly server: ApiServer;
  /** The one that opens everything; undefined where whoever reaches us may do everything. */
  readonly token: string | undefined;
  readonly inFlightMax?: number;
}

/** Bodies are what requests in flight cost: at most this many times the largest. */
const IN_FLIGHT_MAX = 64;
/** Answered to everybody, as there. */
const PUBLIC = /^\/(?:healthz|livez|readyz|version)$/;

export function serveApi(
  options: HttpFaceOptions,
): (request: HttpRequest) => Promise<HttpResponse> {
  const { server, token, inFlightMax = IN_FLIGHT_MAX } = options;
  const wanted = token === undefined ? undefined : digest(token);
  let inFlight = 0;
  return async (request) => {
    const [path, query] = split(request.target);
    const isKnown = wanted === undefined || timingSafeEqual(digest(bearerOf(request)), wanted);
    if (!isKnown && !PUBLIC.test(path)) return answerFailure(unauthorized());
    if (inFlight >= inFlightMax) return answerFailure(tooManyRequests());
    inFlight += 1;
    try {
      const body = await request.readBody(BODY_BYTES_MAX);
      const { method, headers, signal } = request;
      const answer = await server.handle({
        method,
        path,
        query: new URLSearchParams(query),
        headers,
        body,
        signal,
      });
      return method === 'HEAD' ? { ...answer, body: new Uint8Array(0) } : answer;
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      return answerFailure(tooLarge(BODY_BYTES_MAX));
    } finally {
      inFlight -= 1;
    }
  };
}

function split(target: string): [string, string] {
  const at = target.indexOf('?');
  return at < 0 ? [target, ''] : [target.slice(0, at), target.slice(at + 1)];
}

function bearerOf({ headers }: HttpRequest): string {
  return /^Bearer\s+(\S+)$/i.exec(headers['authorization'] ?? '')?.[1] ?? '';
}

/** Of one length whatever was sent, so that comparing takes one time. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
