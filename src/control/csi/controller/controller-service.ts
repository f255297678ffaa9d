import type { KubeClient } from '#control/kube/mod.ts';
import { ObjectWaiter } from '#control/kube/mod.ts';
import type { Clock, Log } from '#host/mod.ts';
import type { ControllerContext } from './context.ts';
import { createLists } from './lists.ts';
import { publishVolume, unpublishVolume } from './publish.ts';
import { createSnapshot, deleteSnapshot, listSnapshots } from './snapshots.ts';
import { createVolume, deleteVolume, expandVolume } from './volumes.ts';
import { isForReaders } from '../demand.ts';
import { lockService } from '../locked.ts';
import type { ControllerCalls, RequestOf, Service } from '../messages.ts';
import { snapshotIdOf, volumeIdOf } from './names.ts';

export interface ControllerServiceOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  /** How long a call waits for the reconcilers; below the callers' own deadline. */
  readonly waitMs?: number;
}

/**
 * Sidecars give up after 10 s by default, and nobody who waits is told why before: what is not done
 * then is found by the next call.
 */
const WAIT_MS = 5_000;

/**
 * The CSI controller service: it writes Volumes and Snapshots, and waits for what the reconcilers
 * make of them. It keeps nothing of its own, so that any instance can take over.
 */
export class ControllerService {
  readonly calls: Service<ControllerCalls>;
  readonly #volumes: ObjectWaiter<'Volume'>;
  readonly #snapshots: ObjectWaiter<'Snapshot'>;

  constructor(options: ControllerServiceOptions) {
    const { client, clock, log, waitMs = WAIT_MS } = options;
    this.#volumes = new ObjectWaiter({ kind: 'Volume', client, clock, log });
    this.#snapshots = new ObjectWaiter({ kind: 'Snapshot', client, clock, log });
    const context = {
      client,
      clock,
      volumes: this.#volumes,
      snapshots: this.#snapshots,
      waitMs,
    };
    this.calls = lockService(createCalls(context), lockOf);
  }

  /** Before the first call. */
  async start(): Promise<void> {
    await Promise.all([this.#volumes.start(), this.#snapshots.start()]);
  }

  stop(): void {
    this.#volumes.stop();
    this.#snapshots.stop();
  }
}

function createCalls(context: ControllerContext): Service<ControllerCalls> {
  return {
    ...createLists(context),
    CreateVolume: (request) => createVolume(context, request),
    DeleteVolume: (request) => deleteVolume(context, request),
    ControllerPublishVolume: (request) => publishVolume(context, request),
    ControllerUnpublishVolume: (request) => unpublishVolume(context, request),
    ControllerExpandVolume: (request) => expandVolume(context, request),
    CreateSnapshot: (request) => createSnapshot(context, request),
    DeleteSnapshot: (request) => deleteSnapshot(context, request),
    ListSnapshots: (request) => listSnapshots(context, request),
  };
}

type PublishRequest = RequestOf<ControllerCalls, 'ControllerPublishVolume'>;

/** A volume by its id however the request names it; reading needs no lock. */
function lockOf(name: keyof ControllerCalls, request: Readonly<Record<string, unknown>>) {
  switch (name) {
    case 'CreateVolume':
      return volumeIdOf(String(request['name']));
    case 'ControllerPublishVolume': {
      // Readers on many nodes do not wait for each other.
      const { volumeId, nodeId, volumeCapability } = request as PublishRequest;
      return isForReaders(volumeCapability) ? `${volumeId} ${nodeId}` : volumeId;
    }
    case 'DeleteVolume':
    case 'ControllerUnpublishVolume':
    case 'ControllerExpandVolume':
      return String(request['volumeId']);
    case 'CreateSnapshot':
      return snapshotIdOf(String(request['name']));
    case 'DeleteSnapshot':
      return String(request['snapshotId']);
    default:
      return null;
  }
}
