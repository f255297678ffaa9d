/** wait, `get --wait`, `apply --wait`: until an object is as it is wanted. */
import type { AnyObject, Condition, KindName } from '#api/kinds/mod.ts';
import { KINDS } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import { formatKey } from '#control/kube/mod.ts';
import type { ObjectKey } from '#control/kube/mod.ts';
import { withCluster } from './cluster-client.ts';
import type { ClusterClient, ClusterOption } from './cluster-client.ts';
import type { CliContext } from './context.ts';
import { EXIT_OK } from './exit-codes.ts';
import { nameSome, nothingNamed } from './named-objects.ts';
import { parseSeconds } from './parse-seconds.ts';
import { waitFor } from './wait-for.ts';

/** What is waited for. */
export type Awaited =
  | { readonly is: 'gone' | 'there' | 'usable' }
  /** `orReason`: of its condition Ready, when no more can be waited for. */
  | { readonly is: 'phase'; readonly phase: string; readonly orReason?: string }
  | { readonly is: 'condition'; readonly type: string; readonly status: string };

export interface WaitOptions extends ClusterOption {
  readonly namespace?: string | undefined;
  readonly for?: string | undefined;
  readonly timeout?: string | undefined;
}

export const WAIT_SECONDS = 30;

export async function runWait(
  context: CliContext,
  kindText: string,
  names: readonly string[],
  options: WaitOptions,
): Promise<number> {
  const awaited = parseAwaited('--for', options.for ?? '');
  const timeoutMs = parseSeconds('--timeout', options.timeout, WAIT_SECONDS);
  const { kind, keys } = nameSome(kindText, names, options.namespace);
  const met = {
    gone: 'deleted',
    there: 'created',
    usable: 'condition met',
    phase: 'condition met',
    condition: 'condition met',
  };
  return withCluster(context, options, async (cluster) => {
    await waitForAll(context, cluster, { kind, keys, awaited, timeoutMs }, ({ name }) =>
      context.out(`${KINDS[kind].plural}/${name} ${met[awaited.is]}`),
    );
    return EXIT_OK;
  });
}

export interface AllAwaited {
  readonly kind: KindName;
  readonly keys: readonly ObjectKey[];
  readonly awaited: Awaited;
  /** For all of them together. */
  readonly timeoutMs: number;
}

/** `invalid-argument` when none is named: nobody knows when all would be there. */
export async function waitForAll(
  context: CliContext,
  cluster: ClusterClient,
  { kind, keys, awaited, timeoutMs }: AllAwaited,
  onMet?: (key: ObjectKey) => void,
): Promise<void> {
  if (keys.length === 0) throw nothingNamed();
  const { clock } = context.host;
  const endMs = clock.monotonicMs() + timeoutMs;
  for (const key of keys) {
    await waitForState(context, cluster, kind, key, awaited, endMs - clock.monotonicMs());
    onMet?.(key);
  }
}

/** `Ready`, `condition=Ready=False`, `phase=Bound`, `create`, `delete`. */
export function parseAwaited(field: string, text: string): Awaited {
  if (text === 'delete') return { is: 'gone' };
  if (text === 'create') return { is: 'there' };
  const [, kind = 'condition', name = '', status = 'True'] =
    /^(?:(condition|phase)=)?([A-Za-z]+)(?:=(True|False|Unknown))?$/i.exec(text) ?? [];
  const isPhase = kind.toLowerCase() === 'phase';
  if (name !== '' && isPhase && !/=.*=/.test(text)) return { is: 'phase', phase: name };
  if (name !== '' && !isPhase) return { is: 'condition', type: name, status };
  throw new HoldfastError('invalid-argument', 'What to wait for is unknown', {
    details: {
      field,
      value: text.slice(0, 80),
      remedy: 'Use one of: condition=Ready, condition=Ready=False, phase=Bound, create, delete',
    },
  });
}

/** When it is as it is meant to be: kinds of Kubernetes have a phase, ours a condition. */
export function readyState(kind: KindName): Awaited {
  switch (kind) {
    case 'PersistentVolumeClaim':
      return { is: 'phase', phase: 'Bound', orReason: 'WaitForFirstConsumer' };
    case 'StorageNode':
    case 'DiskPool':
    case 'Volume':
    case 'Replica':
    case 'Snapshot':
    case 'Mount':
      return { is: 'condition', type: 'Ready', status: 'True' };
    case 'VolumeSnapshot':
    case 'VolumeSnapshotContent':
      return { is: 'usable' };
    default:
      return { is: 'there' };
  }
}

/** Answers the object, undefined when it is gone; `timed-out` says how it is instead. */
export async function waitForState(
  context: CliContext,
  cluster: ClusterClient,
  kind: KindName,
  key: ObjectKey,
  awaited: Awaited,
  timeoutMs: number,
): Promise<AnyObject | undefined> {
  const what = `${KINDS[kind].plural}/${formatKey(key)}`;
  const isMadeElsewhere = awaited.is === 'gone' || awaited.is === 'there';
  const { found } = await waitFor(context, what, timeoutMs, async () => {
    // What nobody made will not be ready: that is said at once.
    const object = await (isMadeElsewhere ? cluster.find(kind, key) : cluster.get(kind, key));
    const isDone = object === undefined ? awaited.is === 'gone' : isMet(object, awaited);
    if (isDone) return { done: { found: object } };
    return { progress: object === undefined ? 'it does not exist' : stateOf(object, awaited) };
  });
  return found;
}

type Stated = {
  readonly status?: {
    readonly phase?: string | undefined;
    readonly conditions?: readonly Condition[] | undefined;
    readonly readyToUse?: boolean;
    readonly error?: { readonly message: string } | undefined;
  };
};

function conditionOf(object: AnyObject, type: string): Condition | undefined {
  const { conditions = [] } = (object as Stated).status ?? {};
  return conditions.find((each) => each.type.toLowerCase() === type.toLowerCase());
}

function isMet(object: AnyObject, awaited: Awaited): boolean {
  switch (awaited.is) {
    case 'gone':
      return false;
    case 'there':
      return true;
    case 'usable':
      return (object as Stated).status?.readyToUse === true;
    case 'phase':
      return (
        (object as Stated).status?.phase?.toLowerCase() === awaited.phase.toLowerCase() ||
        (awaited.orReason !== undefined &&
          conditionOf(object, 'Ready')?.reason === awaited.orReason)
      );
    case 'condition':
      return (
        conditionOf(object, awaited.type)?.status.toLowerCase() === awaited.status.toLowerCase()
      );
  }
}

/** How it is, for who waits. */
function stateOf(object: AnyObject, awaited: Awaited): string {
  const { phase, error } = (object as Stated).status ?? {};
  if (awaited.is === 'usable') return error?.message ?? 'it is being taken';
  const type =
    awaited.is === 'condition' ? awaited.type : awaited.is === 'gone' ? 'Terminating' : 'Ready';
  const condition = conditionOf(object, type);
  const why =
    condition === undefined
      ? `no condition ${type} yet`
      : `${condition.type} is ${condition.status}: ${condition.reason}: ${condition.message}`;
  return awaited.is === 'phase' ? `phase ${phase ?? 'not set'}; ${why}` : why;
}
