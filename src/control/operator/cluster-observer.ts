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
  type VolumeId,
} from '#api/mod.ts';
import type { Clock } from '#host/mod.ts';

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
  /** Told of every fresh view; of one volume alone where one is given. */
  readonly onView?: (view: NodeView, volume?: string) => void;
}

const IN_TIME = { timeoutMs: 3_000 };
/** A node that does not answer is not asked again before this. */
const SILENT_MS = 1_000;

/** A node with much to tell is asked less often: a fifth of the time at most goes to telling. */
const AGE_PER_COST = 4;

interface Entry {
  readonly view: NodeView;
  readonly atMs: number;
  readonly tookMs: number;
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
      if (ageMs <= oldestOf(entry, maxAgeMs)) return entry.view;
    }
    let asking = this.#asking.get(node);
    if (asking === undefined) {
      asking = this.#ask(node).finally(() => this.#asking.delete(node));
      this.#asking.set(node, asking);
    }
    return asking;
  }

  /** How old a view may be that is asked for with `maxAgeMs`: after so long it has all news. */
  oldestMs(node: string, maxAgeMs: number): number {
    const entry = this.#entries.get(node);
    return entry === undefined ? maxAgeMs : oldestOf(entry, maxAgeMs);
  }

  async views(nodes: readonly string[], maxAgeMs: number): Promise<ReadonlyMap<string, NodeView>> {
    const distinct = [...new Set(nodes)];
    const views = await Promise.all(distinct.map((node) => this.view(node, maxAgeMs)));
    return new Map(views.map((view) => [view.node, view]));
  }

  /**
   * What these nodes know of one volume, asked now: as dear as the volume is, however many others
   * there are. The views have nothing else in them.
   */
  async volumeViews(
    nodes: readonly string[],
    volume: string,
  ): Promise<ReadonlyMap<string, NodeView>> {
    const distinct = [...new Set(nodes)];
    const ask = async (node: string): Promise<NodeView> => {
      const known = this.#entries.get(node);
      if (known !== undefined && isSilent(known.view)) return this.view(node, SILENT_MS);
      const view = await this.#look(node, volume as VolumeId);
      // Silence is a matter of the node: it is said, and not asked about again at once.
      if (isSilent(view)) return this.view(node, SILENT_MS);
      this.#options.onView?.(view, volume);
      return view;
    };
    const views = await Promise.all(distinct.map(ask));
    return new Map(views.map((view) => [view.node, view]));
  }

  /** After an action of ours: the next view is asked anew. */
  forget(node: string): void {
    this.#entries.delete(node);
    this.#asking.delete(node);
  }

  async #ask(node: string): Promise<NodeView> {
    const { clock, onView } = this.#options;
    const startMs = clock.monotonicMs();
    const view = await this.#look(node);
    const atMs = clock.monotonicMs();
    this.#entries.set(node, { view, atMs, tookMs: atMs - startMs });
    onView?.(view);
    return view;
  }

  async #look(node: string, volume?: VolumeId): Promise<NodeView> {
    const access = this.#options.access(node);
    const missing = new HoldfastError('not-found', 'Node has no address', { details: { node } });
    const [engine, agent] = await Promise.all([
      access === undefined ? missing : tryCall(describeEngine(access.engine, volume)),
      access === undefined ? missing : tryCall(access.agent.call('node.describe', {}, IN_TIME)),
    ]);
    const foreign = HoldfastError.is(engine) ? null : this.#checkIdentity(node, engine);
    return {
      node,
      engine: HoldfastError.is(engine) || foreign !== null ? null : engine,
      engineError: HoldfastError.is(engine) ? engine : foreign,
      agent: HoldfastError.is(agent) ? null : agent,
      agentError: HoldfastError.is(agent) ? agent : null,
    };
  }

  /** An address is never an identity. */
  #checkIdentity(node: string, engine: EngineView): HoldfastError | null {
    if (engine.node === node && engine.cluster === this.#options.cluster) return null;
    return new HoldfastError('wrong-identity', 'Engine is of another node or cluster', {
      details: { node, answered: engine.node, cluster: engine.cluster },
    });
  }
}

function describeEngine(engine: Caller<EngineMethods>, volume?: VolumeId): Promise<EngineView> {
  if (volume === undefined) return engine.call('engine.describe', {}, IN_TIME);
  return engine.call('engine.describeVolume', { volume }, IN_TIME);
}

async function tryCall<Result>(call: Promise<Result>): Promise<Result | HoldfastError> {
  try {
    return await call;
  } catch (error) {
    if (HoldfastError.is(error)) return error;
    throw error;
  }
}

function isSilent({ engineError, agentError }: NodeView): boolean {
  return engineError !== null || agentError !== null;
}

/** Zero asks for what is so now, whatever it costs. */
function oldestOf({ view, tookMs }: Entry, maxAgeMs: number): number {
  if (isSilent(view)) return Math.max(maxAgeMs, SILENT_MS);
  return maxAgeMs === 0 ? 0 : Math.max(maxAgeMs, tookMs * AGE_PER_COST);
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
