/** A cluster of three nodes as a user starts it, with default settings, for the bench. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

const ENTRY = new URL('../../src/cmd/holdfast.ts', import.meta.url).pathname;
const FLAGS = ['--disable-warning=ExperimentalWarning'];
const START_MS = 60_000;
const COMMAND_MS = 90_000;

export class HoldfastCluster {
  readonly #path: string;
  #up: ChildProcess | null = null;
  #output = '';

  constructor(path: string) {
    this.#path = path;
  }

  async start(): Promise<void> {
    const up = spawn(process.execPath, [...FLAGS, ENTRY, 'up', this.#path, '--nodes', '3'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      // Ctrl-C goes to the bench alone, which stops the cluster in order.
      detached: true,
    });
    this.#up = up;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => reject(new Error('The cluster does not start')), START_MS);
    const onText = (text: Buffer): void => {
      this.#output += text.toString();
      if (this.#output.includes('cluster runs')) resolve();
    };
    up.stdout.on('data', onText);
    up.stderr.on('data', onText);
    up.on('error', reject);
    up.on('exit', () => reject(new Error(`The cluster ended: ${this.#output}`)));
    try {
      await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Makes a claim with so many replicas and resolves to where it is served over NBD. */
  async serve(replicas: number, sizeBytes: number): Promise<string> {
    const name = `bench-${replicas}`;
    const manifest = `${this.#path}/manifests/${name}.yaml`;
    await writeFile(
      manifest,
      `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: { name: ${name} }
provisioner: csi.holdfast.dev
parameters: { replicas: "${replicas}" }
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: ${name} }
spec:
  storageClassName: ${name}
  accessModes: [ReadWriteOnce]
  resources: { requests: { storage: ${sizeBytes} } }
`,
    );
    await this.holdfast('apply', '-f', manifest);
    const uri = (await this.holdfast('volume', 'attach', name)).trim();
    if (!uri.startsWith('nbd+unix:')) throw new Error(`The claim is not served: ${uri}`);
    return uri;
  }

  async holdfast(...args: string[]): Promise<string> {
    const argv = [...FLAGS, ENTRY, '--cluster', this.#path, ...args];
    const { stdout } = await run(process.execPath, argv, { timeout: COMMAND_MS });
    return stdout;
  }

  async stop(): Promise<void> {
    const up = this.#up;
    if (up === null || up.exitCode !== null || up.signalCode !== null) return;
    const exited = new Promise((resolve) => up.once('exit', resolve));
    up.kill('SIGTERM');
    await exited;
  }
}
