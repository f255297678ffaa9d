/** Role `node`: one per node; supervises the engine and mounts. It holds no data path. */
import type { Handlers, NodeMethods } from '#api/mod.ts';
import { VolumeMounts } from '#control/mounts/mod.ts';
import { createNodeHost, NodeFuseMounts } from '#host/node/mod.ts';
import { serveRpc } from '#rpc/mod.ts';
import { EngineSupervisor } from './engine-supervisor.ts';
import { parseRoleOptions } from './role-options.ts';

export async function runNode(args: readonly string[]): Promise<void> {
  const options = parseRoleOptions(args);
  const host = createNodeHost({ logFile: `${options.logFile}.node.log` });
  await host.disk.lock(`${options.socketPrefix}.node.lock`);
  const mounts = new VolumeMounts(host.disk, host.exec);
  const fuseMounts = new NodeFuseMounts(host.exec);
  const supervisor = new EngineSupervisor(options, host.log);
  const handlers: Handlers<NodeMethods> = {
    'node.describe': async () => ({
      node: options.node,
      pid: process.pid,
      engineAddress: options.engineAddress,
      enginePid: supervisor.pid,
      engineRestarts: supervisor.restarts,
      mounts: mounts.list(),
      missing: await fuseMounts.missing(),
    }),
    'node.mount': (params) => mounts.mount(params),
    'node.unmount': async ({ volume, path }) => {
      await mounts.unmount(volume, path);
      return {};
    },
    'node.expand': ({ path }) => mounts.expand(path),
  };
  await supervisor.start();
  await serveRpc(host.net, options.nodeAddress, handlers, host);
  process.once('SIGTERM', () => {
    void supervisor.stop().then(() => process.exit(0));
  });
}
