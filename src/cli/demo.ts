/** What `npm start` adds to `up`: a claim, served over NBD and mounted where possible. */
import type { PersistentVolumeClaim } from '#api/kinds/mod.ts';
import { SIMPLE_CLASS } from '#api/kinds/mod.ts';
import { hasCode } from '#api/mod.ts';
import { keyOf } from '#control/kube/mod.ts';
import { withCluster } from './cluster-client.ts';
import type { ClusterClient } from './cluster-client.ts';
import type { CliContext } from './context.ts';
import { ensureMount, mountsOf, waitForMount } from './mount-volume.ts';
import { attach, nbdUrl, waitForReady, waitForServing } from './serve-volume.ts';

const CLAIM = 'default/demo';
const TIMEOUT_MS = 90_000;

export async function startDemo(context: CliContext, path: string): Promise<void> {
  await withCluster(context, { cluster: path }, async (cluster) => {
    const claim: PersistentVolumeClaim = {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { namespace: 'default', name: 'demo' },
      spec: {
        accessModes: ['ReadWriteOnce'],
        storageClassName: SIMPLE_CLASS.metadata.name,
        resources: { requests: { storage: '1Gi' } },
      },
    };
    const before = await cluster.find('PersistentVolumeClaim', {
      namespace: 'default',
      name: 'demo',
    });
    if (before === undefined) await cluster.api.create('PersistentVolumeClaim', claim);
    const ready = await waitForReady(context, cluster, CLAIM, undefined, TIMEOUT_MS);
    const { name } = ready.metadata;
    const nodes = await cluster.list('StorageNode');
    const canMount = nodes.every((node) => (node.status?.missing ?? ['unknown']).length === 0);
    const attached = await attach(cluster, ready, {
      frontends: canMount ? ['nbd', 'fuse'] : ['nbd'],
    });
    const serving = await waitForServing(context, cluster, name, TIMEOUT_MS);
    const nodeName = attached.spec.attachment?.nodeName ?? '';
    const mountedAt = canMount ? await tryMount(context, cluster, nodeName, path) : undefined;
    const missing = nodes.flatMap((node) => node.status?.missing ?? []);
    printDemo(context, path, nbdUrl(serving) ?? '', mountedAt, [...new Set(missing)]);
  });
}

async function tryMount(
  context: CliContext,
  cluster: ClusterClient,
  nodeName: string,
  path: string,
): Promise<string | undefined> {
  const claim = await cluster.get('PersistentVolumeClaim', { namespace: 'default', name: 'demo' });
  const [before] = await mountsOf(cluster, claim);
  const spec = before?.spec ?? { claimName: 'demo', nodeName, path: `${path}/mnt/demo` };
  const key =
    before === undefined ? await ensureMount(context, cluster, claim, spec) : keyOf(before);
  try {
    return (await waitForMount(context, cluster, key, TIMEOUT_MS)).spec.path;
  } catch (error) {
    if (!hasCode(error, 'timed-out')) throw error;
    return undefined;
  }
}

function printDemo(
  context: CliContext,
  path: string,
  nbd: string,
  mountedAt: string | undefined,
  missing: readonly string[],
): void {
  const flag = path === `${context.cwd}/.holdfast` ? '' : `--cluster ${path} `;
  const lines = [
    '',
    `claim      ${CLAIM}, 1 GiB, three replicas on three nodes`,
    `data in    ${path}/nodes/*/pool`,
    `served at  ${nbd}`,
    mountedAt === undefined
      ? `mounted    no${missing.length === 0 ? '' : `: missing ${missing.join(', ')}`} (bin/holdfast doctor says how to get it)`
      : `mounted    ${mountedAt}`,
    '',
    'Three things to try, in another terminal:',
    `  bin/holdfast ${flag}where claim ${CLAIM}       where every byte of it lies`,
    `  kill -9 an engine (bin/holdfast ${flag}get nodes -o wide shows its pid), then`,
    `    bin/holdfast ${flag}explain claim ${CLAIM}   what failed, what happens next`,
    `  bin/holdfast ${flag}volume snapshot ${CLAIM} --name before && \\`,
    `    bin/holdfast ${flag}volume restore before default/copy`,
    '',
    'Ctrl-C stops everything; the next start finds the data.',
  ];
  context.out(lines.join('\n'));
}
