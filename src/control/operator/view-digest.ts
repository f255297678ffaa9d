/**
 * ViewDigest: what was last seen of each node, in the part that reconcilers decide on, and what of
 * it is new in a view. Figures that change all the time are left out or rounded.
 */
import type { AttachmentReport, PoolReport, ReplicaReport } from '#api/mod.ts';
import type { NodeView } from './cluster-observer.ts';
import { fullnessOf } from './pool/fullness.ts';

interface Seen {
  /** Of what is nobody's in particular: pools, what the machine lacks, who is silent. */
  node: string;
  readonly volumes: Map<string, string>;
}

export interface ViewNews {
  /** The node itself is another: everything on it is looked at. */
  readonly node: boolean;
  readonly volumes: readonly string[];
}

const NOTHING: ViewNews = { node: false, volumes: [] };

export class ViewDigest {
  readonly #seen = new Map<string, Seen>();

  /** The first view of a node is no news: everything is looked at anyway when work begins. */
  note(view: NodeView): ViewNews {
    const volumes = digestVolumes(view);
    const node = digestNode(view);
    const before = this.#seen.get(view.node);
    this.#seen.set(view.node, { node, volumes });
    if (before === undefined) return NOTHING;
    const names = new Set([...volumes.keys(), ...before.volumes.keys()]);
    return {
      node: node !== before.node,
      volumes: [...names].filter((name) => volumes.get(name) !== before.volumes.get(name)),
    };
  }

  /** A view of one volume alone. */
  noteVolume(view: NodeView, volume: string): ViewNews {
    const before = this.#seen.get(view.node);
    if (before === undefined) return NOTHING;
    const digest = digestVolumes(view).get(volume);
    if (before.volumes.get(volume) === digest) return NOTHING;
    if (digest === undefined) before.volumes.delete(volume);
    else before.volumes.set(volume, digest);
    return { node: false, volumes: [volume] };
  }
}

function digestNode({ engine, agent }: NodeView): string {
  const pools = (engine?.pools ?? []).map((pool) => [
    pool.pool,
    pool.error,
    fullnessOf(pool),
    pool.replicas.filter(({ identity }) => identity.volume === '').map(digestReplica),
  ]);
  return JSON.stringify([pools, agent?.missing, engine === null, agent === null]);
}

/** Also of volumes that only have a mount or a replica here. */
function digestVolumes({ engine, agent }: NodeView): Map<string, string> {
  const parts = new Map<string, unknown[]>();
  const add = (volume: string, part: unknown): void => {
    const known = parts.get(volume);
    if (known === undefined) parts.set(volume, [part]);
    else known.push(part);
  };
  for (const report of engine?.attachments ?? []) add(report.volume, digestAttachment(report));
  for (const pool of engine?.pools ?? []) {
    for (const report of pool.replicas) {
      if (report.identity.volume !== '') add(report.identity.volume, digestPlaced(pool, report));
    }
  }
  for (const mount of agent?.mounts ?? []) add(mount.volume, mount);
  return new Map([...parts].map(([volume, part]) => [volume, JSON.stringify(part)]));
}

function digestAttachment({ status, frontends }: AttachmentReport): unknown {
  return [
    status.phase,
    status.reason,
    status.epoch,
    status.sizeBytes,
    status.damagedBlocks,
    status.error?.code,
    status.record?.voters,
    status.members.map((member) => [member.replica, member.phase, member.errorCode]),
    frontends,
  ];
}

function digestPlaced(pool: PoolReport, report: ReplicaReport): unknown {
  return [pool.pool, digestReplica(report)];
}

function digestReplica({ identity, error, sizeBytes, state, usage }: ReplicaReport): unknown {
  return [
    identity.replica,
    error,
    sizeBytes,
    state?.incarnation,
    state?.snapshots.map((snapshot) => [snapshot.id, snapshot.sealed]),
    Math.ceil(((usage?.headBytes ?? 0) + (usage?.snapshotBytes ?? 0)) / 2 ** 20),
  ];
}
