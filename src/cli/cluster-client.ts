/** The cluster that is meant: its objects from the API server, its answers from the controller. */
import {
  HoldfastError,
  hasCode,
  type ControllerMethods,
  type ParamsOf,
  type ResultOf,
} from '#api/mod.ts';
import type { KindName, ObjectOf } from '#api/kinds/mod.ts';
import type { KubeClient, ObjectKey } from '#control/kube/mod.ts';
import { RpcClient } from '#rpc/mod.ts';
import { chooseClusterPath, layOut } from './cluster-directory.ts';
import type { CliContext } from './context.ts';

export interface ClusterOption {
  readonly cluster?: string | undefined;
}

export class ClusterClient {
  readonly path: string;
  readonly api: KubeClient;
  readonly #rpc: RpcClient<ControllerMethods>;

  constructor(context: CliContext, options: ClusterOption) {
    this.path = chooseClusterPath(options.cluster, context.env, context.cwd);
    const { apiSocket, controllerAddress } = layOut(this.path);
    this.api = context.connectApi(apiSocket);
    this.#rpc = new RpcClient({
      net: context.host.net,
      clock: context.host.clock,
      address: controllerAddress,
      connectTimeoutMs: 3_000,
    });
  }

  /** As the controller answers. */
  call<Name extends keyof ControllerMethods>(
    method: Name,
    params: ParamsOf<ControllerMethods, Name>,
    timeoutMs = 30_000,
  ): Promise<ResultOf<ControllerMethods, Name>> {
    return this.#rpc.call(method, params, { timeoutMs });
  }

  get<Kind extends KindName>(kind: Kind, key: ObjectKey): Promise<ObjectOf<Kind>> {
    return this.api.get(kind, key);
  }

  async find<Kind extends KindName>(
    kind: Kind,
    key: ObjectKey,
  ): Promise<ObjectOf<Kind> | undefined> {
    try {
      return await this.get(kind, key);
    } catch (error) {
      if (hasCode(error, 'not-found')) return undefined;
      throw error;
    }
  }

  async list<Kind extends KindName>(
    kind: Kind,
    namespace?: string,
  ): Promise<readonly ObjectOf<Kind>[]> {
    return (await this.api.list(kind, { namespace })).items;
  }

  close(): void {
    this.#rpc.close();
  }
}

/** Runs one command against the cluster and lets go of the connection. */
export async function withCluster<T>(
  context: CliContext,
  options: ClusterOption,
  action: (cluster: ClusterClient) => Promise<T>,
): Promise<T> {
  const cluster = new ClusterClient(context, options);
  try {
    return await action(cluster);
  } catch (error) {
    throw await explainSilence(error, cluster, context);
  } finally {
    cluster.close();
  }
}

/** A process that hangs takes connections, and answers nothing. */
const PROBE_MS = 3_000;
const SILENT: ReadonlySet<string> = new Set(['refused', 'not-found', 'timed-out', 'disconnected']);

/**
 * When nobody answers, says who it is and what to do. Refusals of the servers themselves name what
 * they refuse; a call that was not answered names nothing.
 */
async function explainSilence(
  error: unknown,
  cluster: ClusterClient,
  context: CliContext,
): Promise<unknown> {
  if (!HoldfastError.is(error) || !SILENT.has(error.code)) return error;
  const said = ['kind', 'volume', 'name', 'claim', 'waitsFor', 'for'];
  if (said.some((detail) => detail in error.details)) return error;
  const { path } = cluster;
  const api = await askApi(cluster, context);
  if (api === 'answers') {
    // What it answered itself has details of what was asked.
    const isUnsent = hasCode(error, 'timed-out') || !('method' in error.details);
    if (!isUnsent || !(await isControllerSilent(cluster))) return error;
    return new HoldfastError(error.code, 'The controller does not answer', {
      details: {
        cluster: path,
        remedy:
          'One that ended is started again; end one that hangs, and see logs/controller.log. Volumes go on without it',
      },
      cause: error,
    });
  }
  if (api === 'hangs') {
    return new HoldfastError('timed-out', 'The API server does not answer', {
      details: {
        cluster: path,
        remedy:
          'One that ended is started again; end one that hangs, and see logs/apiserver.log. Volumes go on without it',
      },
      cause: error,
    });
  }
  return new HoldfastError('refused', 'No cluster answers', {
    details: {
      cluster: path,
      remedy: 'Start it with `holdfast up`, or name another with --cluster DIR or HOLDFAST_CLUSTER',
    },
    cause: error,
  });
}

async function askApi(
  { path }: ClusterClient,
  context: CliContext,
): Promise<'answers' | 'hangs' | 'is away'> {
  try {
    await context.connectApi(layOut(path).apiSocket, PROBE_MS).list('StorageNode');
    return 'answers';
  } catch (error) {
    if (HoldfastError.is(error)) return error.code === 'timed-out' ? 'hangs' : 'is away';
    throw error;
  }
}

async function isControllerSilent(cluster: ClusterClient): Promise<boolean> {
  try {
    await cluster.call('cluster.describe', {}, PROBE_MS);
    return false;
  } catch (error) {
    if (HoldfastError.is(error)) return SILENT.has(error.code);
    throw error;
  }
}
