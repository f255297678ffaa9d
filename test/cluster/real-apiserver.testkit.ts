/**
 * A real Kubernetes API: etcd, kube-apiserver and, for owner references and namespaces, the
 * controllers that finish deletions. On loopback, with a token, in a scratch directory. Custom
 * resources are installed and served when `start` resolves.
 */
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import {
  ensureKubernetes,
  type KubernetesCache,
  type ProgramName,
} from '../../scripts/build-kubernetes.ts';
import { type ApiAddress, callApi } from './api-call.testkit.ts';
import { freePort, StartedProgram } from './started-program.testkit.ts';

const TOKEN = 'token-of-the-test';
const READY_MS = 90_000;
const OUR_CRDS = join(import.meta.dirname, '..', '..', 'deploy', 'crds');

export const REAL_PROGRAMS: readonly ProgramName[] = [
  'kubectl',
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
];

/** Those that our server has too: they make deletions end. */
const CONTROLLERS = ['garbage-collector-controller', 'namespace-controller'];
/** Those that our controllers are, where they run. */
const PROTECTION = [
  'persistentvolumeclaim-protection-controller',
  'persistentvolume-protection-controller',
];

export class RealApiServer {
  readonly directory: string;
  readonly #programs: StartedProgram[] = [];
  #address: ApiAddress | undefined;
  #etcd = '';

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** Without caches it answers from etcd alone, and so knows nothing that etcd forgot. */
  static async start(
    caches: 'caches' | 'no-caches' = 'caches',
    protection: 'with-protection' | 'without-protection' = 'with-protection',
  ): Promise<RealApiServer> {
    const cache = await ensureKubernetes(REAL_PROGRAMS);
    const parent = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
    const server = new RealApiServer(await mkdtemp(join(parent, 'hf-kube-')));
    try {
      await server.#start(cache, caches === 'caches', protection === 'with-protection');
      return server;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  get address(): ApiAddress {
    if (this.#address === undefined) throw new Error('The API server is not ready');
    return this.#address;
  }

  async #start(cache: KubernetesCache, hasCaches: boolean, isProtecting: boolean): Promise<void> {
    this.#etcd = await this.#startEtcd(cache);
    await this.#startApiServer(cache, [
      `--etcd-servers=${this.#etcd}`,
      `--watch-cache=${hasCaches}`,
    ]);
    await this.#installCrds(await readCrds(cache.snapshotCrds));
    const controllers = isProtecting ? [...CONTROLLERS, ...PROTECTION] : CONTROLLERS;
    await this.#startControllers(cache, controllers);
  }

  /** Makes etcd forget its history, as kube-apiserver asks it to every five minutes. */
  async compact(): Promise<void> {
    const ask = async (path: string, body: object): Promise<{ header?: { revision?: string } }> => {
      const options = { method: 'POST', body: JSON.stringify(body) };
      return (await (await fetch(this.#etcd + path, options)).json()) as never;
    };
    const { header } = await ask('/v3/kv/range', { key: Buffer.from('/').toString('base64') });
    await ask('/v3/kv/compaction', { revision: header?.revision ?? '0', physical: true });
  }

  async #startEtcd(cache: KubernetesCache): Promise<string> {
    const client = `http://127.0.0.1:${await freePort()}`;
    const peer = `http://127.0.0.1:${await freePort()}`;
    const etcd = this.#run('etcd', cache, [
      `--data-dir=${join(this.directory, 'etcd')}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      '--unsafe-no-fsync',
    ]);
    await etcd.waitUntil(async () => (await fetch(`${client}/health`)).ok, READY_MS);
    return client;
  }

  async #startApiServer(cache: KubernetesCache, storage: readonly string[]): Promise<void> {
    const { directory } = this;
    const port = await freePort();
    const keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const privateKey = keys.privateKey.export({ type: 'pkcs1', format: 'pem' });
    await writeFile(join(directory, 'sa.key'), privateKey, { mode: 0o600 });
    const publicKey = keys.publicKey.export({ type: 'spki', format: 'pem' });
    await writeFile(join(directory, 'sa.pub'), publicKey);
    await writeFile(join(directory, 'tokens.csv'), `${TOKEN},admin,admin,"system:masters"\n`);
    const apiServer = this.#run('kube-apiserver', cache, [
      ...storage,
      `--cert-dir=${join(directory, 'certificates')}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      `--secure-port=${port}`,
      '--service-cluster-ip-range=10.0.0.0/24',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${join(directory, 'sa.pub')}`,
      `--service-account-signing-key-file=${join(directory, 'sa.key')}`,
      '--authorization-mode=RBAC',
      `--token-auth-file=${join(directory, 'tokens.csv')}`,
      '--endpoint-reconciler-type=none',
    ]);
    const certificate = join(directory, 'certificates', 'apiserver.crt');
    await apiServer.waitUntil(async () => {
      const authority = readFileSync(certificate, 'utf8');
      const address = { url: `https://127.0.0.1:${port}`, authority, token: TOKEN };
      const { status } = await callApi(address, { path: '/readyz' });
      if (status === 200) this.#address = address;
      return status === 200;
    }, READY_MS);
  }

  async #installCrds(crds: readonly CrdFile[]): Promise<void> {
    const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
    for (const { body } of crds) {
      const answer = await callApi(this.address, { method: 'POST', path, body });
      if (answer.status !== 201) throw new Error(`A CRD is refused: ${answer.text}`);
    }
    const untilMs = performance.now() + READY_MS;
    for (const { collection } of crds) {
      while ((await callApi(this.address, { path: collection })).status !== 200) {
        if (performance.now() > untilMs) throw new Error(`${collection} is not served`);
        await new Promise((done) => setTimeout(done, 100));
      }
    }
    await this.#awaitOpenApi(crds, untilMs);
  }

  /** Custom resources come into the OpenAPI documents some time after they are served. */
  async #awaitOpenApi(crds: readonly CrdFile[], untilMs: number): Promise<void> {
    for (const { collection } of crds) {
      const path = collection.slice(0, collection.lastIndexOf('/'));
      for (;;) {
        const { status, text } = await callApi(this.address, { path: `/openapi/v3${path}` });
        if (status === 200 && text.includes(`"${collection}"`)) break;
        if (performance.now() > untilMs) throw new Error(`${collection} is not documented`);
        await new Promise((done) => setTimeout(done, 100));
      }
    }
  }

  async #startControllers(cache: KubernetesCache, names: readonly string[]): Promise<void> {
    const kubeconfig = join(this.directory, 'controllers.kubeconfig');
    await writeFile(kubeconfig, kubeconfigOf(this.address), { mode: 0o600 });
    this.#run('kube-controller-manager', cache, [
      `--kubeconfig=${kubeconfig}`,
      '--leader-elect=false',
      '--secure-port=0',
      `--controllers=${names.join(',')}`,
    ]);
    await this.#awaitCollection();
  }

  /** The collector works only after it has listed everything there is. */
  async #awaitCollection(): Promise<void> {
    const path = '/api/v1/namespaces/default/configmaps';
    const metadata = {
      name: 'orphan',
      ownerReferences: [
        {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          name: 'gone',
          uid: 'd9607e19-0000-4000-8000-000000000000',
        },
      ],
    };
    const body = JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata });
    const answer = await callApi(this.address, { method: 'POST', path, body });
    if (answer.status !== 201) throw new Error(answer.text);
    const controllers = this.#programs.at(-1);
    await controllers?.waitUntil(async () => {
      const found = await callApi(this.address, { path: `${path}/orphan` });
      return found.status === 404;
    }, READY_MS);
  }

  #run(name: ProgramName, cache: KubernetesCache, args: readonly string[]): StartedProgram {
    const log = join(this.directory, `${name}.log`);
    const program = new StartedProgram(name, cache.path(name), args, log);
    this.#programs.push(program);
    return program;
  }

  async stop(): Promise<void> {
    // Newest first; nothing that they hold is worth the minute a graceful end takes.
    for (const program of this.#programs.toReversed()) await program.stop(0);
    await rm(this.directory, { recursive: true, force: true });
  }
}

export function kubeconfigOf(address: ApiAddress, namespace = 'default'): string {
  const isTls = address.url.startsWith('https:');
  const authority = Buffer.from(address.authority).toString('base64');
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin', namespace } }],
    clusters: [
      {
        name: 'test',
        cluster: {
          server: address.url,
          ...(isTls ? { 'certificate-authority-data': authority } : {}),
        },
      },
    ],
    users: [{ name: 'admin', user: { token: address.token } }],
  });
}

interface CrdFile {
  /** JSON. */
  readonly body: string;
  /** Path that answers once the resource is served. */
  readonly collection: string;
}

/** Those of the snapshot controller and, where they are generated already, ours. */
async function readCrds(snapshotCrds: string): Promise<CrdFile[]> {
  const files: CrdFile[] = [];
  for (const folder of [snapshotCrds, OUR_CRDS]) {
    if (!existsSync(folder)) continue;
    for (const name of (await readdir(folder)).filter((one) => one.endsWith('.yaml'))) {
      if (name.startsWith('groupsnapshot.')) continue;
      const text = readFileSync(join(folder, name), 'utf8');
      for (const document of parseAllDocuments(text)) files.push(crdFile(document.toJS()));
    }
  }
  return files;
}

function crdFile(crd: {
  readonly spec: {
    readonly group: string;
    readonly names: { readonly plural: string };
    readonly versions: readonly { readonly name: string; readonly served: boolean }[];
  };
}): CrdFile {
  const version = crd.spec.versions.find(({ served }) => served)?.name ?? '';
  const collection = `/apis/${crd.spec.group}/${version}/${crd.spec.names.plural}`;
  return { body: JSON.stringify(crd), collection };
}
