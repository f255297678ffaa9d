/** What would happen, and what is at risk now: answers of the controller that people decide on. */

export const FORECAST_VERBS = ['drain', 'cordon', 'replace', 'delete', 'expand'] as const;
export type ForecastVerb = (typeof FORECAST_VERBS)[number];

export interface ForecastStep {
  readonly volume: string;
  /** `namespace/name`; empty for none. */
  readonly claim: string;
  /** What happens to it, in words. */
  readonly what: string;
  readonly bytesMoved: number;
  /** How long, about; null when nobody knows. */
  readonly seconds: number | null;
  /** What could go wrong with it meanwhile; empty for nothing that would not anyway. */
  readonly risk: string;
}

export interface Forecast {
  readonly subject: string;
  readonly summary: string;
  /** One for each volume that is changed. */
  readonly steps: readonly ForecastStep[];
  readonly bytesMoved: number;
  readonly seconds: number | null;
  /** Why it would not come to its end: volume and reason, one line each. */
  readonly blockers: readonly string[];
  /** What is so afterwards and should be known. */
  readonly remains: readonly string[];
}

export interface VolumeAtRisk {
  readonly volume: string;
  readonly claim: string;
  readonly inSync: number;
  readonly wanted: number;
  readonly why: string;
  readonly wholeInSeconds: number | null;
  /** When it is whole, or what it waits for. */
  readonly next: string;
}

export interface ClusterHealth {
  readonly nodes: { readonly total: number; readonly ready: number };
  readonly pools: {
    readonly total: number;
    readonly ready: number;
    readonly capacityBytes: number;
    readonly freeBytes: number;
  };
  readonly volumes: { readonly total: number; readonly served: number };
  readonly atRisk: readonly VolumeAtRisk[];
  /** Everything else that is not well, one line each. */
  readonly troubles: readonly string[];
}
