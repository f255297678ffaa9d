/** The controller of the cluster that is meant, with the few calls that most commands need. */
import {
  HoldfastError,
  hasCode,
  type ControllerMethods,
  type ObjectName,
  type ParamsOf,
  type ResultOf,
} from '#api/mod.ts';
import type { KindName, ObjectOf } from '#api/kinds/mod.ts';
import { RpcClient } from '#rpc/mod.ts';
import { chooseClusterPath, layOut } from './cluster-directory.ts';
import type { CliContext } from './context.ts';

export interface ClusterOption {
  readonly cluster?: string | undefined;
}

export class ClusterClient {
  readonly path: string;
  readonly #rpc: RpcClient<ControllerMethods>;

  constructor(context: CliContext, options: ClusterOption) {
    this.path = chooseClusterPath(options.cluster, context.env, context.cwd);
    this.#rpc = new RpcClient({
      net: context.host.net,
      clock: context.host.clock,
      address: layOut(this.path).controllerAddress,
      connectTimeoutMs: 3_000,
    });
  }

  /** As the controller answers; when nobody listens, says how to start one. */
  async call<Name extends keyof ControllerMethods>(
    method: Name,
    params: ParamsOf<ControllerMethods, Name>,
    timeoutMs = 30_000,
  ): Promise<ResultOf<ControllerMethods, Name>> {
    try {
      return await this.#rpc.call(method, params, { timeoutMs });
    } catch (error) {
      throw this.#explainSilence(error);
    }
  }

  /** Only a failure to connect says nothing of a kind or method: the controller's own errors do. */
  #explainSilence(error: unknown): unknown {
    const isSilent =
      hasCode(error, 'refused') ||
      (hasCode(error, 'not-found') && !('kind' in (error as HoldfastError).details));
    if (
      !isSilent ||
      !HoldfastError.is(error) ||
      'method' in error.details ||
      'volume' in error.details
    ) {
      return error;
    }
    return new HoldfastError('refused', 'No cluster answers', {
      details: {
        cluster: this.path,
        remedy:
          'Start it with `holdfast up`, or name another with --cluster DIR or HOLDFAST_CLUSTER',
      },
      cause: error,
    });
  }

  async get<Kind extends KindName>(
    kind: Kind,
    name: Omit<ObjectName, 'kind'>,
  ): Promise<ObjectOf<Kind>> {
    return (await this.call('object.get', { ...name, kind })) as ObjectOf<Kind>;
  }

  async find<Kind extends KindName>(
    kind: Kind,
    name: Omit<ObjectName, 'kind'>,
  ): Promise<ObjectOf<Kind> | undefined> {
    try {
      return await this.get(kind, name);
    } catch (error) {
      if (hasCode(error, 'not-found')) return undefined;
      throw error;
    }
  }

  async list<Kind extends KindName>(
    kind: Kind,
    namespace?: string,
  ): Promise<readonly ObjectOf<Kind>[]> {
    const { items } = await this.call('object.list', { kind, namespace });
    return items as readonly ObjectOf<Kind>[];
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
  } finally {
    cluster.close();
  }
}
