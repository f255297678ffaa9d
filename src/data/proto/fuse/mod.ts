/**
 * FUSE kernel protocol for the one thing that we serve: a mount whose root is one regular file
 * (docs/design/0008-fuse.md). Sans-I/O: bytes in, values out.
 *
 * Deliberately absent: directories, names, caching, everything that a filesystem would need.
 */
export * from './constants.ts';
export { errnoOf } from './errno.ts';
export {
  encodeAttr,
  encodeError,
  encodeInit,
  encodeNotifyResend,
  encodeOpen,
  encodeOutHeader,
  encodeStatfs,
  encodeWrite,
} from './reply.ts';
export { FUSE_WRITE_DATA_AT, FuseRequest, decodeFuseRequest } from './request.ts';
