/** One HTTPS call to an API server, without kubectl. */
import { request } from 'node:https';

export interface ApiAddress {
  readonly url: string;
  /** PEM of the authority. */
  readonly authority: string;
  readonly token: string;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

export interface ApiCall {
  readonly method?: string;
  readonly path: string;
  readonly body?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

export async function callApi(address: ApiAddress, call: ApiCall): Promise<ApiAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<ApiAnswer>();
  const url = new URL(address.url);
  const options = {
    method: call.method ?? 'GET',
    host: url.hostname,
    port: url.port,
    path: call.path,
    ca: address.authority,
    agent: false as const,
    headers: {
      authorization: `Bearer ${address.token}`,
      ...(call.body === undefined
        ? {}
        : {
            'content-type': 'application/json',
            // Of a deletion Node sends none by itself, and its body would not be read.
            'content-length': Buffer.byteLength(call.body),
          }),
      ...call.headers,
    },
  };
  const sent = request(options, (response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('error', reject);
    response.on('end', () =>
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        text: Buffer.concat(chunks).toString(),
      }),
    );
  });
  sent.on('error', reject);
  sent.end(call.body);
  return promise;
}
