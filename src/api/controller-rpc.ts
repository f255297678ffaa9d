/**
 * What the controller answers to people (through the CLI). The vote of nexuses is in engine-rpc.ts
 * and served on the same socket.
 */
import type { ClusterHealth, Forecast, ForecastVerb } from './forecast.ts';
import type { KindName } from './kinds/mod.ts';
import type { TraceEvent } from './nexus-status.ts';
import type { ErrorDetails } from './errors.ts';
import type { ClusterSpace } from './space-ledger.ts';

interface Call<Params, Result> {
  readonly params: Params;
  readonly result: Result;
}

export interface ObjectName {
  readonly kind: KindName;
  readonly name: string;
  readonly namespace?: string | undefined;
}

/** One place on the way from a claim to a device. */
export interface WhereLink {
  readonly kind: string;
  readonly name: string;
  /** What a person wants to know of it, in order. */
  readonly facts: Readonly<Record<string, string>>;
}

/** One path: claim, volume, member, replica, pool, directory, device. */
export interface WherePath {
  readonly links: readonly WhereLink[];
}

export interface ExplainLink {
  readonly kind: string;
  readonly name: string;
  readonly state: 'ok' | 'moving' | 'failed' | 'unknown';
  readonly message: string;
  /** RFC 3339; empty when unknown. */
  readonly since: string;
}

export interface Explanation {
  readonly subject: string;
  /** In words: is it well, and if not the first link that is not. */
  readonly summary: string;
  readonly chain: readonly ExplainLink[];
  /** The first link that is not well; null when all are. */
  readonly firstFailing: ExplainLink | null;
  /** What happens next by itself, and when. */
  readonly next: string;
  /** What a person can do; empty when nothing is needed. */
  readonly remedies: readonly string[];
}

export interface ControllerMethods {
  'cluster.describe': Call<
    Record<string, never>,
    {
      readonly cluster: string;
      readonly version: string;
      readonly pid: number;
      readonly nodes: readonly string[];
      /** Manifests that were not taken at the start, with the reason. */
      readonly manifestErrors: readonly {
        readonly path: string;
        readonly code: string;
        readonly message: string;
        readonly details: ErrorDetails;
      }[];
    }
  >;
  'cluster.where': Call<
    { readonly kind: string; readonly name: string; readonly namespace?: string | undefined },
    { readonly paths: readonly WherePath[] }
  >;
  'cluster.explain': Call<ObjectName, Explanation>;
  /** What would happen; nothing is changed. `size` for expand. */
  'cluster.plan': Call<
    ObjectName & { readonly verb: ForecastVerb; readonly size?: string | undefined },
    Forecast
  >;
  'cluster.health': Call<Record<string, never>, ClusterHealth>;
  /** Who needs the bytes: of a volume or claim, of a pool; an empty name means all. */
  'cluster.space': Call<ObjectName, ClusterSpace>;
  /** Detaches every volume and resolves when none is attached; the specs stay as they are. */
  'cluster.quiesce': Call<{ readonly timeoutMs: number }, { readonly attached: readonly string[] }>;
  'volume.scrub': Call<
    { readonly volume: string },
    {
      readonly checkedBlocks: number;
      readonly repairedBlocks: number;
      readonly unhealableBlocks: number;
    }
  >;
  'volume.rebuild': Call<
    { readonly volume: string; readonly replica: string; readonly full: boolean },
    Record<string, never>
  >;
  'volume.trace': Call<
    { readonly volume: string; readonly timeoutMs: number },
    { readonly events: readonly TraceEvent[] }
  >;
}
