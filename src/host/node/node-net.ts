import { chmod } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { HoldfastError } from '#api/mod.ts';
import type { Address, Conn, Listener, Net } from '../mod.ts';
import { fromNodeError } from './errno-error.ts';
import { NodeConn } from './node-conn.ts';
import { adoptSocket, createSocket, descriptorOf } from './raw-socket.ts';
import { removeStaleSocket } from './stale-socket.ts';
import { growSocketBuffers } from './syscalls.ts';

/**
 * Unix sockets start with 208 KiB: less than two requests of 128 KiB (docs/design/0003-disk-io.md).
 */
const UNIX_BUFFER_BYTES = 1024 * 1024;

/** Unix sockets and TCP. */
export class NodeNet implements Net {
  async listen(address: Address, onConn: (conn: Conn) => void): Promise<Listener> {
    const server = createServer({ pauseOnConnect: true }, (accepted) => {
      const peer = address.kind === 'unix' ? `unix:${address.path}` : tcpName(accepted);
      onConn(new NodeConn(peer, (receiver) => prepare(adoptSocket(accepted, receiver), address)));
    });
    try {
      await bind(server, address);
    } catch (error) {
      const stale = address.kind === 'unix' && (await removeStaleSocket(error, address.path));
      if (!stale) throw listenError(error, address);
      await bind(server, address).catch((again: unknown) => {
        throw listenError(again, address);
      });
    }
    if (address.kind === 'unix') await chmod(address.path, 0o600);
    // Failing to accept one connection (no descriptors left) is the peer's time-out, not our end.
    server.on('error', () => {});
    return {
      address: boundAddress(server, address),
      // Not with its callback, which waits for the open connections. Node removes the socket file.
      close: () => {
        server.close();
        return Promise.resolve();
      },
    };
  }

  connect(address: Address, options: { readonly timeoutMs: number }): Promise<Conn> {
    const { promise, resolve, reject } = Promise.withResolvers<Conn>();
    const details = { address: formatAddress(address) };
    const socket: { current?: Socket } = {};
    const conn = new NodeConn(details.address, (receiver) => {
      socket.current = createSocket(receiver);
      return socket.current;
    });
    const connecting = socket.current!;
    const timer = setTimeout(() => {
      conn.close();
      reject(new HoldfastError('timed-out', 'Nobody answered in time', { details }));
    }, options.timeoutMs);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      // A socket file that is not there is a port that nobody has.
      const absent = 'code' in error && error.code === 'ENOENT';
      const refused = new HoldfastError('refused', 'Nothing listens there', { details });
      reject(absent ? refused : fromNodeError(error, details));
    };
    connecting.once('error', fail);
    connecting.once('connect', () => {
      clearTimeout(timer);
      connecting.off('error', fail);
      prepare(connecting, address);
      resolve(conn);
    });
    if (address.kind === 'unix') connecting.connect(address.path);
    else connecting.connect({ host: address.host, port: address.port });
    return promise;
  }
}

function prepare(socket: Socket, address: Address): Socket {
  if (address.kind === 'tcp') socket.setNoDelay(true);
  else if (descriptorOf(socket) >= 0) growSocketBuffers(descriptorOf(socket), UNIX_BUFFER_BYTES);
  return socket;
}

function bind(server: Server, address: Address): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  const bound = (): void => {
    server.off('error', reject);
    resolve();
  };
  if (address.kind === 'unix') server.listen(address.path, bound);
  else server.listen(address.port, address.host, bound);
  return promise;
}

function listenError(error: unknown, address: Address): HoldfastError {
  return fromNodeError(error, {
    address: formatAddress(address),
    remedy: 'Choose another address, or stop who has it',
  });
}

function boundAddress(server: Server, address: Address): Address {
  if (address.kind === 'unix') return address;
  return { ...address, port: (server.address() as AddressInfo).port };
}

function tcpName(socket: Socket): string {
  return `tcp:${socket.remoteAddress}:${socket.remotePort}`;
}

function formatAddress(address: Address): string {
  return address.kind === 'unix' ? `unix:${address.path}` : `tcp:${address.host}:${address.port}`;
}
