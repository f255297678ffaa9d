/** The only file that knows gRPC: plain methods as handlers, errors as statuses. */
import { HoldfastError } from '#api/mod.ts';
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
import type { Duplex } from 'node:stream';
import type { CsiServices } from './csi-server.ts';

export interface GrpcBinding {
  /** Serves the caller behind this connection. */
  take(connection: Duplex): void;
  close(): Promise<void>;
}

const PROTO = new URL('../control/csi/csi.proto', import.meta.url).pathname;
const REQUEST_BYTES_MAX = 1024 * 1024;
const INTERNAL = 13;
/** What messages.ts describes. */
const FORM = { longs: Number, enums: String, defaults: true, oneofs: true };

type AnyMethod = (request: Readonly<Record<string, unknown>>) => Promise<unknown>;

export function bindServices(services: CsiServices, log: Log): GrpcBinding {
  const loaded = loadPackageDefinition(loadSync(PROTO, FORM));
  const root = (loaded['csi'] as GrpcObject)['v1'] as GrpcObject;
  const server = new Server({
    'grpc.max_receive_message_length': REQUEST_BYTES_MAX,
    // The history of every channel, for a debugger that is not there.
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
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  return {
    take: (connection) => injector.injectConnection(connection),
    close: () =>
      new Promise((resolve) => {
        injector.destroy();
        server.tryShutdown(() => resolve());
      }),
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
