/**
 * The narrow client to the Kubernetes API, over HTTP or in the same process. Informers and work
 * queues on top: list, watch, coalesce, retry.
 */
export { applyObject, parseManifestObjects } from './apply-objects.ts';
export type { ApplyOutcome } from './apply-objects.ts';
export { changeStatus, setFinalizer } from './change-status.ts';
export { formatKey, keyOf, parseKey } from './client.ts';
export type {
  KubeClient,
  ListOptions,
  ObjectKey,
  ObjectList,
  ObjectPatch,
  Watch,
  WatchEventType,
  WatchHandler,
} from './client.ts';
export { createHttpTransport } from './api-transport.ts';
export type { ApiAnswer, ApiCall, ApiEndpoint, ApiTransport } from './api-transport.ts';
export { EventRecorder } from './event-recorder.ts';
export { Informer } from './informer.ts';
export { ObjectWaiter } from './object-waiter.ts';
export { MANIFEST_BYTES_MAX, parseManifest, readManifestFile } from './manifest.ts';
export {
  carryOut,
  describeError,
  findObject,
  hasFinalizer,
  isDeleting,
  reasonOf,
  writeStatus,
} from './reconcile.ts';
export type { ActionLabel, Execution, Plan, ReconcileContext } from './reconcile.ts';
export { RestClient } from './rest-client.ts';
export type { RestClientOptions } from './rest-client.ts';
export { WorkQueue } from './work-queue.ts';
export type { ReconcileResult, WorkQueueOptions } from './work-queue.ts';
