import type { AnyObject, KindName } from '#api/kinds/mod.ts';
import type { Forecast, ForecastVerb } from '#api/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import type { OperatorContext } from '../reconcile.ts';
import { forecast } from './forecast.ts';
import { observeFacts } from './observe.ts';

export interface Asked {
  readonly verb: ForecastVerb;
  readonly kind: KindName;
  readonly name: string;
  readonly namespace?: string | undefined;
  readonly size?: string | undefined;
}

/** `not-found` for what is not there, `not-current` for a claim that has no volume yet. */
export async function answerPlan(context: OperatorContext, asked: Asked): Promise<Forecast> {
  const { verb, kind, name, namespace, size } = asked;
  const object = await context.client.get(kind, { name, namespace });
  const { subject, isRetained } = await resolve(context, object);
  const facts = await observeFacts(context);
  const text = namespace === undefined ? name : `${namespace}/${name}`;
  return forecast(facts, {
    verb,
    subject,
    name: text,
    size,
    isRetained: verb === 'delete' && isRetained,
  });
}

/** Of a claim, its volume. */
async function resolve(
  { client }: OperatorContext,
  object: AnyObject,
): Promise<{ readonly subject: AnyObject; readonly isRetained: boolean }> {
  if (object.kind !== 'PersistentVolumeClaim') return { subject: object, isRetained: false };
  const bound = object.spec.volumeName;
  if (bound === undefined) {
    throw new HoldfastError('not-current', 'Claim has no volume yet', {
      details: { claim: object.metadata.name, remedy: 'holdfast explain pvc NAME says why' },
    });
  }
  const { spec } = await client.get('PersistentVolume', { name: bound });
  const subject = await client.get('Volume', { name: spec.csi?.volumeHandle ?? '' });
  return { subject, isRetained: spec.persistentVolumeReclaimPolicy === 'Retain' };
}
