/**
 * What engines and nodes report, asked at most so often and never by two at once. A view is a fact
 * with its age; an engine that does not answer is a view too, with the reason.
 */
import {
  HoldfastError,
  type AddressText,
  type AttachmentReport,
  type ClusterId,
  type EngineMethods,
  type NodeMethods,
  type ParamsOf,
  type PoolReport,
  type ReplicaReport,
  type ResultOf,
} from '#api/mod.ts';
import type { Clock } from '#host/mod.ts';
import { fullnessOf } from './pool/fullness.ts';

/** The part of RpcClient that reconcilers use; tests give scripted ones. */
export interface Caller<Table> {
  call<Name extends keyof Table & string>(
    method: Name,
    params: ParamsOf<Table, Name>,
    options?: { readonly timeoutMs?: number },
  ): Promise<ResultOf<Table, Name>>;
}

export interface NodeAccess {
  readonly engine: Caller<EngineMethods>;
  readonly agent: Caller<NodeMethods>;
  readonly engineAddress: AddressText;
}

export type EngineView = ResultOf<EngineMethods, 'engine.describe'>;
export type AgentView = ResultOf<NodeMethods, 'node.describe'>;

export interface NodeView {
  readonly node: string;
  readonly engine: EngineView | null;
  readonly engineError: HoldfastError | null;
  readonly agent: AgentView | null;
  readonly agentError: HoldfastError | null;
}

export interface ClusterObserverOptions {
  readonly clock: Clock;
  readonly cluster: ClusterId;
  /** Undefined for a node that this controller has no address of. */
  readonly access: (node: string) => NodeAccess | undefined;
  /** Told of every fresh view. */
  readonly onView?: (view: NodeView) => void;
}

const DESCRIBE_TIMEOUT_MS = 3_000;
/** A node that does not answer is not asked again before this. */
const SILENT_MS = 1_000;

interface Entry {
  view: NodeView;
  atMs: number;
}

export class ClusterObserver {
  readonly #options: ClusterObserverOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #asking = new Map<string, Promise<NodeView>>();

  constructor(options: ClusterObserverOptions) {
    this.#options = options;
  }

  /** `not-found` for a node without an address. */
  access(node: string): NodeAccess {
    const access = this.#options.access(node);
    if (access !== undefined) return access;
    throw new HoldfastError('not-found', 'Node has no address', { details: { node } });
  }

  /** The view, at most `maxAgeMs` old. */
  async view(node: string, maxAgeMs: number): Promise<NodeView> {
    const entry = this.#entries.get(node);
    if (entry !== undefined) {
      const ageMs = this.#options.clock.monotonicMs() - entry.atMs;
      const isSilent = entry.view.engineError !== null || entry.view.agentError !== null;
      if (ageMs <= (isSilent ? Math.max(maxAgeMs, SILENT_MS) : maxAgeMs)) return entry.view;
    }
    let asking = this.#asking.get(node);
    if (asking === undefined) {
      asking = this.#ask(node).finally(() => this.#asking.delete(node));
      this.#asking.set(node, asking);
    }
    return asking;
  }

  async views(nodes: readonly string[], maxAgeMs: number): Promise<ReadonlyMap<string, NodeView>> {
    const distinct = [...new Set(nodes)];
    const views = await Promise.all(distinct.map((node) => this.view(node, maxAgeMs)));
    return new Map(views.map((view) => [view.node, view]));
  }

  /** After an action of ours: the next view is asked anew. */
  forget(node: string): void {
    this.#entries.delete(node);
    this.#asking.delete(node);
  }

  async #ask(node: string): Promise<NodeView> {
    const access = this.#options.access(node);
    const missing = new HoldfastError('not-found', 'Node has no address', { details: { node } });
    const [engine, agent] = await Promise.all([
      access === undefined ? missing : describe(access.engine, 'engine.describe'),
      access === undefined ? missing : describe(access.agent, 'node.describe'),
    ]);
    const foreign = HoldfastError.is(engine)
      ? null
      : this.#checkIdentity(node, engine as EngineView);
    const view: NodeView = {
      node,
      engine: HoldfastError.is(engine) || foreign !== null ? null : (engine as EngineView),
      engineError: HoldfastError.is(engine) ? engine : foreign,
      agent: HoldfastError.is(agent) ? null : (agent as AgentView),
      agentError: HoldfastError.is(agent) ? agent : null,
    };
    this.#entries.set(node, { view, atMs: this.#options.clock.monotonicMs() });
    this.#options.onView?.(view);
    return view;
  }

  /** An address is never an identity. */
  #checkIdentity(node: string, engine: EngineView): HoldfastError | null {
    if (engine.node === node && engine.cluster === this.#options.cluster) return null;
    return new HoldfastError('wrong-identity', 'Engine is of another node or cluster', {
      details: { node, answered: engine.node, cluster: engine.cluster },
    });
  }
}

async function describe(
  caller: Caller<EngineMethods> | Caller<NodeMethods>,
  method: 'engine.describe' | 'node.describe',
): Promise<unknown> {
  try {
    const anyCaller = caller as Caller<EngineMethods & NodeMethods>;
    return await anyCaller.call(method, {}, { timeoutMs: DESCRIBE_TIMEOUT_MS });
  } catch (error) {
    if (HoldfastError.is(error)) return error;
    throw error;
  }
}

export interface FoundReplica {
  readonly node: string;
  readonly pool: PoolReport;
  readonly report: ReplicaReport;
}

export function findReplica(views: Iterable<NodeView>, replica: string): FoundReplica | undefined {
  for (const view of views) {
    for (const pool of view.engine?.pools ?? []) {
      const report = pool.replicas.find((entry) => entry.identity.replica === replica);
      if (report !== undefined) return { node: view.node, pool, report };
    }
  }
  return undefined;
}

export interface FoundAttachment {
  readonly node: string;
  readonly report: AttachmentReport;
}

export function findAttachments(views: Iterable<NodeView>, volume: string): FoundAttachment[] {
  const found: FoundAttachment[] = [];
  for (const view of views) {
    const report = view.engine?.attachments.find((entry) => entry.volume === volume);
    if (report !== undefined) found.push({ node: view.node, report });
  }
  return found;
}

/** What reconcilers decide on, as text: equal texts, nothing to look at. Counters are left out. */
export function digestView({ engine, agent }: NodeView): string {
  const attachments = (engine?.attachments ?? []).map(({ volume, status, frontends }) => [
    volume,
    status.phase,
    status.reason,
    status.epoch,
    status.sizeBytes,
    status.damagedBlocks,
    status.members.map((member) => [member.replica, member.phase, member.errorCode]),
    frontends,
  ]);
  const pools = (engine?.pools ?? []).map((pool) => [
    pool.pool,
    pool.error,
    fullnessOf(pool),
    pool.replicas.map((report) => [
      report.identity.replica,
      report.error,
      report.sizeBytes,
      report.state?.incarnation,
      report.state?.snapshots.map((snapshot) => [snapshot.id, snapshot.sealed]),
      Math.ceil(((report.usage?.headBytes ?? 0) + (report.usage?.snapshotBytes ?? 0)) / 2 ** 20),
    ]),
  ]);
  return JSON.stringify([attachments, pools, agent?.mounts, agent?.missing, agent === null]);
}
