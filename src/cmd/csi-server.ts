/**
 * Binds CSI services to a unix socket by gRPC. The services are plain methods; what gRPC needs to
 * know of them is in control/csi/csi.proto.
 */
import { HoldfastError } from '#api/mod.ts';
import type { ControllerCalls, IdentityCalls, NodeCalls, Service } from '#control/csi/mod.ts';
import { statusOf } from '#control/csi/mod.ts';
import type { Log } from '#host/mod.ts';
import {
  type GrpcObject,
  loadPackageDefinition,
  Metadata,
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceClientConstructor,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { chmodSync, rmSync } from 'node:fs';

export interface CsiServices {
  readonly identity: Service<IdentityCalls>;
  readonly controller?: Service<ControllerCalls>;
  readonly node?: Service<NodeCalls>;
}

export interface CsiServer {
  close(): Promise<void>;
}

const PROTO = new URL('../control/csi/csi.proto', import.meta.url).pathname;
const REQUEST_BYTES_MAX = 1024 * 1024;
const INTERNAL = 13;

type AnyMethod = (request: Readonly<Record<string, unknown>>) => Promise<unknown>;

/** Serves at `path`, whose directory exists; a socket left there by a process that died goes. */
export async function serveCsi(path: string, services: CsiServices, log: Log): Promise<CsiServer> {
  const definition = loadSync(PROTO, {
    longs: Number,
    enums: String,
    defaults: true,
    oneofs: true,
  });
  const root = (loadPackageDefinition(definition)['csi'] as GrpcObject)['v1'] as GrpcObject;
  const server = new Server({
    'grpc.max_receive_message_length': REQUEST_BYTES_MAX,
    // Answers are small; keeping their history for channelz costs memory for nothing.
    'grpc.enable_channelz': 0,
  });
  const bind = (name: string, service: object | undefined): void => {
    if (service === undefined) return;
    const methods = Object.entries(service as Record<string, AnyMethod>);
    const { service: described } = root[name] as ServiceClientConstructor;
    const handlers = methods.map(([method, call]) => [method, answerWith(method, call, log)]);
    server.addService(described, Object.fromEntries(handlers));
  };
  bind('Identity', services.identity);
  bind('Controller', services.controller);
  bind('Node', services.node);
  rmSync(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    const credentials = ServerCredentials.createInsecure();
    server.bindAsync(`unix:${path}`, credentials, (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  chmodSync(path, 0o600);
  return {
    close: () => new Promise((resolve) => server.tryShutdown(() => resolve())),
  };
}

type Call = ServerUnaryCall<Readonly<Record<string, unknown>>, unknown>;

function answerWith(name: string, method: AnyMethod, log: Log) {
  return (call: Call, answer: sendUnaryData<unknown>): void => {
    method(call.request).then(
      (value) => answer(null, value),
      (error: unknown) => {
        if (!HoldfastError.is(error)) {
          // A mistake of ours: the caller learns that it is one, and the process ends with it.
          answer({ code: INTERNAL, details: 'internal mistake', metadata: new Metadata() });
          throw error;
        }
        log.warn('CSI call failed', { call: name, code: error.code, ...error.details });
        answer({
          code: statusOf(error.code),
          details: describe(error),
          metadata: new Metadata(),
        });
      },
    );
  };
}

/** `Message (code): field name, value x. Remedy`: what people read in events and logs. */
function describe(error: HoldfastError): string {
  const { remedy, ...facts } = error.details;
  const listed = Object.entries(facts).map(([name, value]) => `${name} ${String(value)}`);
  const tail = listed.length === 0 ? '' : `: ${listed.join(', ')}`;
  return `${error.message} (${error.code})${tail}${remedy === undefined ? '' : `. ${remedy}`}`;
}
