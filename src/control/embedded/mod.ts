/**
 * What Kubernetes and its sidecars do in a cluster, for an embedded one: claims get volumes, and
 * volumes go when their claims are gone; a Mount, which stands for a pod, gets its volume attached,
 * staged and published. The loops know the objects of Kubernetes and call CSI exactly as the
 * sidecars and the kubelet do; they know nothing of replicas.
 */
export { EmbeddedControllers } from './embedded-controllers.ts';
export type { EmbeddedOptions } from './embedded-controllers.ts';
export { NodeLoop } from './node-loop/node-loop.ts';
export type { NodeLoopOptions, StagedVolume } from './node-loop/node-loop.ts';
