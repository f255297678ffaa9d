/**
 * Takes the protection off claims and persistent volumes that are being deleted, as two controllers
 * of kube-controller-manager do beside the real server. Ours do it while they bind and provision,
 * which would write more than a script of kubectl commands expects.
 */
const LOOK_MS = 25;
const CLAIM = 'kubernetes.io/pvc-protection';
const VOLUME = 'kubernetes.io/pv-protection';

interface Protected {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly deletionTimestamp?: string;
    readonly finalizers?: readonly string[];
  };
  readonly status?: { readonly phase?: string };
}

/** Answers with the body. A body that is sent is a merge patch. */
export type CallServer = (method: string, path: string, body?: string) => Promise<string>;

export class StorageProtection {
  readonly #call: CallServer;
  #isStopped = false;
  #loop: Promise<void> = Promise.resolve();

  private constructor(call: CallServer) {
    this.#call = call;
  }

  static start(call: CallServer): StorageProtection {
    const protection = new StorageProtection(call);
    protection.#loop = protection.#run();
    return protection;
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      await new Promise((done) => setTimeout(done, LOOK_MS));
      for (const { metadata } of await this.#list('persistentvolumeclaims')) {
        const path = `/api/v1/namespaces/${metadata.namespace}/persistentvolumeclaims`;
        await this.#release(path, metadata, CLAIM);
      }
      for (const { metadata, status } of await this.#list('persistentvolumes')) {
        if (status?.phase === 'Bound') continue;
        await this.#release('/api/v1/persistentvolumes', metadata, VOLUME);
      }
    }
  }

  async #list(plural: string): Promise<readonly Protected[]> {
    const text = await this.#call('GET', `/api/v1/${plural}`);
    return (JSON.parse(text) as { readonly items?: readonly Protected[] }).items ?? [];
  }

  async #release(path: string, metadata: Protected['metadata'], finalizer: string): Promise<void> {
    const { name, deletionTimestamp, finalizers = [] } = metadata;
    if (deletionTimestamp === undefined || !finalizers.includes(finalizer)) return;
    const kept = finalizers.filter((one) => one !== finalizer);
    const patch = { metadata: { finalizers: kept.length === 0 ? null : kept } };
    await this.#call('PATCH', `${path}/${name}`, JSON.stringify(patch));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#loop;
  }
}
