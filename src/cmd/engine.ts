/** Role `engine`: one per node, the data path. Composition only. */
import { ENGINE_CHECKS } from '#api/checks/mod.ts';
import { Engine, VolumeService, type VolumeRunner, type VolumeSettings } from '#data/engine/mod.ts';
import { createNodeHost, NodeFuseMounts } from '#host/node/mod.ts';
import { serveRpc } from '#rpc/mod.ts';
import { giveBackAtRest } from './memory-at-rest.ts';
import { VERSION } from './version.ts';
import { parseRoleOptions, type RoleOptions } from './role-options.ts';
import { ThreadRunner } from './thread-runner.ts';

/** Every volume that opens on another node may ask at once. */
const CONNECTIONS_MAX = 512;

export async function runEngine(args: readonly string[]): Promise<void> {
  const options = parseRoleOptions(args);
  const host = createNodeHost({ logFile: `${options.logFile}.engine.log` });
  const lock = await host.disk.lock(`${options.socketPrefix}.engine.lock`);
  const fuseMounts = new NodeFuseMounts(host.exec);
  const canMount = (await fuseMounts.missing()).length === 0;
  const engine = new Engine({
    host,
    node: options.node,
    cluster: options.cluster,
    version: VERSION,
    processId: process.pid,
    socketPrefix: options.socketPrefix,
    stateDirectory: options.stateDirectory,
    controllerAddress: options.controllerAddress,
    createRunner: (settings, onExit) =>
      createRunner(options, settings, onExit, host, canMount ? fuseMounts : null),
    onStop: () => setImmediate(() => process.exit(0)),
  });
  await engine.start();
  await serveRpc(host.net, options.engineAddress, engine.handlers, {
    ...host,
    checks: ENGINE_CHECKS,
    connectionsMax: CONNECTIONS_MAX,
  });
  giveBackAtRest(host);
  process.once('SIGTERM', () => {
    void engine.stop().then(async () => {
      await lock.release();
      process.exit(0);
    });
  });
}

function createRunner(
  options: RoleOptions,
  settings: VolumeSettings,
  onExit: (error: Error) => void,
  host: ReturnType<typeof createNodeHost>,
  fuseMounts: NodeFuseMounts | null,
): VolumeRunner {
  if (settings.spec.isolation === 'thread') {
    return new ThreadRunner(
      { settings, canMount: fuseMounts !== null, logFile: `${options.logFile}.engine.log` },
      onExit,
    );
  }
  const service = new VolumeService(settings, host, fuseMounts);
  return { call: (method, params) => service.handlers[method](params) };
}
