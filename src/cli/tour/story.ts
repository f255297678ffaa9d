/** What the tour tells: write, kill, look, rebuild, snapshot, overwrite, restore, verify. */
import { HoldfastError } from '#api/mod.ts';
import { assert } from '#lib/mod.ts';
import { withCluster } from '../cluster-client.ts';
import { findVolume } from '../find-volume.ts';
import { waitFor } from '../wait-for.ts';
import type { Guide } from './guide.ts';
import type { Moment, Subject } from './subject.ts';
import { Writer } from './writer.ts';

const CLAIM = 'demo';
const RESTORED = 'restored';
const SNAPSHOT = 'before';
/** Long enough to have something to lose, and to see that the writer goes on. */
const WRITE_MS = 2_000;
const RESTART_MS_MAX = 60_000;
const NOTICE_MS_MAX = 5_000;
const LOOK_MS = 50;

const CLAIM_MANIFEST = `apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: { name: three-copies }
provisioner: csi.holdfast.dev
parameters: { replicas: "3" }
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: ${CLAIM} }
spec:
  storageClassName: three-copies
  accessModes: [ReadWriteOnce]
  resources: { requests: { storage: 1Gi } }
`;

function snapshotManifest(volumeName: string): string {
  return `apiVersion: holdfast.dev/v1alpha1
kind: Snapshot
metadata: { name: ${SNAPSHOT} }
spec:
  volumeName: ${volumeName}
  claimRef: { namespace: default, name: ${CLAIM} }
`;
}

const RESTORED_MANIFEST = `apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: ${RESTORED} }
spec:
  storageClassName: three-copies
  accessModes: [ReadWriteOnce]
  resources: { requests: { storage: 1Gi } }
  dataSourceRef: { apiGroup: holdfast.dev, kind: Snapshot, name: ${SNAPSHOT} }
`;

export class Story {
  readonly #guide: Guide;
  readonly #subject: Subject;
  #writer: Writer | undefined;

  constructor(guide: Guide, subject: Subject) {
    this.#guide = guide;
    this.#subject = subject;
  }

  async tell(): Promise<void> {
    await this.#makeClaim();
    await this.#loseEngines();
    await this.#snapshot();
    await this.#restore();
    await this.#verifyAll();
  }

  /** Lets go of the volume, wherever the story stands; nothing to do after its end. */
  async letGo(): Promise<void> {
    try {
      await this.#writer?.stop();
    } finally {
      this.#writer = undefined;
      await this.#subject.settle();
    }
  }

  async #makeClaim(): Promise<void> {
    const guide = this.#guide;
    guide.step(
      'A claim of 1 GiB, three replicas on three nodes',
      'As in Kubernetes: a StorageClass and a PersistentVolumeClaim. Each node is a process of its own with an engine beside it that holds the data.',
    );
    await guide.apply(CLAIM, CLAIM_MANIFEST);
    await this.#subject.open(CLAIM);

    guide.step(
      `Write ${this.#subject.noun}`,
      'Every write is followed by a sync, and its checksum is remembered outside the volume. The writer goes on in the background from here.',
    );
    const writer = new Writer(guide.clock, await this.#subject.writes(CLAIM));
    this.#writer = writer;
    writer.start();
    await guide.clock.sleep(WRITE_MS);
    const startMs = guide.clock.monotonicMs();
    const pauseMs = await writer.longestPauseMs(startMs);
    guide.result(`${this.#subject.describe()} so far; longest wait of a write ${ms(pauseMs)}`);

    guide.step('Where is it?', 'From the claim to the directories and the disks under them.');
    await guide.run('where', 'claim', CLAIM);
  }

  async #loseEngines(): Promise<void> {
    const guide = this.#guide;
    const { serving, other } = await this.#nodes();
    const writer = this.#writer;
    assert(writer !== undefined, 'the writer is at work');
    guide.step(
      'kill -9 the engine that serves the volume',
      `${serving} serves it. Its node starts a new engine, which asks the replicas who is current and goes on. The writer waits meanwhile; it must see no error.`,
    );
    const servingPid = await this.#killEngine(writer, serving);
    await this.#waitForEngine(serving, servingPid);
    await guide.run('volume', 'rebuild', CLAIM);
    guide.step(
      'kill -9 the engine of another replica',
      'Its removal is recorded by the two others before a write is acknowledged without it; when it is back, it is brought level.',
    );
    const otherPid = await this.#killEngine(writer, other);
    guide.step('Rebuild', 'Waits until every replica is in sync again, with the writer at work.');
    await guide.run('volume', 'rebuild', CLAIM);
    await this.#waitForEngine(other, otherPid);
    await guide.run('get', 'replicas');
  }

  async #killEngine(writer: Writer, node: string): Promise<number> {
    const guide = this.#guide;
    const pid = await this.#enginePid(node);
    writer.forgetPauses();
    guide.showCommand(`kill -9 ${pid}        # the engine of ${node}`);
    const killedMs = guide.clock.monotonicMs();
    guide.context.machine.kill(pid);
    await this.#waitUntilNoticed(pid, node);
    await guide.run('explain', 'claim', CLAIM);
    const pauseMs = await writer.longestPauseMs(killedMs);
    guide.result(`the writer waited ${ms(pauseMs)} at most, and saw no error`);
    return pid;
  }

  /** Until the controller knows, so that `explain` has something to say; or it is over already. */
  async #waitUntilNoticed(pid: number, node: string): Promise<void> {
    const { clock } = this.#guide;
    const deadlineMs = clock.monotonicMs() + NOTICE_MS_MAX;
    await this.#withCluster(async (cluster) => {
      const name = { kind: 'PersistentVolumeClaim', namespace: 'default', name: CLAIM } as const;
      while (clock.monotonicMs() < deadlineMs) {
        const { firstFailing } = await cluster.call('cluster.explain', name);
        if (firstFailing !== null || (await this.#enginePid(node)) !== pid) return;
        await clock.sleep(LOOK_MS);
      }
    });
  }

  async #waitForEngine(node: string, before: number): Promise<void> {
    const { context } = this.#guide;
    await waitFor(context, `engine of ${node}`, RESTART_MS_MAX, async () => {
      const isBack = (await this.#enginePid(node)) !== before;
      return isBack ? { done: true } : { progress: 'being started' };
    });
  }

  async #snapshot(): Promise<void> {
    const guide = this.#guide;
    guide.step('Snapshot', 'The writer stops first, so that we know what the snapshot must hold.');
    await this.letGo();
    this.#subject.rememberSnapshot();
    guide.result(`${this.#subject.describe()} written and synced without an error`);
    const { volume } = await this.#withCluster((cluster) => findVolume(cluster, CLAIM, undefined));
    const inShort = `volume snapshot ${CLAIM} --name ${SNAPSHOT}`;
    await guide.apply(SNAPSHOT, snapshotManifest(volume.metadata.name), inShort);

    guide.step('Overwrite', 'The accident for which one has snapshots.');
    guide.result(await this.#subject.overwrite(CLAIM));
  }

  async #restore(): Promise<void> {
    const guide = this.#guide;
    guide.step(
      'Restore the snapshot as a new claim',
      'A volume of its own, three replicas again. The old claim stays as it is.',
    );
    await guide.apply(RESTORED, RESTORED_MANIFEST, `volume restore ${SNAPSHOT} ${RESTORED}`);
    await this.#subject.open(RESTORED);
  }

  async #verifyAll(): Promise<void> {
    const guide = this.#guide;
    guide.step(
      'Verify every byte',
      'The restored claim must be as it was before the accident, the old one as it was left. The old one is taken down and opened anew, so that nothing comes from a cache above the replicas.',
    );
    await this.#subject.close(CLAIM);
    await this.#subject.open(CLAIM);
    await this.#verify(RESTORED, 'snapshot');
    await this.#verify(CLAIM, 'now');
    guide.say('And on each replica, every block against its checksum:');
    await guide.run('volume', 'scrub', CLAIM);
    await guide.run('volume', 'scrub', RESTORED);
  }

  async #verify(claim: string, moment: Moment): Promise<void> {
    const { differences, compared } = await this.#subject.verify(claim, moment);
    if (differences.length === 0) {
      this.#guide.result(`${claim}: ${compared}: all as written`);
      return;
    }
    throw new HoldfastError('checksum-mismatch', 'Data is not what was written', {
      details: { claim, differences: differences.join('\n') },
    });
  }

  async #nodes(): Promise<{ readonly serving: string; readonly other: string }> {
    return this.#withCluster(async (cluster) => {
      const { volume } = await findVolume(cluster, CLAIM, undefined);
      const serving = volume.spec.attachment?.nodeName ?? '';
      const names = (await cluster.list('StorageNode')).map((node) => node.metadata.name);
      return { serving, other: names.find((name) => name !== serving) ?? '' };
    });
  }

  async #enginePid(node: string): Promise<number> {
    return this.#withCluster(async (cluster) => {
      const { status } = await cluster.get('StorageNode', { name: node });
      return status?.enginePid ?? 0;
    });
  }

  #withCluster<T>(action: Parameters<typeof withCluster<T>>[2]): Promise<T> {
    return withCluster(this.#guide.context, { cluster: this.#guide.clusterPath }, action);
  }
}

function ms(value: number): string {
  return value < 1000 ? `${value.toFixed(0)} ms` : `${(value / 1000).toFixed(2)} s`;
}
