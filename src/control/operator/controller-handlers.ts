/** What the controller answers to the CLI. Every name and object from outside is checked here. */
import {
  HoldfastError,
  parseId,
  type ControllerMethods,
  type Handlers,
  type ObjectName,
  type ReplicaId,
  type VolumeId,
} from '#api/mod.ts';
import { isKindName, type KindName } from '#api/kinds/mod.ts';
import { answerPlan } from './forecast/answer.ts';
import { clusterHealth } from './forecast/health.ts';
import { observeFacts } from './forecast/observe.ts';
import { explain } from './graph/explain.ts';
import { findWhere } from './graph/where.ts';
import type { Operator } from './operator.ts';
import { answerSpace } from './space/answer.ts';

export interface ControllerInfo {
  readonly cluster: string;
  readonly version: string;
  readonly pid: number;
  readonly manifestErrors: readonly {
    readonly path: string;
    readonly code: string;
    readonly message: string;
    readonly details: HoldfastError['details'];
  }[];
}

const SCRUB_TIMEOUT_MS = 24 * 3_600_000;

export function createControllerHandlers(
  operator: Operator,
  info: ControllerInfo,
): Handlers<ControllerMethods> {
  const { context } = operator;
  const { client } = context;
  return {
    'cluster.describe': async () => {
      const nodes = await client.list('StorageNode');
      return { ...info, nodes: nodes.items.map((node) => node.metadata.name) };
    },
    'cluster.where': async (subject) => ({ paths: await findWhere(context, subject) }),
    'cluster.explain': async (name) => explain(context, { ...name, kind: kindOf(name) }),
    'cluster.plan': async (asked) => answerPlan(context, { ...asked, kind: kindOf(asked) }),
    'cluster.health': async () => clusterHealth(await observeFacts(context)),
    'cluster.space': async (asked) => answerSpace(context, { ...asked, kind: kindOf(asked) }),
    'cluster.quiesce': async ({ timeoutMs }) => ({ attached: await operator.quiesce(timeoutMs) }),
    'volume.scrub': async ({ volume }) => {
      const engine = await servingEngine(operator, volume);
      const params = { volume: parseId<VolumeId>('volume', volume) };
      return engine.call('volume.scrub', params, { timeoutMs: SCRUB_TIMEOUT_MS });
    },
    'volume.rebuild': async ({ volume, replica, full }) => {
      const engine = await servingEngine(operator, volume);
      const params = {
        volume: parseId<VolumeId>('volume', volume),
        replica: parseId<ReplicaId>('replica', replica),
        full,
      };
      return engine.call('volume.rebuild', params, { timeoutMs: 60_000 });
    },
    'volume.trace': async ({ volume, timeoutMs }) => {
      const engine = await servingEngine(operator, volume);
      const params = { volume: parseId<VolumeId>('volume', volume), timeoutMs };
      return engine.call('volume.trace', params, { timeoutMs: timeoutMs + 5_000 });
    },
  };
}

function checkKind(kind: unknown): KindName {
  if (isKindName(kind)) return kind;
  throw new HoldfastError('invalid-argument', 'Kind is unknown', {
    details: {
      field: 'kind',
      value: String(kind).slice(0, 80),
      remedy: 'Ask `holdfast get --help`',
    },
  });
}

function kindOf(name: ObjectName): KindName {
  return checkKind(name.kind);
}

async function servingEngine(operator: Operator, volume: string) {
  const { client, observer } = operator.context;
  const object = await client.get('Volume', { name: parseId<VolumeId>('volume', volume) });
  const attachment = object.status?.attachment ?? null;
  if (attachment !== null) return observer.access(attachment.nodeName).engine;
  throw new HoldfastError('not-found', 'Volume is not attached', {
    details: { volume, remedy: 'Attach it first: holdfast mount CLAIM, or volume attach' },
  });
}
