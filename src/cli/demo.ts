/** What `npm start` adds to `up`: a class, a claim, served over NBD and mounted where possible. */
import type { PersistentVolumeClaim } from '#api/kinds/mod.ts';
import { hasCode, PROVISIONER } from '#api/mod.ts';
import { applyObject } from '#control/kube/mod.ts';
import { withCluster } from './cluster-client.ts';
import type { CliContext } from './context.ts';
import { attach, nbdUrl, waitForMount, waitForReady, waitForServing } from './mount-volume.ts';

const CLAIM = 'default/demo';
const TIMEOUT_MS = 90_000;

export const SIMPLE_CLASS = {
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: {
    name: 'holdfast-simple',
    annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' },
  },
  provisioner: PROVISIONER,
  parameters: { replicas: '3', isolation: 'thread', onQuorumLoss: 'suspend' },
  reclaimPolicy: 'Delete',
  volumeBindingMode: 'Immediate',
  allowVolumeExpansion: true,
} as const;

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
    await applyObject(cluster.api, SIMPLE_CLASS);
    if (before === undefined) await cluster.api.create('PersistentVolumeClaim', claim);
    const ready = await waitForReady(context, cluster, CLAIM, undefined, TIMEOUT_MS);
    const { name } = ready.metadata;
    const mountPath = ready.spec.attachment?.mountPath ?? `${path}/mnt/demo`;
    const nodes = await cluster.list('StorageNode');
    const canMount = nodes.every((node) => (node.status?.missing ?? ['unknown']).length === 0);
    await attach(cluster, ready, {
      frontends: canMount ? ['nbd', 'fuse'] : ['nbd'],
      ...(canMount ? { mountPath } : {}),
    });
    const serving = await waitForServing(context, cluster, name, TIMEOUT_MS);
    let mountedAt: string | undefined;
    if (canMount) mountedAt = await tryMount(context, name, path);
    const missing = nodes.flatMap((node) => node.status?.missing ?? []);
    printDemo(context, path, nbdUrl(serving) ?? '', mountedAt, [...new Set(missing)]);
  });
}

async function tryMount(
  context: CliContext,
  name: string,
  path: string,
): Promise<string | undefined> {
  return withCluster(context, { cluster: path }, async (cluster) => {
    try {
      const volume = await waitForMount(context, cluster, name, TIMEOUT_MS);
      return volume.status?.attachment?.mountPath;
    } catch (error) {
      if (!hasCode(error, 'capability-missing') && !hasCode(error, 'timed-out')) throw error;
      return undefined;
    }
  });
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
