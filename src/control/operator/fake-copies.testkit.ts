/** What scripted engines hold: which copies are current, rebuilds that take their time, bytes. */
import type { MemberStatus, ReplicaReport } from '#api/mod.ts';
import type { Clock } from '#host/mod.ts';

interface Holder {
  readonly name: string;
  readonly isSilent: boolean;
  readonly poolError: string;
  readonly pools: ReadonlyMap<string, { readonly replicas: Map<string, ReplicaReport> }>;
}

export class FakeCopies {
  /** Replicas that are not level yet, and when their rebuild began. */
  readonly blank = new Map<string, number | null>();
  /** What rebuilds copied, by volume. */
  readonly copiedBytes = new Map<string, number>();
  /** Deletions of a replica whose volume had no other current copy in reach. */
  readonly violations: string[] = [];
  rebuildBytesPerSecond = 100 * 2 ** 20;
  readonly #nodes: ReadonlyMap<string, Holder>;
  readonly #clock: Clock;

  constructor(nodes: ReadonlyMap<string, Holder>, clock: Clock) {
    this.#nodes = nodes;
    this.#clock = clock;
  }

  /** Whether the node answers and its pool is open and has the replica. */
  holds(nodeName: string, replica: string): boolean {
    const node = this.#nodes.get(nodeName);
    if (node === undefined || node.isSilent || node.poolError !== '') return false;
    return [...node.pools.values()].some((pool) => pool.replicas.has(replica));
  }

  /** A rebuild goes on while somebody looks; null when the replica is level. */
  rebuildOf(volume: string, replica: string): MemberStatus['rebuild'] {
    const nowMs = this.#clock.monotonicMs();
    const startMs = this.blank.get(replica);
    if (startMs === undefined) return null;
    if (startMs === null) this.blank.set(replica, nowMs);
    const bytes = Math.max(0, ...this.#reports(volume).map(({ report }) => bytesOf(report)));
    const tookMs = (bytes / this.rebuildBytesPerSecond) * 1_000;
    const doneMs = nowMs - (startMs ?? nowMs);
    if (doneMs >= tookMs) {
      this.blank.delete(replica);
      this.copiedBytes.set(volume, (this.copiedBytes.get(volume) ?? 0) + bytes);
      this.fill(volume, bytes, replica);
      return null;
    }
    const segmentsTotal = Math.ceil(bytes / 2 ** 20);
    const segmentsDone = Math.floor((segmentsTotal * doneMs) / tookMs);
    const copiedBytes = segmentsDone * 2 ** 20;
    const etaMs = tookMs - doneMs;
    return { kind: 'full', segmentsTotal, segmentsDone, copiedBytes, comparedBytes: 0, etaMs };
  }

  /** As if so much was written. */
  fill(volume: string, headBytes: number, only?: string): void {
    this.change(volume, (report) =>
      only === undefined || report.identity.replica === only
        ? { ...report, usage: { headBytes, snapshotBytes: 0, metadataBytes: 0 } }
        : report,
    );
  }

  change(volume: string, change: (report: ReplicaReport) => ReplicaReport): void {
    for (const node of this.#nodes.values()) {
      for (const { replicas } of node.pools.values()) {
        for (const [name, report] of replicas) {
          if (report.identity.volume === volume) replicas.set(name, change(report));
        }
      }
    }
  }

  /** *Never delete the last copy*, told by what lies on nodes that answer. */
  watchDeletion(replica: string): void {
    const found = [...this.#nodes.values()]
      .flatMap((node) => [...node.pools.values()])
      .flatMap((pool) => pool.replicas.get(replica) ?? [])[0];
    if (found === undefined) return;
    const { volume } = found.identity;
    if (this.countCurrent(volume, replica) === 0) this.violations.push(`${replica} of ${volume}`);
  }

  /** Copies in reach that are level, beside this one. */
  countCurrent(volume: string, except = ''): number {
    return this.#reports(volume)
      .map(({ node, report }) => ({ node, name: report.identity.replica as string }))
      .filter(({ node, name }) => name !== except && this.holds(node, name))
      .filter(({ name }) => !this.blank.has(name)).length;
  }

  #reports(volume: string): { readonly node: string; readonly report: ReplicaReport }[] {
    return [...this.#nodes.values()].flatMap(({ name: node, pools }) =>
      [...pools.values()]
        .flatMap((pool) => [...pool.replicas.values()])
        .filter((report) => report.identity.volume === volume)
        .map((report) => ({ node, report })),
    );
  }
}

function bytesOf({ usage }: ReplicaReport): number {
  return (usage?.headBytes ?? 0) + (usage?.snapshotBytes ?? 0);
}
