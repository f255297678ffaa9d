/** Role `node`: one per node; supervises the engine and mounts. It holds no data path. */
import { NODE_CHECKS } from '#api/checks/mod.ts';
import type { EngineMethods, Handlers, NodeMethods } from '#api/mod.ts';
import { createIdentityService } from '#control/csi/mod.ts';
import { createNodeService } from '#control/csi/node/mod.ts';
import { NodeLoop } from '#control/embedded/mod.ts';
import { PublishedVolumes, VolumeMounts } from '#control/mounts/mod.ts';
import { createNodeHost, NodeFuseMounts } from '#host/node/mod.ts';
import type { Log } from '#host/mod.ts';
import { RpcClient, serveRpc } from '#rpc/mod.ts';
import { createApiClient } from './api-client.ts';
import { serveCsi } from './csi-server.ts';
import { HangWatch } from './hang-watch.ts';
import { giveBackAtRest } from './memory-at-rest.ts';
import { parseRoleOptions, type RoleOptions } from './role-options.ts';
import { SupervisedProcess } from './supervised-process.ts';
import { VERSION } from './version.ts';
import path from 'node:path';

const ENGINE_STOP_MS = 15_000;

export async function runNode(args: readonly string[]): Promise<void> {
  const options = parseRoleOptions(args);
  const host = createNodeHost({ logFile: `${options.logFile}.node.log` });
  await host.disk.lock(`${options.socketPrefix}.node.lock`);
  const nodeDirectory = path.dirname(options.stateDirectory);
  await host.disk.makeDirectory(nodeDirectory);
  const mounts = await VolumeMounts.open(host.disk, host.exec, `${nodeDirectory}/csi.json`);
  const published = new PublishedVolumes(host.disk, host.exec);
  const fuseMounts = new NodeFuseMounts(host.exec);
  const engine = superviseEngine(options, host.log);
  const engineClient = new RpcClient<EngineMethods>({
    net: host.net,
    clock: host.clock,
    address: options.engineAddress,
  });
  const node = createNodeService({
    node: options.node,
    engine: engineClient,
    mounts,
    published,
    disk: host.disk,
  });
  const client = createApiClient(host, `${options.runDir}/apiserver.sock`, 'holdfast-node');
  const loop = new NodeLoop({
    ...host,
    client,
    node,
    nodeName: options.node,
    stagingDirectory: `${nodeDirectory}/staging`,
    staged: () => mounts.list(),
    targetsOf: (staged) => published.targetsOf({ kind: 'directory', path: staged.path }),
  });
  const handlers: Handlers<NodeMethods> = {
    'node.describe': async () => ({
      node: options.node,
      pid: process.pid,
      engineAddress: options.engineAddress,
      enginePid: engine.pid,
      engineRestarts: engine.restarts,
      mounts: mounts.list(),
      missing: await fuseMounts.missing(),
    }),
    'node.space': async () => ({ mounts: await mounts.space(host.clock) }),
    'node.quiesce': async () => ({ busy: await loop.quiesce() }),
  };
  await engine.start();
  await serveRpc(host.net, options.nodeAddress, handlers, { ...host, checks: NODE_CHECKS });
  await serveCsi(
    `${options.socketPrefix}.csi.sock`,
    {
      identity: createIdentityService({ version: VERSION, isReady: () => engine.pid > 0 }),
      node,
    },
    host.log,
  );
  void loop.start();
  const watch = new HangWatch({
    clock: host.clock,
    ask: (timeoutMs) => engineClient.call('engine.ping', {}, { timeoutMs }),
    onHang: (silentMs) => engine.restart(`did not answer for ${silentMs / 1_000} s`),
  });
  giveBackAtRest(host);
  process.once('SIGTERM', () => {
    watch.stop();
    void loop.stop();
    void engine.stop(ENGINE_STOP_MS).then(() => process.exit(0));
  });
}

/** Stopped in order it hands its volumes over; killed, the next one takes them from the holders. */
function superviseEngine(options: RoleOptions, log: Log): SupervisedProcess {
  const { clusterDir, node, runDir, logFile, socketPrefix } = options;
  return new SupervisedProcess({
    name: `engine of ${node}`,
    args: ['engine', '--cluster-dir', clusterDir, '--node', node, '--run-dir', runDir],
    outputFile: `${logFile}.engine.out`,
    pidFile: `${socketPrefix}.engine.pid`,
    // Replicas of volumes that are attached elsewhere work here.
    youngMib: 4,
    outlivesUs: true,
    onLine: (text) => log.warn('Engine is looked after', { event: text }),
  });
}
