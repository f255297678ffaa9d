import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  credentials,
  type GrpcObject,
  loadPackageDefinition,
  type ServiceClientConstructor,
  type ServiceError,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { HoldfastError } from '#api/mod.ts';
import { createIdentityService } from '#control/csi/mod.ts';
import type { ControllerCalls, Service } from '#control/csi/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { type CsiServer, serveCsi } from './csi-server.ts';

const PROTO = new URL('../control/csi/csi.proto', import.meta.url).pathname;
const { log } = createNodeHost({ logLevel: 'silent' });

type AnyClient = Record<
  string,
  (request: object, answer: (error: ServiceError | null, value: unknown) => void) => void
> & { close(): void };

function clientOf(path: string, name: string): AnyClient {
  const loaded = loadPackageDefinition(loadSync(PROTO, { longs: Number, enums: String }));
  const root = (loaded['csi'] as GrpcObject)['v1'] as GrpcObject;
  const Client = root[name] as ServiceClientConstructor;
  return new Client(`unix:${path}`, credentials.createInsecure()) as unknown as AnyClient;
}

function call(client: AnyClient, method: string, request: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    client[method]?.(request, (error, value) => (error === null ? resolve(value) : reject(error)));
  });
}

describe('serveCsi', () => {
  let directory = '';
  let path = '';
  let server: CsiServer;
  const seen: unknown[] = [];

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'hf-csi-'));
    path = join(directory, 'csi.sock');
    const controller = {
      DeleteVolume: (request: unknown) => {
        seen.push(request);
        return Promise.resolve({});
      },
      CreateVolume: () =>
        Promise.reject(
          new HoldfastError('no-placement', 'No set of pools satisfies the request', {
            details: { why: 'all are full', remedy: 'Add a pool' },
          }),
        ),
    } as unknown as Service<ControllerCalls>;
    const identity = createIdentityService({ version: '1.2.3', isReady: () => true });
    server = await serveCsi(path, { identity, controller }, log);
  });

  after(async () => {
    await server.close();
    rmSync(directory, { recursive: true });
  });

  test('Only its owner may connect', () => {
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });

  test('Several callers at once are answered, also while gRPC is being loaded', async () => {
    const clients = Array.from({ length: 3 }, () => clientOf(path, 'Identity'));
    const answers = await Promise.all(clients.map((one) => call(one, 'GetPluginInfo', {})));
    for (const answer of answers) {
      assert.deepEqual(
        { ...(answer as object) },
        { name: 'csi.holdfast.dev', vendorVersion: '1.2.3' },
      );
    }
    for (const one of clients) one.close();
  });

  test('Requests arrive as messages.ts says', async () => {
    const client = clientOf(path, 'Controller');
    await call(client, 'DeleteVolume', { volumeId: 'v-1' });
    assert.deepEqual(seen, [{ volumeId: 'v-1', secrets: {} }]);
    client.close();
  });

  test('An error is a status with code, facts and remedy', async () => {
    const client = clientOf(path, 'Controller');
    await assert.rejects(call(client, 'CreateVolume', { name: 'x' }), (error: ServiceError) => {
      assert.equal(error.code, 8);
      assert.match(error.details, /\(no-placement\): why all are full\. Add a pool/);
      return true;
    });
    client.close();
  });

  test('Garbage on the socket is noticed by nobody else', async () => {
    const client = clientOf(path, 'Identity');
    const stranger = connect(path);
    stranger.on('error', () => {});
    stranger.write('x'.repeat(1_000));
    await call(client, 'Probe', {});
    stranger.destroy();
    await call(client, 'Probe', {});
    client.close();
  });
});
