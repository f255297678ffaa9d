/** What a check says of one replica. */
import type { Disk } from '#host/mod.ts';
import { checkBlocks, noBlocks } from './block-check.ts';
import { digestLayer, digestView } from './digest.ts';
import { type Finding, Findings } from './findings.ts';
import { BLOCK_BYTES } from './layer-source.ts';
import type { VoterPayload } from './payloads.ts';
import {
  type Condition,
  type PoolHeader,
  type ReplicaImage,
  readReplica,
} from './replica-image.ts';
import { viewsOf } from './replica-view.ts';
import type { StoreLock } from './store-lock.ts';

export interface LayerReport {
  readonly layer: string;
  readonly home: string;
  readonly state: string;
  readonly snapshot: string | null;
  readonly sizeBytes: number;
  readonly dataBlocks: number;
  readonly zeroBlocks: number;
  /** 0 with --quick. */
  readonly checkedBlocks: number;
  readonly corruptBlocks: number;
  readonly unsettledBlocks: number;
  readonly unknownBlocks: number;
  /** Only with --digest; null when some of it is lost. */
  readonly digest?: string | null;
}

export interface ViewReport {
  readonly snapshot: string | null;
  readonly digest: string | null;
}

export interface ReplicaDescription {
  readonly cluster: string;
  readonly pool: string;
  readonly volume: string;
  readonly replica: string;
  readonly claim: string;
  readonly incarnation: string;
  readonly sizeBytes: number;
  readonly segmentBytes: number;
  readonly condition: Condition;
  readonly fileIdsFit: boolean;
  readonly intentSegments: number;
  /** True: the intent segments must be compared with other replicas before they are served. */
  readonly inDoubt: boolean;
  readonly voter: Omit<VoterPayload, 'replica'> | null;
  readonly completed: { readonly epoch: number; readonly n: number };
  readonly highestStamp: { readonly epoch: number; readonly n: number } | null;
  readonly mapLogRecords: number;
  readonly snapshots: readonly {
    readonly snapshot: string;
    readonly epoch: number;
    readonly n: number;
    readonly sizeBytes: number;
    readonly sealed: boolean;
  }[];
}

/** `unknown`: it is open elsewhere, and what was seen may have been in motion. */
export type Verdict = 'sound' | 'damaged' | 'corrupt' | 'unknown';

export interface ReplicaReport {
  readonly directory: string;
  readonly lock: StoreLock['state'];
  readonly verdict: Verdict;
  /** Null when its metadata cannot be read, or was not because it is open elsewhere. */
  readonly replica: ReplicaDescription | null;
  readonly layers: readonly LayerReport[];
  /** Only with --digest. */
  readonly views: readonly ViewReport[];
  readonly findings: readonly Finding[];
}

export interface ReplicaCheckOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly pool: PoolHeader | undefined;
  readonly lock: StoreLock['state'];
  readonly quick: boolean;
  readonly digest: boolean;
  readonly live: boolean;
}

export async function checkReplica(options: ReplicaCheckOptions): Promise<ReplicaReport> {
  const { directory, lock } = options;
  const findings = new Findings();
  const empty = { directory, lock, replica: null, layers: [], views: [] };
  if (lock === 'taken' && !options.live) {
    findings.note(directory, 'Another process has it open: not checked');
    return { ...empty, verdict: 'unknown', findings: findings.list };
  }
  const image = await readReplica({ ...options, findings });
  try {
    const parts = image === undefined ? empty : await describe(image, options, findings);
    return { ...empty, ...parts, verdict: verdictOf(findings, lock), findings: findings.list };
  } finally {
    await image?.close();
  }
}

function verdictOf(findings: Findings, lock: StoreLock['state']): Verdict {
  const wrong = findings.has('corruption') || findings.has('damage');
  if (wrong && lock === 'taken') return 'unknown';
  if (findings.has('corruption')) return 'corrupt';
  return wrong ? 'damaged' : 'sound';
}

async function describe(
  image: ReplicaImage,
  { quick, digest }: ReplicaCheckOptions,
  findings: Findings,
): Promise<Pick<ReplicaReport, 'replica' | 'layers' | 'views'>> {
  const sources = image.layers ?? [];
  const stamps = new StampCheck(image);
  const counts = await checkBlocks(sources, findings, quick, (block) => stamps.see(block));
  stamps.report(findings);
  const layers: LayerReport[] = [];
  for (const [i, source] of sources.entries()) {
    const { data, zero, checked, corrupt, unsettled, unknown } = counts[i] ?? noBlocks();
    const { layer, home, state, snapshot, sizeBytes } = source.layer;
    layers.push({
      ...{ layer, home, state, snapshot, sizeBytes },
      dataBlocks: data,
      zeroBlocks: zero,
      checkedBlocks: checked,
      corruptBlocks: corrupt,
      unsettledBlocks: unsettled,
      unknownBlocks: unknown,
      ...(digest ? { digest: await digestLayer(source) } : {}),
    });
  }
  const views: ViewReport[] = [];
  for (const view of digest ? viewsOf(image) : []) {
    views.push({ snapshot: view.snapshot, digest: await digestView(view) });
  }
  return { replica: descriptionOf(image), layers, views };
}

/**
 * A stamps page that is lost reads as one that was never written; but a block that is present was
 * written, and a write leaves a stamp.
 */
class StampCheck {
  readonly #image: ReplicaImage;
  #last = -1;
  #first = -1;
  #missing = 0;

  constructor(image: ReplicaImage) {
    this.#image = image;
  }

  see(block: number): void {
    const { header, stamps, doubt, intents } = this.#image;
    const segment = Math.floor((block * BLOCK_BYTES) / header.segmentBytes);
    if (segment === this.#last || stamps === undefined) return;
    this.#last = segment;
    const segments = stamps.stamped.length;
    if (segment < header.baseSegments || segment >= segments) return;
    if (stamps.stamped.test(segment) || (doubt && intents.has(segment))) return;
    if (this.#missing === 0) this.#first = segment;
    this.#missing++;
  }

  report(findings: Findings): void {
    if (this.#missing === 0) return;
    const { directory, header } = this.#image;
    const file = `${directory}/stamps-${header.stamps}`;
    const details = { segment: this.#first, times: this.#missing };
    const message = 'Segments were written and have no stamp';
    if (header.clean) findings.damage(file, message, details);
    else findings.note(file, message, details);
  }
}

function descriptionOf(image: ReplicaImage): ReplicaDescription {
  const { header, voter } = image;
  const { cluster, pool, volume, replica, claim, incarnation, sizeBytes, segmentBytes } = header;
  return {
    ...{ cluster, pool, volume, replica, claim, incarnation, sizeBytes, segmentBytes },
    condition: image.condition,
    fileIdsFit: image.fileIdsFit,
    intentSegments: image.intents.size,
    inDoubt: image.doubt && image.intents.size > 0,
    voter: voter === undefined ? null : withoutReplica(voter),
    completed: image.replay.completed,
    highestStamp: image.stamps?.highest ?? null,
    mapLogRecords: image.mapLog.records.length,
    snapshots: header.layers.flatMap((layer) => {
      if (layer.snapshot === null || layer.state === 'merging') return [];
      const { snapshot, epoch, n } = layer;
      return [{ snapshot, epoch, n, sizeBytes: layer.sizeBytes, sealed: layer.state === 'sealed' }];
    }),
  };
}

function withoutReplica({
  promised,
  promisedTo,
  record,
  rebuild,
}: VoterPayload): Omit<VoterPayload, 'replica'> {
  return { promised, promisedTo, record, rebuild };
}
