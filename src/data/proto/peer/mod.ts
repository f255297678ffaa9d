/**
 * The peer protocol between a nexus and a replica of another process, version 1: bytes in, frames
 * out, and back. It reads no socket and knows no time; docs/format/peer.md has the bytes.
 *
 * Invariants
 * - No length from the wire is believed before it was compared with the limit of its frame's type.
 * - Header and payload each have a CRC-32C; a frame that does not fit ends the connection.
 * - The hot verbs (read, write, trim, zero, flush) need no body but the data.
 */
export { COLD_VERBS, findColdVerb } from './cold-verbs.ts';
export type { BodyCodec, ColdBodies, ColdName, ColdVerb, PeerExtent } from './cold-verbs.ts';
export { encodeFrame, FrameBatch } from './frame-batch.ts';
export type { FrameFields } from './frame-batch.ts';
export { FrameDecoder } from './frame-decoder.ts';
export type { Frame, Violation } from './frame-decoder.ts';
export * from './frame-types.ts';
export { decodeJson, encodeJson } from './json-body.ts';
export {
  plainError,
  plainReplicaState,
  readError,
  readHello,
  readWelcome,
} from './peer-values.ts';
export type { Hello, Welcome } from './peer-values.ts';
export type { Settlement } from './segment-body.ts';
