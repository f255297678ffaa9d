/**
 * Frontends: how a workload's kernel or program reaches a volume. Each binds a protocol session to
 * its transport and to a BlockDevice.
 *
 *     NBD   NbdServer      serves devices; NbdClientDevice: an export of any server as a device
 *     FUSE  FuseFrontend   a device as a loop device, through a mount whose root is one file
 */
export { NbdServer } from './nbd-server.ts';
export type { NbdExport, NbdServerOptions } from './nbd-server.ts';
export { NbdClientDevice } from './nbd-client.ts';
export { NBD_ERRNO } from './nbd-errno.ts';
export { FuseFrontend } from './fuse-frontend.ts';
export type { FuseFrontendOptions } from './fuse-frontend.ts';
