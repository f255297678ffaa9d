/**
 * How a request reaches an API server, and what it is: the one shape for client and server.
 * `ApiServer.handle` is one way, HTTP another.
 */
import { HoldfastError } from '#api/mod.ts';
import type { Http } from '#host/mod.ts';

export interface ApiCall {
  readonly method: string;
  /** Percent-encoded, segment by segment, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** Ends a watch. */
  readonly signal: AbortSignal;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** A stream when a watch was asked for and granted. */
  readonly body: Uint8Array | AsyncIterable<Uint8Array>;
}

/** Rejects with `refused`, `disconnected`, `timed-out`, `wrong-identity` or `aborted`. */
export type ApiTransport = (call: ApiCall) => Promise<ApiAnswer>;

export interface ApiEndpoint {
  /** Scheme, host and port. */
  readonly url: string;
  /** The unix socket that leads there; the host of `url` is only a name then. */
  readonly socketPath?: string;
  /** PEM. */
  readonly authority?: string;
  readonly token?: string;
}

const HEAD_MS = 30_000;

/** A call of which nothing is heard for `timeoutMs` is given up. */
export function createHttpTransport(
  http: Http,
  endpoint: ApiEndpoint,
  timeoutMs = HEAD_MS,
): ApiTransport {
  const { url, socketPath, authority, token } = endpoint;
  const identity: Record<string, string> =
    token === undefined ? {} : { authorization: `Bearer ${token}` };
  return async ({ method, path, query, headers, body, signal }) => {
    const text = query.toString();
    const call = {
      method,
      url: `${url}${path}${text === '' ? '' : `?${text}`}`,
      socketPath,
      headers: { ...headers, ...identity },
      ...(body.byteLength === 0 ? {} : { body }),
      authority,
      timeoutMs,
      signal,
    };
    try {
      return await http.request(call, query.get('watch') === 'true');
    } catch (error) {
      throw explainAbsence(error);
    }
  };
}

/** A socket that is not there is a server that is not there, not an object. */
function explainAbsence(error: unknown): unknown {
  if (!HoldfastError.is(error) || error.code !== 'not-found') return error;
  return new HoldfastError('refused', 'No API server answers', {
    details: error.details,
    cause: error,
  });
}
