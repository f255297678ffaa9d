/** Where kubectl sees that our server is not kube-apiserver, and why that stays so. */

export interface KubectlDifference {
  /** What differs, as a heading. */
  readonly what: string;
  readonly why: string;
  /** Titles of the commands that print it. */
  readonly commands: readonly string[];
  /** Titles of those whose answers have it, though kubectl prints nothing of it. */
  readonly unseen?: readonly string[];
}

export const DIFFERENCES_MAX = 10;

const explain = (...paths: readonly string[]): string[] =>
  paths.map((path) => `01-discovery: kubectl explain ${path}`);

const NODE_READY =
  `05-storage: kubectl patch node node-1 --subresource=status --type=merge -p '{"status":` +
  `{"conditions":[{"type":"Ready","status":"True","reason":"Up","message":"up",` +
  `"lastHeartbeatTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z"}],` +
  `"addresses":[{"type":"InternalIP","address":"10.1.2.3"}],` +
  `"capacity":{"cpu":"2","memory":"4Gi"}}}'`;

export const KUBECTL_DIFFERENCES: readonly KubectlDifference[] = [
  {
    what: 'Kinds that have nothing to do with storage are not there',
    why:
      'No pods run here, so there are no workloads, services, roles or webhooks. `kubectl apply ' +
      '--prune` asks for some of them; name the kinds it shall look at with `--prune-allowlist`.',
    commands: [
      '01-discovery: kubectl api-versions',
      '04-apply: kubectl apply --prune -l set=one -f -',
    ],
  },
  {
    what: "`kubectl explain` describes Kubernetes' own kinds in our words",
    why:
      'Fields and types are the same. There the descriptions are pages of documentation, which ' +
      'we do not repeat. Of our own kinds both servers show the same text.',
    commands: explain(
      'configmap',
      'configmap.metadata.labels',
      'configmap --recursive',
      'secret.stringData',
      'persistentvolumeclaim.spec',
      'pvc.spec.resources --recursive',
      'pvc.status.conditions',
      'pv.spec.csi',
      'storageclass',
      'storageclass.reclaimPolicy',
      'lease.spec',
      'volumeattachment.spec.source',
      'csinode.spec.drivers',
      'csistoragecapacity',
      'csidriver.spec',
      'events --api-version=events.k8s.io/v1',
      'namespace.status',
      'node.status.conditions',
      'volumesnapshot',
      'volumesnapshot.spec --recursive',
      'volumesnapshotclass.deletionPolicy',
      'volumesnapshotcontent.status.error',
    ),
  },
  {
    what: 'A new Node is not tainted as not ready',
    why: 'The taint keeps pods away until a node is ready. No scheduler reads it here.',
    commands: ['05-storage: kubectl get node node-1 -o yaml'],
    unseen: [
      '05-storage: kubectl create -f - (12)',
      NODE_READY,
      '05-storage: kubectl cordon node-1',
      '05-storage: kubectl uncordon node-1',
      '08-events-watch: kubectl wait node/node-1 --for=condition=Ready --timeout=5s',
    ],
  },
  {
    what: 'A wrong type of access modes is named by what it is made of',
    why:
      'The refusal has the same status, reason and field. It ends with the Go name of the type ' +
      'there, `[]v1.PersistentVolumeAccessMode`, and with `[]string` here.',
    commands: ['07-refused: kubectl create -f - (11)'],
  },
  {
    what: 'A strategic merge patch of a wrong type is refused by field',
    why:
      'The status is 422 on both. There the text is what Go prints of the whole patch, with no ' +
      'field; here it names the field, and the type that it should have.',
    commands: [
      `07-refused: kubectl patch configmap one --type=strategic -p '{"metadata":{"labels":"none"}}'`,
    ],
  },
  {
    what: 'A namespace that is being deleted has no conditions',
    why:
      'They tell how far a controller has come that asks every kind of every server. Here a ' +
      'namespace is emptied in one step; what holds it are finalizers, which `kubectl get` shows.',
    commands: [],
    unseen: [
      '09-delete: kubectl delete namespace team-c',
      '09-delete: kubectl delete namespace team-a',
    ],
  },
];

/** The page of them: docs/reference/kubectl.md. */
export function describeDifferences(note: string): string {
  const parts = KUBECTL_DIFFERENCES.map(({ what, why, commands, unseen = [] }, index) => {
    const shown = commands.map(withoutFile);
    const rest = unseen.map(withoutFile);
    return [
      `## ${index + 1}. ${what}`,
      '',
      why,
      '',
      ...listOf('Seen with:', shown),
      ...listOf('In answers of which kubectl prints nothing:', rest),
    ].join('\n');
  });
  return [
    '# kubectl with this API server, and with kube-apiserver',
    '',
    `<!-- ${note} -->`,
    '',
    'kubectl 1.36 works unchanged. The scripts in `test/cluster/kubectl` are run against a real',
    'kube-apiserver that holds our definitions and against `holdfast apiserver`, and what they print',
    'is compared, with exit codes, once uids, times and versions are masked. This is all that',
    'differs; `npm run test:cluster` fails when something else does, and when something here no',
    'longer does. What is masked may differ: times of creation and deletion have milliseconds here,',
    'and whole seconds there.',
    '',
    ...parts,
  ].join('\n');
}

function withoutFile(title: string): string {
  return title.slice(title.indexOf(': ') + 2);
}

function listOf(heading: string, commands: readonly string[]): string[] {
  const items = commands.map((command) => `- \`${command}\``);
  return items.length === 0 ? [] : [heading, '', ...items, ''];
}
