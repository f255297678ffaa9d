/** Role `apiserver --dir DIR [--port N]`: the Kubernetes API on loopback, its objects in SQLite. */
import { hasCode, HoldfastError } from '#api/mod.ts';
import { RESOURCES } from '#api/resources/mod.ts';
import { layOut } from '#cli/mod.ts';
import { ApiServer, openSqliteStore, serveApi } from '#control/apiserver/mod.ts';
import type { Host, HttpListener, HttpServeOptions } from '#host/mod.ts';
import { readWholeFile, replaceWholeFile } from '#host/mod.ts';
import { createNodeHost, NodeDatabases, NodeHttp } from '#host/node/mod.ts';
import { decodeText, EMPTY_BYTES, encodeText } from '#lib/mod.ts';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import {
  createServerTls,
  ensureCredentials,
  RENEW_MS,
  writeKubeconfig,
} from './apiserver-credentials.ts';
import type { Credentials } from './apiserver-credentials.ts';
import { giveBackAtRest } from './memory-at-rest.ts';
import { watchParent } from './parent-watch.ts';
import { VERSION } from './version.ts';

const HOST = '127.0.0.1';
const CONNECTIONS_MAX = 2_000;
/** Where the port of before is remembered: a kubeconfig that somebody copied goes on working. */
const PORT_FILE = 'port';

interface ApiserverOptions {
  readonly directory: string;
  /** 0: the one of before, or a free one. */
  readonly port: number;
  readonly kubeconfig: string;
  /** Where the cluster's own processes come in, without TLS: as safe as its directory is. */
  readonly socketPath: string | undefined;
  readonly logFile: string | undefined;
  readonly endsWithParent: boolean;
}

export async function runApiserver(args: readonly string[]): Promise<void> {
  const options = parseOptions(args);
  const { directory, logFile, socketPath } = options;
  const host = createNodeHost(logFile === undefined ? {} : { logFile });
  const { disk, clock, rng, log } = host;
  const files = { disk, clock, rng, directory };
  await disk.makeDirectory(directory);
  // First of all: two servers of one directory would write each other's files.
  const store = openSqliteStore({
    databases: new NodeDatabases(),
    path: `${directory}/objects.db`,
    wallMs: () => clock.wallMs(),
  });
  const credentials = await ensureCredentials(files);
  const server = new ApiServer({ store, clock, rng, log, resources: RESOURCES, version: VERSION });
  const http = new NodeHttp();
  const listener = await listen(host, http, options, {
    tls: createServerTls(credentials.authority, clock),
    connectionsMax: CONNECTIONS_MAX,
    handle: serveApi({ server, token: credentials.token }),
  });
  renewInTime(host, credentials, listener);
  await writeKubeconfig(disk, options.kubeconfig, credentials, listener.port);
  const inner =
    socketPath === undefined
      ? undefined
      : await http.serve({
          at: { socketPath },
          connectionsMax: CONNECTIONS_MAX,
          handle: serveApi({ server, token: undefined }),
        });
  const stop = async (): Promise<void> => {
    server.close();
    await Promise.all([listener.close(), inner?.close()]);
    store.close();
    process.exit(0);
  };
  process.once('SIGTERM', () => void stop());
  process.once('SIGINT', () => void stop());
  // Last: who reads it may ask us to end.
  process.stdout.write(
    `serves https://${HOST}:${listener.port}, kubeconfig ${options.kubeconfig}\n`,
  );
  giveBackAtRest(host);
  if (options.endsWithParent) watchParent(() => void stop());
}

async function listen(
  { disk }: Host,
  http: NodeHttp,
  { port, directory }: ApiserverOptions,
  rest: Omit<HttpServeOptions, 'at'>,
): Promise<HttpListener> {
  if (port > 0) return http.serve({ ...rest, at: { host: HOST, port } });
  const path = `${directory}/${PORT_FILE}`;
  const before = Number(decodeText((await readWholeFile(disk, path)) ?? EMPTY_BYTES));
  if (Number.isInteger(before) && before > 0 && before < 65_536) {
    try {
      return await http.serve({ ...rest, at: { host: HOST, port: before } });
    } catch (error) {
      if (!hasCode(error, 'address-in-use')) throw error;
    }
  }
  const listener = await http.serve({ ...rest, at: { host: HOST, port: 0 } });
  await replaceWholeFile(disk, path, encodeText(String(listener.port)));
  return listener;
}

function renewInTime(host: Host, { authority }: Credentials, listener: HttpListener): void {
  host.clock.after(RENEW_MS, () => {
    listener.setTls(createServerTls(authority, host.clock));
    renewInTime(host, { authority, token: '' }, listener);
  });
}

function parseOptions(args: readonly string[]): ApiserverOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      dir: { type: 'string' },
      port: { type: 'string', default: '0' },
      'with-parent': { type: 'boolean', default: false },
      'cluster-dir': { type: 'string' },
      'run-dir': { type: 'string' },
    },
  });
  const port = parsePort(values.port);
  const cluster = values['cluster-dir'];
  if (cluster !== undefined) {
    const { apiserver, kubeconfig, apiSocket, logs } = layOut(resolve(cluster));
    const logFile = `${logs}/apiserver.log`;
    const inCluster = { directory: apiserver, kubeconfig, socketPath: apiSocket, logFile };
    return { ...inCluster, port, endsWithParent: false };
  }
  if (values.dir === undefined || values.dir === '') {
    throw new HoldfastError('invalid-argument', 'Argument is missing', {
      details: { field: '--dir', value: '', remedy: 'holdfast apiserver --dir DIR [--port N]' },
    });
  }
  const directory = resolve(values.dir);
  return {
    directory,
    port,
    kubeconfig: `${directory}/kubeconfig`,
    socketPath: undefined,
    logFile: undefined,
    endsWithParent: values['with-parent'],
  };
}

function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port;
  throw new HoldfastError('invalid-argument', 'Argument is no port', {
    details: {
      field: '--port',
      value: text,
      remedy: 'Use 1 to 65535, or 0 for a free one',
    },
  });
}
