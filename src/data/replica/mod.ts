/**
 * One stored copy as a Member: in this thread (Replica, LocalMember) and over the peer protocol
 * (PeerServer on the replica's side; PeerConnector and RemoteMember on the nexus's side).
 * Format: docs/format/peer.md; decisions: docs/design/0006-peer.md.
 */
export { LocalMember } from './local-member.ts';
export { Replica } from './replica.ts';
export type { ReplicaOptions } from './replica.ts';
export { PeerConnector } from './peer-connector.ts';
export type { PeerConnectorOptions } from './peer-connector.ts';
export { DEFAULT_PEER_LIMITS } from './peer-limits.ts';
export type { PeerLimits } from './peer-limits.ts';
export { PeerServer } from './peer-server.ts';
export type { PeerServerOptions } from './peer-server.ts';
export { RemoteMember } from './remote-member.ts';
export type { RemoteMemberOptions } from './remote-member.ts';
