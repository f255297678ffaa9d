/** The loops over the twin of the API and a driver that misbehaves as real ones do. */
import type { StorageClass } from '#api/kinds/mod.ts';
import { API_VERSION } from '#api/kinds/mod.ts';
import { type ErrorCode, hasCode, HoldfastError, PROVISIONER } from '#api/mod.ts';
import { createTestApi } from '#control/apiserver/test-api.testkit.ts';
import type { ControllerCalls, CsiSnapshot, Service } from '#control/csi/mod.ts';
import { changeStatus, type KubeClient } from '#control/kube/mod.ts';
import type { Host } from '#host/mod.ts';
import { SimWorld } from '#host/sim/mod.ts';
import { EmbeddedControllers } from './mod.ts';
import { until } from './until.testkit.ts';

/** Ends a life of the loops at one of its steps: a write to the API, or a call of the driver. */
export class KillSwitch {
  /** Steps until the end, counted from when it was set; undefined for never. */
  stepsLeft: number | undefined;
  /** The step took place, only its answer did not arrive. */
  isApplied = false;
  isDead = false;
  onDeath: () => void = () => {};

  /** One step of a life that may be over. */
  async step<T>(act: () => Promise<T>): Promise<T> {
    if (this.isDead) throw dead();
    if (this.stepsLeft === undefined) return act();
    this.stepsLeft -= 1;
    if (this.stepsLeft > 0) return act();
    this.isDead = true;
    this.onDeath();
    if (this.isApplied) await act();
    throw dead();
  }

  wrap(client: KubeClient): KubeClient {
    const read = <T>(act: () => Promise<T>): Promise<T> =>
      this.isDead ? Promise.reject(dead()) : act();
    return {
      get: (kind, key) => read(() => client.get(kind, key)),
      list: (kind, options) => read(() => client.list(kind, options)),
      watch: (kind, version, handler) => client.watch(kind, version, handler),
      create: (kind, object) =>
        kind === 'Event'
          ? client.create(kind, object)
          : this.step(() => client.create(kind, object)),
      update: (kind, object) => this.step(() => client.update(kind, object)),
      updateStatus: (kind, object) => this.step(() => client.updateStatus(kind, object)),
      patch: (kind, key, patch) => this.step(() => client.patch(kind, key, patch)),
      delete: (kind, key) => this.step(() => client.delete(kind, key)),
    };
  }
}

function dead(): HoldfastError {
  return new HoldfastError('disconnected', 'The life is over');
}

interface Failure {
  readonly code: ErrorCode;
  /** The effect took place, only the answer is lost. */
  readonly isApplied: boolean;
  readonly details?: Readonly<Record<string, string>>;
}

/** Volumes by name, as a driver would make them: each is also a Volume object. */
export class Driver {
  readonly calls: string[] = [];
  readonly failures = new Map<string, Failure[]>();
  readonly requests: Record<string, unknown>[] = [];
  readonly #client: KubeClient;
  readonly #killSwitch: KillSwitch;

  /** By the name that they were asked for with. */
  readonly snapshots = new Map<string, CsiSnapshot>();
  /** False while they are being taken. */
  isSnapshotReady = true;

  constructor(client: KubeClient, killSwitch: KillSwitch) {
    this.#client = client;
    this.#killSwitch = killSwitch;
  }

  failNext(call: string, ...failures: Failure[]): void {
    this.failures.set(call, failures);
  }

  get service(): Service<ControllerCalls> {
    const answer = async (call: string, request: object, act: () => Promise<unknown>) => {
      this.calls.push(call);
      this.requests.push({ call, ...request });
      const failure = this.failures.get(call)?.shift();
      const result =
        failure?.isApplied === false ? undefined : await this.#killSwitch.step(() => act());
      if (failure === undefined) return result;
      throw new HoldfastError(failure.code, 'It was planted', { details: failure.details ?? {} });
    };
    const service = {
      CreateVolume: (request: {
        name: string;
        capacityRange: { requiredBytes: number };
        parameters: Readonly<Record<string, string>>;
      }) => answer('CreateVolume', request, () => this.#create(request)),
      CreateSnapshot: (request: { name: string; sourceVolumeId: string }) =>
        answer('CreateSnapshot', request, () => this.#snapshot(request)),
      DeleteSnapshot: (request: { snapshotId: string }) =>
        answer('DeleteSnapshot', request, async () => {
          for (const [name, { snapshotId }] of this.snapshots) {
            if (snapshotId === request.snapshotId) this.snapshots.delete(name);
          }
          return {};
        }),
      ListSnapshots: (request: { snapshotId: string }) =>
        answer('ListSnapshots', request, async () => ({
          entries: [...this.snapshots.values()]
            .filter(({ snapshotId }) => snapshotId === request.snapshotId)
            .map((snapshot) => ({ snapshot })),
          nextToken: '',
        })),
      DeleteVolume: (request: { volumeId: string }) =>
        answer('DeleteVolume', request, () => this.#delete(request.volumeId)),
      ControllerExpandVolume: (request: { capacityRange: { requiredBytes: number } }) =>
        answer('ControllerExpandVolume', request, async () => ({
          capacityBytes: request.capacityRange.requiredBytes,
          nodeExpansionRequired: true,
        })),
    };
    return service as unknown as Service<ControllerCalls>;
  }

  async #snapshot({ name, sourceVolumeId }: { name: string; sourceVolumeId: string }) {
    const volume = await this.#client.get('Volume', { name: sourceVolumeId });
    const snapshot = this.snapshots.get(name) ?? {
      snapshotId: `snap-${name.slice(-12)}`,
      sourceVolumeId,
      sizeBytes: Number(volume.spec.size),
      creationTime: { seconds: 1_800_000_000, nanos: 250_000_000 },
      readyToUse: true,
    };
    this.snapshots.set(name, snapshot);
    if (!this.isSnapshotReady) {
      const details = { waitsFor: 'Waiting for the volume to be served' };
      throw new HoldfastError('timed-out', 'Not taken yet', { details });
    }
    return { snapshot };
  }

  count(call: string): number {
    return this.calls.filter((name) => name === call).length;
  }

  async #create({
    name,
    capacityRange,
    parameters,
  }: {
    name: string;
    capacityRange: { requiredBytes: number };
    parameters: Readonly<Record<string, string>>;
  }) {
    const volumeId = `vol-${name.slice(-12)}`;
    const capacityBytes = capacityRange.requiredBytes;
    try {
      const made = await this.#client.create('Volume', {
        apiVersion: API_VERSION,
        kind: 'Volume',
        metadata: { name: volumeId },
        spec: {
          size: String(capacityBytes),
          replicas: 1,
          claimRef: { namespace: 'default', name: claimNameOf(parameters) },
        },
      });
      const conditions = [
        {
          type: 'Ready',
          status: 'True' as const,
          reason: 'Made',
          message: '',
          lastTransitionTime: made.metadata.creationTimestamp ?? '',
        },
      ];
      await changeStatus(this.#client, 'Volume', { name: volumeId }, () => ({ conditions }));
    } catch (error) {
      if (!hasCode(error, 'already-exists')) throw error;
    }
    return { volume: { volumeId, capacityBytes, volumeContext: {} } };
  }

  async #delete(name: string) {
    try {
      await this.#client.delete('Volume', { name });
    } catch (error) {
      if (!hasCode(error, 'not-found')) throw error;
    }
    return {};
  }
}

function claimNameOf(parameters: Readonly<Record<string, string>>): string {
  return parameters['csi.storage.k8s.io/pvc/name'] ?? '';
}

export interface Scene {
  readonly client: KubeClient;
  readonly driver: Driver;
  readonly host: Host;
  readonly killSwitch: KillSwitch;
  readonly until: (what: string, check: () => Promise<void>) => Promise<void>;
}

export async function withLoops(
  action: (scene: Scene) => Promise<void>,
  storageClass: Partial<StorageClass> = {},
): Promise<void> {
  const world = new SimWorld(1);
  const host = world.addNode('controller');
  const { client } = createTestApi(world, host);
  const killSwitch = new KillSwitch();
  const driver = new Driver(client, killSwitch);
  const create = () =>
    new EmbeddedControllers({
      ...host,
      client: killSwitch.wrap(client),
      controller: driver.service,
    });
  let loops = create();
  /** Others watch over it: a new life begins a second after the old one ended. */
  const restart = async (): Promise<void> => {
    await loops.stop();
    killSwitch.isDead = false;
    killSwitch.stepsLeft = undefined;
    loops = create();
    await loops.start();
  };
  killSwitch.onDeath = () => void host.clock.after(1_000, () => void restart());
  await world.finish(
    (async () => {
      await client.create('StorageClass', {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'StorageClass',
        metadata: { name: 'simple' },
        provisioner: PROVISIONER,
        parameters: { replicas: '1' },
        allowVolumeExpansion: true,
        ...storageClass,
      });
      await loops.start();
      await action({ client, driver, host, killSwitch, until: until.bind(null, host.clock) });
      await loops.stop();
    })(),
  );
}
