/**
 * The CSI services as plain methods: the embedded loops, the sidecars and the kubelet all call them
 * through a socket, which `cmd` binds. Identity and the messages are here; `controller/` knows the
 * API objects, `node/` the engine and the mounts of its node; nothing here knows replicas.
 */
export { createIdentityService } from './identity.ts';
export type {
  AccessMode,
  ControllerCalls,
  CsiSnapshot,
  IdentityCalls,
  NodeCalls,
  RequestOf,
  Service,
  VolumeCapability,
} from './messages.ts';
export { statusOf } from './status.ts';
export { TOPOLOGY_NODE } from './topology.ts';
export { viewIdOf } from './view-id.ts';
