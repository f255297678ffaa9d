/**
 * The narrow client to the Kubernetes API, and its in-memory twin, which is also what keeps the
 * objects of an embedded cluster. Informers and work queues on top: list, watch, coalesce, retry.
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
  Watch,
  WatchEventType,
  WatchHandler,
} from './client.ts';
export { EventRecorder } from './event-recorder.ts';
export { Informer } from './informer.ts';
export { ObjectWaiter } from './object-waiter.ts';
export { MANIFEST_BYTES_MAX, parseManifest, readManifestFile } from './manifest.ts';
export { MemoryCluster } from './memory-cluster.ts';
export type { MemoryClusterOptions } from './memory-cluster.ts';
export { mergePatch } from './merge-patch.ts';
export { ObjectFiles, readWholeFile, writeFileAtomically } from './object-files.ts';
export { WorkQueue } from './work-queue.ts';
export type { ReconcileResult, WorkQueueOptions } from './work-queue.ts';
