/** Role `controller`: the operator over the objects of the API server, and its RPC. */
import {
  HoldfastError,
  parseId,
  type ClusterId,
  type ControllerMethods,
  type EngineMethods,
  type NodeMethods,
  type VoteMethods,
} from '#api/mod.ts';
import { CONTROLLER_CHECKS, VOTE_CHECKS } from '#api/checks/mod.ts';
import { API_VERSION, SHIPPED_CLASSES } from '#api/kinds/mod.ts';
import type { DiskPool, StorageNode } from '#api/kinds/mod.ts';
import { layOut } from '#cli/mod.ts';
import type { KubeClient } from '#control/kube/mod.ts';
import {
  applyObject,
  parseManifest,
  parseManifestObjects,
  readManifestFile,
} from '#control/kube/mod.ts';
import type { ControllerInfo, NodeAccess } from '#control/operator/mod.ts';
import { createControllerHandlers, createVoteHandlers, Operator } from '#control/operator/mod.ts';
import type { Host } from '#host/mod.ts';
import { ControllerService } from '#control/csi/controller/mod.ts';
import { EmbeddedControllers } from '#control/embedded/mod.ts';
import { createIdentityService } from '#control/csi/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { RpcClient, serveRpc } from '#rpc/mod.ts';
import { parseArgs } from 'node:util';
import { createApiClient, untilApiServes } from './api-client.ts';
import { serveCsi } from './csi-server.ts';
import { readClusterFile } from './cluster-file.ts';
import { giveBackAtRest } from './memory-at-rest.ts';
import { watchParent } from './parent-watch.ts';
import { VERSION } from './version.ts';

const ORPHAN_QUIESCE_MS = 30_000;

export async function runController(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: { 'cluster-dir': { type: 'string' }, 'run-dir': { type: 'string' } },
  });
  const directory = layOut(demandPath('--cluster-dir', values['cluster-dir']));
  const runDir = demandPath('--run-dir', values['run-dir']);
  const host = createNodeHost({ logFile: `${directory.logs}/controller.log` });
  const lock = await host.disk.lock(`${runDir}/controller.lock`);
  const { cluster, nodes } = await readClusterFile(host.disk, directory.clusterFile);

  const client = createApiClient(host, directory.apiSocket, 'holdfast-controller');
  await untilApiServes(client, host);
  await seedNodes(client, directory.path, nodes);
  await seedClasses(client);
  const manifestErrors = await readManifests(host, client, directory.manifests);

  const operator = new Operator({
    client,
    clock: host.clock,
    rng: host.rng,
    log: host.log,
    cluster: parseId<ClusterId>('cluster', cluster),
    access: createAccess(host, runDir),
  });
  await operator.start();
  const info = { cluster, version: VERSION, pid: process.pid, manifestErrors };
  const handlers = { ...createControllerHandlers(operator, info), ...createVoteHandlers(client) };
  const server = await serveRpc<ControllerMethods & VoteMethods>(
    host.net,
    `unix:${runDir}/controller.sock`,
    handlers,
    {
      clock: host.clock,
      log: host.log,
      checks: { ...CONTROLLER_CHECKS, ...VOTE_CHECKS },
      connectionsMax: 512,
    },
  );
  const csi = new ControllerService({ client, clock: host.clock, log: host.log });
  await csi.start();
  const embedded = new EmbeddedControllers({ ...host, client, controller: csi.calls });
  await embedded.start();
  const csiServer = await serveCsi(
    `${runDir}/csi.sock`,
    {
      identity: createIdentityService({ version: VERSION, isReady: () => true }),
      controller: csi.calls,
    },
    host.log,
  );
  host.log.info('controller serves', { cluster, address: server.address });
  giveBackAtRest(host);
  process.once('SIGTERM', () => void stop());
  // Whoever started us is gone: leave the volumes in order, then end too.
  watchParent(() => void operator.quiesce(ORPHAN_QUIESCE_MS).then(stop));
  async function stop(): Promise<void> {
    await server.close();
    await csiServer.close();
    await embedded.stop();
    csi.stop();
    await operator.stop();
    await lock.release();
    process.exit(0);
  }
}

function demandPath(field: string, value: string | undefined): string {
  if (value?.startsWith('/') === true) return value;
  throw new HoldfastError('invalid-argument', 'Argument must be an absolute path', {
    details: { field, value: value ?? '', remedy: 'Roles are started by `holdfast up`' },
  });
}

/** Addresses follow from names here; an engine still has to say who it is. */
function createAccess(host: Host, runDir: string): (node: string) => NodeAccess | undefined {
  const known = new Map<string, NodeAccess>();
  return (node) => {
    let access = known.get(node);
    if (access === undefined) {
      const { net, clock } = host;
      const engineAddress = `unix:${runDir}/${node}.engine.sock`;
      access = {
        engineAddress,
        engine: new RpcClient<EngineMethods>({ net, clock, address: engineAddress }),
        agent: new RpcClient<NodeMethods>({
          net,
          clock,
          address: `unix:${runDir}/${node}.node.sock`,
        }),
      };
      known.set(node, access);
    }
    return access;
  };
}

async function seedNodes(
  client: KubeClient,
  clusterDir: string,
  nodes: readonly string[],
): Promise<void> {
  for (const name of nodes) {
    const node: StorageNode = {
      apiVersion: API_VERSION,
      kind: 'StorageNode',
      metadata: { name },
      spec: {},
    };
    const pool: DiskPool = {
      apiVersion: API_VERSION,
      kind: 'DiskPool',
      metadata: { name: `${name}-pool` },
      spec: { nodeName: name, directory: `${clusterDir}/nodes/${name}/pool` },
    };
    await createIfAbsent(client.create('StorageNode', node));
    await createIfAbsent(client.create('DiskPool', pool));
  }
}

/** As they were made; what a person changed in them since stays. */
async function seedClasses(client: KubeClient): Promise<void> {
  for (const one of SHIPPED_CLASSES) await createIfAbsent(client.create(one.kind, one));
}

async function createIfAbsent(creation: Promise<unknown>): Promise<void> {
  try {
    await creation;
  } catch (error) {
    if (!HoldfastError.is(error) || error.code !== 'already-exists') throw error;
  }
}

/**
 * A manifest that does not fit stops nobody: it is reported by `cluster.describe` and in the log.
 */
async function readManifests(
  host: Host,
  client: KubeClient,
  directory: string,
): Promise<ControllerInfo['manifestErrors']> {
  const errors: ControllerInfo['manifestErrors'][number][] = [];
  await host.disk.makeDirectory(directory);
  const owners = new Map<string, string>();
  for (const name of await host.disk.list(directory)) {
    if (!/\.ya?ml$|\.json$/.test(name)) continue;
    const path = `${directory}/${name}`;
    try {
      const text = await readManifestFile(host.disk, path);
      for (const object of parseManifestObjects(parseManifest(text))) {
        const { namespace = '', name: objectName } = object.metadata;
        const identity = `${object.kind} ${namespace}/${objectName}`;
        const other = owners.get(identity);
        if (other !== undefined) {
          throw new HoldfastError('already-exists', 'Two manifests have one object', {
            details: { object: identity, path, other, remedy: 'Keep one of the two' },
          });
        }
        owners.set(identity, path);
        await applyObject(client, object);
      }
    } catch (error) {
      if (!HoldfastError.is(error)) throw error;
      const { code, message, details } = error;
      errors.push({ path, code, message, details });
      host.log.error('manifest was not taken', { path, code, reason: message, ...details });
    }
  }
  return errors;
}
