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
    throw explainSilence(error, cluster.path);
  } finally {
    cluster.close();
  }
}

/**
 * When nobody listens, says how to start one. Only a failure to connect says nothing of a kind or
 * method: refusals of the servers themselves do.
 */
function explainSilence(error: unknown, path: string): unknown {
  const isSilent = hasCode(error, 'refused') || hasCode(error, 'not-found');
  if (!isSilent || !HoldfastError.is(error)) return error;
  const said = ['kind', 'method', 'volume', 'name', 'claim'];
  if (said.some((detail) => detail in error.details)) return error;
  return new HoldfastError('refused', 'No cluster answers', {
    details: {
      cluster: path,
      remedy: 'Start it with `holdfast up`, or name another with --cluster DIR or HOLDFAST_CLUSTER',
    },
    cause: error,
  });
}
