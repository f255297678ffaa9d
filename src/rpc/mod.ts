/**
 * RPC between our processes: one table of methods from `#api`, JSON frames over a unix socket or
 * loopback TCP, versioned by a hello (frame.ts has the layout). Every method of the tables is
 * idempotent, so a caller that does not know the outcome asks again.
 *
 * What it deliberately does not do: streaming, retries, encryption. A bad frame closes the
 * connection; the number of connections and of calls in flight is bounded on both sides.
 */
export { formatAddress, parseAddress, SOCKET_PATH_BYTES_MAX } from './address.ts';
export { RpcClient } from './client.ts';
export type { RpcCallOptions, RpcClientOptions } from './client.ts';
export { FRAME_BODY_BYTES_MAX } from './frame.ts';
export { serveRpc } from './server.ts';
export type { RpcServer, RpcServerOptions } from './server.ts';
