/**
 * Binds CSI services to a unix socket by gRPC. The services are plain methods; what gRPC needs to
 * know of them is in control/csi/csi.proto. The socket is there at once; gRPC itself, which costs
 * every process more memory than all of the rest of a node, is loaded for the first caller.
 */
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import type { ControllerCalls, IdentityCalls, NodeCalls, Service } from '#control/csi/mod.ts';
import { fromNodeError } from '#host/node/mod.ts';
import type { Log } from '#host/mod.ts';
import type { GrpcBinding } from './grpc-binding.ts';

export interface CsiServices {
  readonly identity: Service<IdentityCalls>;
  readonly controller?: Service<ControllerCalls>;
  readonly node?: Service<NodeCalls>;
}

export interface CsiServer {
  /** No new calls; resolves when those under way are answered. */
  close(): Promise<void>;
}

/** Serves at `path`, whose directory exists; a socket left there by a process that died goes. */
export async function serveCsi(path: string, services: CsiServices, log: Log): Promise<CsiServer> {
  let binding: Promise<GrpcBinding> | null = null;
  const load = async (): Promise<GrpcBinding> => {
    const { bindServices } = await import('./grpc-binding.ts');
    return bindServices(services, log);
  };
  // Paused: the first bytes of a caller are gRPC's, which may still be loading.
  const server = createServer({ pauseOnConnect: true }, (socket: Socket) => {
    binding ??= load();
    void binding.then((loaded) => {
      loaded.take(socket);
      socket.resume();
    });
  });
  rmSync(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(fromNodeError(error, { path })));
    server.listen(path, resolve);
  });
  chmodSync(path, 0o600);
  return {
    close: async () => {
      server.close();
      if (binding !== null) await (await binding).close();
    },
  };
}
