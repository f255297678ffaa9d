/** Our API server as it is started by a user: a process, HTTPS, its objects in SQLite. */
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { type ApiAddress, callApi } from './api-call.testkit.ts';
import { StartedProgram } from './started-program.testkit.ts';
import { StorageProtection } from './storage-protection.testkit.ts';

const HOLDFAST = join(import.meta.dirname, '..', '..', 'src', 'cmd', 'holdfast.ts');
const READY_MS = 30_000;

export class OurApiServer {
  readonly directory: string;
  readonly address: ApiAddress;
  readonly #program: StartedProgram;
  readonly #protection: StorageProtection | undefined;

  private constructor(
    directory: string,
    address: ApiAddress,
    program: StartedProgram,
    isProtecting: boolean,
  ) {
    this.directory = directory;
    this.address = address;
    this.#program = program;
    if (!isProtecting) return;
    this.#protection = StorageProtection.start(async (method, path, body) => {
      const headers = { 'content-type': 'application/merge-patch+json' };
      const call = { method, path, ...(body === undefined ? {} : { body, headers }) };
      return (await callApi(address, call)).text;
    });
  }

  /** `without-protection`: controllers of ours are there, and end what is protected. */
  static async start(
    protection: 'with-protection' | 'without-protection' = 'with-protection',
  ): Promise<OurApiServer> {
    const parent = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
    const directory = await mkdtemp(join(parent, 'hf-apiserver-'));
    const data = join(directory, 'data');
    const args = ['--disable-warning=ExperimentalWarning', HOLDFAST, 'apiserver', '--dir', data];
    const log = join(directory, 'apiserver.log');
    const program = new StartedProgram('holdfast apiserver', process.execPath, args, log);
    let address: ApiAddress | undefined;
    await program.waitUntil(async () => {
      address = readKubeconfig(join(data, 'kubeconfig'));
      return (await callApi(address, { path: '/readyz' })).status === 200;
    }, READY_MS);
    if (address === undefined) throw new Error('There is no kubeconfig');
    return new OurApiServer(directory, address, program, protection === 'with-protection');
  }

  async stop(): Promise<void> {
    await this.#protection?.stop();
    await this.#program.stop();
    await rm(this.directory, { recursive: true, force: true });
  }
}

function readKubeconfig(path: string): ApiAddress {
  const { clusters, users } = parse(readFileSync(path, 'utf8')) as {
    readonly clusters: readonly {
      readonly cluster: { readonly server: string; readonly 'certificate-authority-data': string };
    }[];
    readonly users: readonly { readonly user: { readonly token: string } }[];
  };
  const cluster = clusters[0]?.cluster;
  const token = users[0]?.user.token;
  if (cluster === undefined || token === undefined) throw new Error(`${path} is incomplete`);
  const authority = Buffer.from(cluster['certificate-authority-data'], 'base64').toString();
  return { url: cluster.server, authority, token };
}
