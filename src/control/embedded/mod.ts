/**
 * What Kubernetes and its sidecars do in a cluster, for an embedded one: claims get volumes, and
 * volumes go when their claims are gone. The loops know the objects of Kubernetes and call CSI
 * exactly as the sidecars do; they know nothing of replicas.
 */
export { EmbeddedControllers } from './embedded-controllers.ts';
export type { EmbeddedOptions } from './embedded-controllers.ts';
