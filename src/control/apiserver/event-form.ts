/**
 * Events have two groups and one set of objects. They are stored in the form of core/v1; this turns
 * one form into the other (kubernetes/pkg/apis/events/v1/conversion.go).
 */
import type { JsonObject, Resource } from '#api/resources/mod.ts';

/** events.k8s.io/v1 on the left, core/v1 on the right. */
const RENAMED: readonly (readonly [string, string])[] = [
  ['regarding', 'involvedObject'],
  ['note', 'message'],
  ['deprecatedSource', 'source'],
  ['deprecatedFirstTimestamp', 'firstTimestamp'],
  ['deprecatedLastTimestamp', 'lastTimestamp'],
  ['deprecatedCount', 'count'],
  ['reportingController', 'reportingComponent'],
];
const TO_CORE = new Map(RENAMED);
const FROM_CORE = new Map(RENAMED.map(([events, core]) => [core, events] as const));

/** Fields that Go writes though they are empty. */
const ALWAYS: JsonObject = {
  involvedObject: {},
  source: {},
  firstTimestamp: null,
  lastTimestamp: null,
  eventTime: null,
  reportingComponent: '',
  reportingInstance: '',
};

function isEvents(resource: Resource): boolean {
  return resource.plural === 'events' && resource.kind === 'Event';
}

export function toStoredForm(resource: Resource, object: JsonObject): JsonObject {
  if (!isEvents(resource)) return object;
  const core = resource.group === '' ? object : rename(object, TO_CORE, 'v1');
  return { ...ALWAYS, ...dropNull(core) };
}

export function fromStoredForm(resource: Resource, object: JsonObject): JsonObject {
  if (!isEvents(resource) || resource.group === '') return object;
  const { reportingInstance, reportingComponent, involvedObject, ...rest } = object;
  const events = rename(
    {
      ...rest,
      ...(reportingInstance === '' ? {} : { reportingInstance }),
      ...(reportingComponent === '' ? {} : { reportingComponent }),
      ...(Object.keys(involvedObject as JsonObject).length === 0 ? {} : { involvedObject }),
    },
    FROM_CORE,
    'events.k8s.io/v1',
  );
  return events;
}

function rename(
  object: JsonObject,
  names: ReadonlyMap<string, string>,
  apiVersion: string,
): JsonObject {
  const renamed: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(object)) renamed[names.get(field) ?? field] = value;
  return { ...renamed, apiVersion };
}

function dropNull(object: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null));
}
