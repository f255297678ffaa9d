/**
 * The CSI services (identity, controller, node) as plain methods: the embedded loops, the sidecars
 * and the kubelet all call them through a socket, which `cmd` binds. They know the API objects and
 * the engine of their node, and nothing of replicas.
 */
export { ControllerService } from './controller-service.ts';
export { createIdentityService } from './identity.ts';
export type { ControllerCalls, IdentityCalls, NodeCalls, Service } from './messages.ts';
export { createNodeService } from './node-service.ts';
export { statusOf } from './status.ts';
