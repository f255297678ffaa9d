/** Lease: who leads, and for how long. */
import { builtIn } from './built-in.ts';
import { AGE, column, NAME } from './cells.ts';
import { int32, object, part, text, time, whole } from './fields.ts';
import { invalid, mapAt, textAt } from './field-problems.ts';
import type { FieldProblem, JsonObject, Resource } from './resource.ts';

const COORDINATION = 'io.k8s.api.coordination.v1';

const lease = builtIn({
  group: 'coordination.k8s.io',
  kind: 'Lease',
  plural: 'leases',
  isNamespaced: true,
  schema: whole(`${COORDINATION}.Lease`, 'A right that is held for a time.', {
    spec: part(
      object(`${COORDINATION}.LeaseSpec`, 'Who holds it, and for how long.', {
        acquireTime: time('When it was taken.'),
        holderIdentity: text('Who holds it.'),
        leaseDurationSeconds: int32('How long it holds after it was renewed.'),
        leaseTransitions: int32('How often it went to another holder.'),
        preferredHolder: text('Who should hold it.'),
        renewTime: time('When it was last renewed.'),
        strategy: text('How the holder is chosen.'),
      }),
      'Who holds it, and for how long.',
    ),
  }),
  columns: [
    NAME,
    column('Holder', 'Who holds it.', (item) => textAt(item['spec'], 'holderIdentity')),
    AGE,
  ],
  prepare: prepareLease,
  check: checkLease,
});

/** Without the gate for coordinated elections a server keeps neither field. */
function prepareLease(item: JsonObject): JsonObject {
  const { strategy: _strategy, preferredHolder: _holder, ...spec } = mapAt(item, 'spec');
  return { ...item, spec };
}

function checkLease(after: JsonObject): FieldProblem[] {
  const spec = mapAt(after, 'spec');
  const { leaseDurationSeconds: seconds, leaseTransitions: transitions } = spec;
  const problems: FieldProblem[] = [];
  if (typeof seconds === 'number' && seconds <= 0) {
    problems.push(invalid('spec.leaseDurationSeconds', seconds, 'must be greater than 0'));
  }
  if (typeof transitions === 'number' && transitions < 0) {
    const rule = 'must be greater than or equal to 0';
    problems.push(invalid('spec.leaseTransitions', transitions, rule));
  }
  return problems;
}

export const COORDINATION_RESOURCES: readonly Resource[] = [lease];
