/**
 * `holdfast up`: an embedded cluster. Prepares the directory, starts an API server, a controller
 * and N nodes as processes of their own (each node starts its engine), keeps them running, stops
 * them in order.
 *
 * Invariants
 * - One `up` a directory: held by a lock that ends with the process.
 * - Stopping unmounts and detaches every volume first; the specs stay, so the next start brings
 *   back what was attached and mounted.
 */
import { ERROR_CODES, HoldfastError, type ControllerMethods, type NodeMethods } from '#api/mod.ts';
import { isConditionTrue } from '#api/kinds/mod.ts';
import { layOut, type ClusterDirectory } from '#cli/mod.ts';
import { createNodeHost, isSocketLive, processStart } from '#host/node/mod.ts';
import type { DiskLock, Host } from '#host/mod.ts';
import type { KubeClient } from '#control/kube/mod.ts';
import { RpcClient } from '#rpc/mod.ts';
import { spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createApiClient } from './api-client.ts';
import { ensureClusterFile } from './cluster-file.ts';
import { giveBackAtRest } from './memory-at-rest.ts';
import { SupervisedProcess } from './supervised-process.ts';

export interface UpOptions {
  readonly path: string;
  readonly nodes?: number | undefined;
  readonly detach: boolean;
  readonly onLine: (text: string) => void;
  /**
   * Runs when everything answers. An exit code, and what it throws, stops the cluster again; a
   * detached one is left running whatever it answers.
   */
  readonly onReady: () => Promise<number | undefined>;
  /** Runs before anything is stopped. */
  readonly onStopping?: (() => Promise<void>) | undefined;
}

/** Long, for a busy machine: what cannot start says so itself and is not waited for. */
const READY_MS = 180_000;
const QUIESCE_MS = 60_000;
const NODE_STOP_MS = 25_000;
const FAST_FAILURES_MAX = 3;

/** Ends when the cluster was stopped; resolves to the exit code. */
export async function runUp(options: UpOptions): Promise<number> {
  const host = createNodeHost();
  const directory = layOut(options.path);
  if (options.detach) return startDetached(options, directory, host);
  const roles: SupervisedProcess[] = [];
  // Before anything is made: from here on a signal ends in order.
  const stopSignal = waitForStopSignal(roles, options.onLine);
  const { lock, nodes } = await prepare(host, directory, options.nodes);
  try {
    const start = (await processStart(process.pid)) ?? '';
    writeFileSync(directory.upPidFile, JSON.stringify({ pid: process.pid, start }));
    return await runCluster(options, host, directory, nodes, roles, stopSignal);
  } finally {
    await sweepRunDir(directory.runDir);
    await lock.release();
  }
}

/** Checks that the directory may be used, takes its lock and makes what belongs in it. */
async function prepare(
  host: Host,
  directory: ClusterDirectory,
  nodeCount: number | undefined,
): Promise<{ readonly lock: DiskLock; readonly nodes: readonly string[] }> {
  const { path } = directory;
  try {
    mkdirSync(path, { recursive: true });
  } catch (cause) {
    throw directoryError(path, cause);
  }
  const isNew = (await host.disk.stat(directory.clusterFile)) === undefined;
  refuseEarlierForm(path);
  const strangers = readdirSync(path).filter(
    (name) => !['up.lock', 'run', 'logs', 'manifests', 'mnt'].includes(name),
  );
  if (isNew && strangers.length > 0) {
    throw new HoldfastError('invalid-argument', 'Directory is not empty and not a cluster', {
      details: {
        field: 'DIR',
        value: path,
        remedy: 'Give an empty directory, or one that `up` made',
      },
    });
  }
  const lock = await takeLock(host, directory);
  const { disk, rng } = host;
  const { nodes } = await ensureClusterFile(disk, rng, directory.clusterFile, nodeCount);
  for (const name of ['apiserver', 'manifests', 'logs', 'nodes']) {
    mkdirSync(`${path}/${name}`, { recursive: true });
  }
  makeRunDir(directory.runDir);
  return { lock, nodes };
}

/** Objects were files once. Starting without them would make empty volumes in their place. */
function refuseEarlierForm(path: string): void {
  if (!existsSync(`${path}/objects`) || existsSync(`${path}/apiserver/objects.db`)) return;
  throw new HoldfastError('unsupported', 'Directory was made by an earlier version', {
    details: {
      path,
      remedy: 'Start it with that version to copy the data out, or choose another directory',
    },
  });
}

function directoryError(path: string, cause: unknown): HoldfastError {
  const { code } = cause as NodeJS.ErrnoException;
  const known = {
    EACCES: 'permission-denied',
    EPERM: 'permission-denied',
    EROFS: 'read-only',
    ENOSPC: 'no-space',
  } as const;
  const errorCode = known[code as keyof typeof known] ?? 'io-error';
  return new HoldfastError(errorCode, 'Directory cannot be made', {
    details: { path, remedy: 'Choose a directory that you may write' },
    cause,
  });
}

async function takeLock(host: Host, directory: ClusterDirectory): Promise<DiskLock> {
  try {
    return await host.disk.lock(directory.lockFile);
  } catch (cause) {
    if (!HoldfastError.is(cause) || cause.code !== 'store-locked') throw cause;
    throw new HoldfastError('in-use', 'A cluster runs in this directory already', {
      details: {
        path: directory.path,
        remedy: 'Use it (holdfast get nodes), stop it (holdfast down), or choose another directory',
      },
      cause,
    });
  }
}

/** In /tmp anybody could have made it first: it must be ours, and a directory. */
function makeRunDir(runDir: string): void {
  mkdirSync(runDir, { recursive: true, mode: 0o700 });
  const stat = lstatSync(runDir);
  if (stat.isDirectory() && stat.uid === process.getuid?.()) return;
  throw new HoldfastError('permission-denied', 'Run directory belongs to somebody else', {
    details: { path: runDir, remedy: 'Remove it, or use a cluster directory with a shorter path' },
  });
}

/** Sockets, locks and pid files, once nobody lives that they belong to. */
async function sweepRunDir(runDir: string): Promise<void> {
  const names = readdirSync(runDir);
  for (const name of names.filter((entry) => entry.endsWith('.engine.pid'))) {
    const { pid, start } = JSON.parse(readFileSync(`${runDir}/${name}`, 'utf8')) as {
      readonly pid: number;
      readonly start: string;
    };
    // An engine that is still there (a node was killed) is adopted by the next start.
    if ((await processStart(pid)) === start) {
      rmSync(`${runDir}/up.pid`, { force: true });
      return;
    }
  }
  for (const name of names) {
    const path = `${runDir}/${name}`;
    const isSocket = /\.(sock|peer|nbd)$/.test(name);
    // Somebody else's, as when it was there before us: its owner still needs it.
    if (isSocket && (await isSocketLive(path))) continue;
    if (isSocket || /\.(lock|pid)$/.test(name)) rmSync(path, { force: true });
  }
  try {
    rmdirSync(runDir);
  } catch {
    // Something of somebody else is in it: it stays.
  }
}

async function runCluster(
  options: UpOptions,
  host: Host,
  directory: ClusterDirectory,
  nodes: readonly string[],
  roles: SupervisedProcess[],
  stopSignal: Promise<number>,
): Promise<number> {
  const { onLine } = options;
  const shared = ['--cluster-dir', directory.path, '--run-dir', directory.runDir];
  const role = (name: string, args: readonly string[]): SupervisedProcess =>
    new SupervisedProcess({
      name,
      args,
      outputFile: `${directory.logs}/${name}.out`,
      pidFile: `${directory.runDir}/${name}.pid`,
      youngMib: 1,
      outlivesUs: false,
      onLine,
    });
  const apiserver = role('apiserver', ['apiserver', ...shared]);
  const controller = role('controller', ['controller', ...shared]);
  const agents = nodes.map((node) => role(node, ['node', ...shared, '--node', node]));
  roles.push(apiserver, controller, ...agents);
  const client = new RpcClient<ControllerMethods>({
    net: host.net,
    clock: host.clock,
    address: directory.controllerAddress,
  });
  let exitCode = 0;
  try {
    await apiserver.start();
    await controller.start();
    for (const agent of agents) await agent.start();
    const isStopping = { current: false };
    const stopped = stopSignal.then(() => {
      isStopping.current = true;
      throw new HoldfastError('aborted', 'Stopped while starting');
    });
    const ready = waitUntilReady({
      host,
      directory,
      client,
      apiserver,
      controller,
      agents,
      isStopping,
    });
    await Promise.race([ready, stopped]);
    giveBackAtRest(host);
    const done = options.onReady();
    exitCode = await Promise.race([done.then((code) => code ?? stopSignal), stopSignal]);
  } finally {
    await options.onStopping?.();
    onLine('stopping: detaching volumes, then engines and nodes');
    await stopAll(client, [apiserver, controller], agents, onLine);
    client.close();
  }
  return exitCode;
}

/** Resolves to the exit code at the first signal; a second one kills without order. */
function waitForStopSignal(
  roles: readonly SupervisedProcess[],
  onLine: (text: string) => void,
): Promise<number> {
  return new Promise((resolve) => {
    let signals = 0;
    const onSignal = (signal: NodeJS.Signals): void => {
      signals += 1;
      if (signals === 1) {
        resolve(signal === 'SIGHUP' ? 129 : 0);
        return;
      }
      if (signals === 2) {
        onLine('stopping is under way; once more ends it without order');
        return;
      }
      for (const role of roles) role.kill();
      process.exit(130);
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  });
}

interface Starting {
  readonly host: Host;
  readonly directory: ClusterDirectory;
  readonly client: RpcClient<ControllerMethods>;
  readonly apiserver: SupervisedProcess;
  readonly controller: SupervisedProcess;
  readonly agents: readonly SupervisedProcess[];
  readonly isStopping: { readonly current: boolean };
}

async function waitUntilReady(starting: Starting): Promise<void> {
  const { host, directory, apiserver, controller, agents, isStopping } = starting;
  const { client: controllerClient } = starting;
  const api = createApiClient(host, directory.apiSocket, 'holdfast-up');
  const { net, clock } = host;
  const deadlineMs = clock.monotonicMs() + READY_MS;
  const clients = agents.map((agent) => ({
    agent,
    client: new RpcClient<NodeMethods>({
      net,
      clock,
      address: `unix:${directory.runDir}/${agent.name}.node.sock`,
    }),
  }));
  const waiting = new Map<SupervisedProcess, () => Promise<unknown>>([
    [apiserver, () => api.list('StorageNode')],
    [controller, () => controllerClient.call('cluster.describe', {}, { timeoutMs: 2_000 })],
    ...clients.map(
      ({ agent, client }) =>
        [agent, () => client.call('node.describe', {}, { timeoutMs: 2_000 })] as const,
    ),
  ]);
  try {
    while (waiting.size > 0 && !isStopping.current) {
      for (const [role, ask] of waiting) {
        if (await answers(ask)) waiting.delete(role);
        else if (role.fastFailures >= FAST_FAILURES_MAX) throw notStarting(role);
      }
      const [late] = waiting.keys();
      if (late === undefined) break;
      if (clock.monotonicMs() > deadlineMs) throw notStarting(late);
      await clock.sleep(50);
    }
    // Engines that start slowly are no reason to stop: `get nodes` shows them.
    while (
      clock.monotonicMs() < deadlineMs &&
      !isStopping.current &&
      !(await answers(() => allNodesReady(api)))
    ) {
      await clock.sleep(100);
    }
  } finally {
    for (const { client } of clients) client.close();
  }
}

async function answers(ask: () => Promise<unknown>): Promise<boolean> {
  try {
    await ask();
    return true;
  } catch (error) {
    if (HoldfastError.is(error)) return false;
    throw error;
  }
}

/** With the code of what it said last, when it said something: that is why. */
function notStarting(role: SupervisedProcess): HoldfastError {
  const lastOutput = role.lastOutput();
  const said = [...lastOutput.matchAll(/^error: .*\(([a-z-]+)\)$/gm)].at(-1)?.[1];
  const code = ERROR_CODES.find((known) => known === said) ?? 'timed-out';
  return new HoldfastError(code, 'A process does not start', {
    details: {
      process: role.name,
      lastOutput,
      remedy: 'Do what its last output says; its log says more: DIR/logs',
    },
  });
}

async function stopAll(
  client: RpcClient<ControllerMethods>,
  [apiserver, controller]: readonly [SupervisedProcess, SupervisedProcess],
  agents: readonly SupervisedProcess[],
  onLine: (text: string) => void,
): Promise<void> {
  try {
    const params = { timeoutMs: QUIESCE_MS };
    const { attached } = await client.call('cluster.quiesce', params, {
      timeoutMs: QUIESCE_MS + 5_000,
    });
    if (attached.length > 0) onLine(`still attached: ${attached.join(', ')}`);
  } catch (error) {
    if (!HoldfastError.is(error)) throw error;
    onLine(`the controller does not answer (${error.code}): volumes are left to their engines`);
  }
  await Promise.all(agents.map((agent) => agent.stop(NODE_STOP_MS)));
  await controller.stop(10_000);
  await apiserver.stop(10_000);
}

// --- in the background ---------------------------------------------------------------------------

async function startDetached(
  options: UpOptions,
  directory: ClusterDirectory,
  host: Host,
): Promise<number> {
  const { lock } = await prepare(host, directory, options.nodes);
  await lock.release();
  const outputFile = `${directory.logs}/up.out`;
  rmSync(outputFile, { force: true });
  const output = openSync(outputFile, 'a');
  const entry = new URL('./holdfast.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [...process.execArgv, entry, 'up', directory.path], {
    stdio: ['ignore', output, output],
    detached: true,
  });
  closeSync(output);
  let exitCode: number | null = null;
  child.on('exit', (code) => {
    exitCode = code ?? 1;
  });
  const api = createApiClient(host, directory.apiSocket, 'holdfast-up');
  for (const deadlineMs = Date.now() + READY_MS; Date.now() < deadlineMs; ) {
    if (exitCode !== null) {
      throw new HoldfastError('aborted', 'The cluster did not start', {
        details: {
          log: outputFile,
          lastOutput: readFileSync(outputFile, 'utf8').trimEnd().slice(-1_000),
          remedy: 'Read the log',
        },
      });
    }
    if (await answers(() => allNodesReady(api))) {
      child.unref();
      await options.onReady();
      return 0;
    }
    await host.clock.sleep(100);
  }
  throw new HoldfastError('timed-out', 'The cluster did not start in time', {
    details: { log: outputFile, remedy: 'Read the log; holdfast down stops what runs' },
  });
}

async function allNodesReady(api: KubeClient): Promise<void> {
  const { items } = await api.list('StorageNode');
  if (items.length === 0) throw new HoldfastError('refused', 'Nodes are not known yet');
  for (const item of items) {
    if (!isConditionTrue(item.status?.conditions, 'Ready'))
      throw new HoldfastError('refused', 'Node is not ready yet');
  }
}
