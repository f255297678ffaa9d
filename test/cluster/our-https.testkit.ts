/** Our API server over HTTPS, its objects in an SQLite file; an hour of its time can be skipped. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RESOURCES } from '#api/resources/mod.ts';
import { ApiServer, openSqliteStore, serveApi } from '#control/apiserver/mod.ts';
import type { HttpListener } from '#host/mod.ts';
import {
  createAuthority,
  createNodeHost,
  createServerIdentity,
  NodeDatabases,
  NodeHttp,
} from '#host/node/mod.ts';
import { formatHex } from '#lib/mod.ts';
import { type ApiAddress, callApi } from './api-call.testkit.ts';

const HOST = '127.0.0.1';
const HOUR_MS = 3_600_000;

export interface OurHttpsOptions {
  readonly watchesMax?: number;
  readonly connectionsMax?: number;
}

export class OurHttpsServer {
  readonly directory: string;
  readonly address: ApiAddress;
  readonly server: ApiServer;
  readonly #listener: HttpListener;
  readonly #store: { close(): void };
  readonly #skip: () => void;

  private constructor(
    fields: Pick<OurHttpsServer, 'directory' | 'address' | 'server'>,
    listener: HttpListener,
    store: { close(): void },
    skip: () => void,
  ) {
    this.directory = fields.directory;
    this.address = fields.address;
    this.server = fields.server;
    this.#listener = listener;
    this.#store = store;
    this.#skip = skip;
  }

  static async start(options: OurHttpsOptions = {}): Promise<OurHttpsServer> {
    const { connectionsMax = 2_000, ...limits } = options;
    const { clock, rng, log } = createNodeHost({ logLevel: 'error' });
    const directory = await mkdtemp(join(tmpdir(), 'hf-https-'));
    let skippedMs = 0;
    const store = openSqliteStore({
      databases: new NodeDatabases(),
      path: join(directory, 'objects.db'),
      wallMs: () => clock.wallMs() + skippedMs,
    });
    const valid = { fromMs: clock.wallMs() - HOUR_MS, untilMs: clock.wallMs() + HOUR_MS };
    const authority = createAuthority('the test', valid);
    const token = formatHex(rng.bytes(32));
    const fixed = { resources: RESOURCES, version: '0.0.0' };
    const server = new ApiServer({ store, clock, rng, log, ...fixed, ...limits });
    const listener = await new NodeHttp().serve({
      at: { host: HOST, port: 0 },
      tls: createServerIdentity(authority, [HOST], valid),
      connectionsMax,
      handle: serveApi({ server, token }),
    });
    const url = `https://${HOST}:${listener.port}`;
    const address = { url, authority: authority.certificate, token };
    const skip = (): void => void (skippedMs += HOUR_MS);
    return new OurHttpsServer({ directory, address, server }, listener, store, skip);
  }

  /** Lets an hour pass: what happened before is forgotten with the next write. */
  async forget(): Promise<void> {
    this.#skip();
    const body = JSON.stringify({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { generateName: 'later-' },
    });
    await callApi(this.address, { method: 'POST', path: '/api/v1/namespaces', body });
  }

  async stop(): Promise<void> {
    this.server.close();
    await this.#listener.close();
    this.#store.close();
    await rm(this.directory, { recursive: true, force: true });
  }
}
