/** Role `apiserver --dir DIR [--port N]`: the Kubernetes API on loopback, its objects in SQLite. */
import { HoldfastError } from '#api/mod.ts';
import { RESOURCES } from '#api/resources/mod.ts';
import { ApiServer, openSqliteStore, serveApi } from '#control/apiserver/mod.ts';
import type { Host, HttpListener } from '#host/mod.ts';
import { createNodeHost, NodeDatabases, NodeHttp } from '#host/node/mod.ts';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import {
  createServerTls,
  ensureCredentials,
  RENEW_MS,
  writeKubeconfig,
} from './apiserver-credentials.ts';
import type { Credentials } from './apiserver-credentials.ts';
import { watchParent } from './parent-watch.ts';
import { VERSION } from './version.ts';

const HOST = '127.0.0.1';
const CONNECTIONS_MAX = 2_000;

export async function runApiserver(args: readonly string[]): Promise<void> {
  const { directory, port, endsWithParent } = parseOptions(args);
  const host = createNodeHost();
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
  const listener = await new NodeHttp().serve({
    host: HOST,
    port,
    tls: createServerTls(credentials.authority, clock),
    connectionsMax: CONNECTIONS_MAX,
    handle: serveApi({ server, token: credentials.token }),
  });
  renewInTime(host, credentials, listener);
  const kubeconfig = await writeKubeconfig(files, credentials, listener.port);
  process.stdout.write(`serves https://${HOST}:${listener.port}, kubeconfig ${kubeconfig}\n`);
  const stop = async (): Promise<void> => {
    server.close();
    await listener.close();
    store.close();
    process.exit(0);
  };
  process.once('SIGTERM', () => void stop());
  process.once('SIGINT', () => void stop());
  if (endsWithParent) watchParent(() => void stop());
}

function renewInTime(host: Host, { authority }: Credentials, listener: HttpListener): void {
  host.clock.after(RENEW_MS, () => {
    listener.setTls(createServerTls(authority, host.clock));
    renewInTime(host, { authority, token: '' }, listener);
  });
}

function parseOptions(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      dir: { type: 'string' },
      port: { type: 'string', default: '0' },
      'with-parent': { type: 'boolean', default: false },
    },
  });
  if (values.dir === undefined || values.dir === '') {
    throw new HoldfastError('invalid-argument', 'Argument is missing', {
      details: { field: '--dir', value: '', remedy: 'holdfast apiserver --dir DIR [--port N]' },
    });
  }
  const port = Number(values.port);
  if (!/^\d{1,5}$/.test(values.port) || port > 65_535) {
    throw new HoldfastError('invalid-argument', 'Argument is no port', {
      details: {
        field: '--port',
        value: values.port,
        remedy: 'Use 1 to 65535, or 0 for a free one',
      },
    });
  }
  return { directory: resolve(values.dir), port, endsWithParent: values['with-parent'] };
}
