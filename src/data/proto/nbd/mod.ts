/**
 * The NBD protocol without I/O: bytes in, events out, resumable at any byte. Names and numbers are
 * those of NetworkBlockDevice/nbd doc/proto.md.
 *
 *     server   NbdServerHandshake ──transmission──▶ NbdRequestDecoder, encode…Reply
 *     client   NbdClientHandshake ──transmission──▶ encodeRequest, NbdReplyDecoder
 *
 * What a peer can make us allocate is bounded here (handshake, chunks that are not data) or asked
 * of the owner (payload of a write, data of a read).
 */
export * from './constants.ts';
export { BASE_ALLOCATION_ID, NbdServerHandshake, OPTION_BYTES_MAX } from './server-handshake.ts';
export type { NbdExportOffer, NbdExportSource, NbdHandshakeEvent } from './server-handshake.ts';
export { NbdRequestDecoder } from './request-decoder.ts';
export type { NbdRequestSink } from './request-decoder.ts';
export {
  encodeBlockStatus,
  encodeErrorReply,
  encodeOffsetData,
  encodeSimpleReply,
} from './reply-encoder.ts';
export type { NbdBlockStatus } from './reply-encoder.ts';
export { NbdClientHandshake } from './client-handshake.ts';
export type { NbdClientHandshakeEvent, NbdExportTerms } from './client-handshake.ts';
export { encodeRequest } from './request-encoder.ts';
export { NbdReplyDecoder } from './reply-decoder.ts';
export type { NbdReplySink } from './reply-decoder.ts';
