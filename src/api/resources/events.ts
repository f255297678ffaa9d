/** Events: one set of objects, in the form of the core group and in that of events.k8s.io. */
import { builtIn } from './built-in.ts';
import { ageOf, column } from './cells.ts';
import {
  about,
  int32,
  needed,
  orNull,
  object,
  objectReference,
  part,
  text,
  time,
  whole,
} from './fields.ts';
import { immutable, invalid, isMap, isSame, mapAt, required, textAt } from './field-problems.ts';
import { qualifiedNameProblems } from './name-problems.ts';
import type { FieldProblem, JsonObject, PrinterColumn, Resource, Schema } from './resource.ts';

const EVENTS = 'io.k8s.api.events.v1';

const source = object('EventSource', 'Who told it, in the old form.', {
  component: text('Which program.'),
  host: text('On which machine.'),
});

const SEEN = 'When it was last seen.';

function series(name: string, required: readonly string[]): Schema {
  return object(
    name,
    'How often it was seen.',
    {
      count: required.length === 0 ? int32('How often.') : { ...int32('How often.'), default: 0 },
      lastObservedTime: required.length === 0 ? time(SEEN) : stamp(SEEN),
    },
    required.length === 0 ? {} : { required },
  );
}

/** Times that are not set are written as null. */
function stamp(description: string): Schema {
  return orNull(time(description));
}

/** The fields that differ between the two forms, by what they are called in each. */
interface Form {
  readonly regarding: string;
  readonly note: string;
  readonly controller: string;
  readonly count: string;
  readonly first: string;
  readonly last: string;
  readonly source: string;
}

const CORE_FORM: Form = {
  regarding: 'involvedObject',
  note: 'message',
  controller: 'reportingComponent',
  count: 'count',
  first: 'firstTimestamp',
  last: 'lastTimestamp',
  source: 'source',
};
const EVENTS_FORM: Form = {
  regarding: 'regarding',
  note: 'note',
  controller: 'reportingController',
  count: 'deprecatedCount',
  first: 'deprecatedFirstTimestamp',
  last: 'deprecatedLastTimestamp',
  source: 'deprecatedSource',
};

function targetOf(form: Form, item: JsonObject): string {
  const about = mapAt(item, form.regarding);
  const kind = textAt(about, 'kind').toLowerCase();
  const name = textAt(about, 'name');
  return name === '' ? kind : `${kind}/${name}`;
}

function firstSeen(form: Form, item: JsonObject, nowMs: number): string {
  return ageOf(item[form.first] ?? item['eventTime'], nowMs);
}

function lastSeen(form: Form, item: JsonObject, nowMs: number): string {
  if (isMap(item['series'])) return ageOf(item['series']['lastObservedTime'], nowMs);
  const last = item[form.last];
  return typeof last === 'string' ? ageOf(last, nowMs) : firstSeen(form, item, nowMs);
}

function countOf(form: Form, item: JsonObject): number {
  const count = isMap(item['series']) ? item['series']['count'] : item[form.count];
  return typeof count === 'number' && count !== 0 ? count : 1;
}

function sourceOf(form: Form, item: JsonObject): string {
  const old = mapAt(item, form.source);
  const component = textAt(old, 'component') || textAt(item, form.controller);
  const instance = textAt(old, 'host') || textAt(item, 'reportingInstance');
  return instance === '' ? component : `${component}, ${instance}`;
}

const WIDE = { priority: 1 };

function columnsOf(form: Form): readonly PrinterColumn[] {
  return [
    column('Last Seen', 'Time since it was last seen.', (item, nowMs) =>
      lastSeen(form, item, nowMs),
    ),
    column('Type', 'Normal or Warning.', (item) => textAt(item, 'type')),
    column('Reason', 'What it is, for programs.', (item) => textAt(item, 'reason')),
    column('Object', 'The object that it is about.', (item) => targetOf(form, item)),
    column(
      'Subobject',
      'The part of the object.',
      (item) => textAt(mapAt(item, form.regarding), 'fieldPath'),
      WIDE,
    ),
    column('Source', 'Who told it.', (item) => sourceOf(form, item), WIDE),
    column('Message', 'What it is, for people.', (item) => textAt(item, form.note).trim()),
    column(
      'First Seen',
      'Time since it was first seen.',
      (item, nowMs) => firstSeen(form, item, nowMs),
      WIDE,
    ),
    column('Count', 'How often it was seen.', (item) => countOf(form, item), WIDE),
    column('Name', 'Name of the event.', (item) => textAt(item['metadata'], 'name'), {
      ...WIDE,
      format: 'name',
    }),
  ];
}

const SHARED = {
  action: text('What was done or tried.'),
  eventTime: stamp('When it was first seen.'),
  reason: text('What it is, for programs.'),
  related: about(objectReference, 'Another object that has to do with it.'),
  type: text('Normal or Warning.'),
};

const coreEvent = builtIn({
  group: '',
  kind: 'Event',
  plural: 'events',
  shortNames: ['ev'],
  isNamespaced: true,
  schema: whole(
    'Event',
    'Something that happened to an object.',
    {
      ...SHARED,
      count: int32('How often it was seen.'),
      firstTimestamp: stamp('When it was first seen.'),
      involvedObject: part(objectReference, 'The object that it is about.'),
      lastTimestamp: stamp('When it was last seen.'),
      message: text('What it is, for people.'),
      reportingComponent: needed('Who told it, such as example.com/controller.'),
      reportingInstance: needed('Which copy of it.'),
      series: series('EventSeries', []),
      source: part(source, 'Who told it, in the old form.'),
    },
    { required: ['metadata', 'involvedObject'] },
  ),
  columns: columnsOf(CORE_FORM),
  check: (after) => checkEvent(CORE_FORM, after),
});

const event = builtIn({
  group: 'events.k8s.io',
  kind: 'Event',
  plural: 'events',
  shortNames: ['ev'],
  isNamespaced: true,
  schema: whole(
    `${EVENTS}.Event`,
    'Something that happened to an object.',
    {
      ...SHARED,
      deprecatedCount: int32('How often it was seen, in the old form.'),
      deprecatedFirstTimestamp: stamp('When it was first seen, in the old form.'),
      deprecatedLastTimestamp: stamp('When it was last seen, in the old form.'),
      deprecatedSource: part(source, 'Who told it, in the old form.'),
      note: text('What it is, for people.'),
      regarding: part(objectReference, 'The object that it is about.'),
      reportingController: text('Who told it, such as example.com/controller.'),
      reportingInstance: text('Which copy of it.'),
      series: series(`${EVENTS}.EventSeries`, ['count', 'lastObservedTime']),
    },
    // Go writes a time that is not set as null, which counts as given.
    { required: ['eventTime'] },
  ),
  columns: columnsOf(EVENTS_FORM),
  check: checkNewEvent,
});

const LIMITS: readonly (readonly [string, number])[] = [
  ['reportingInstance', 128],
  ['action', 128],
  ['reason', 128],
];
const NOTE_MAX = 1024;

/** What both forms must keep (pkg/apis/core/validation/events.go). */
function checkEvent(form: Form, item: JsonObject): FieldProblem[] {
  const namespace = textAt(item['metadata'], 'namespace');
  const about = textAt(mapAt(item, form.regarding), 'namespace');
  const hasTime = typeof item['eventTime'] === 'string';
  const homes = hasTime ? ['default', 'kube-system'] : ['', 'default'];
  const isElsewhere = about === '' ? !homes.includes(namespace) : !hasTime && about !== namespace;
  const problems = isElsewhere
    ? [invalid('involvedObject.namespace', about, 'does not match event.namespace')]
    : [];
  return hasTime ? [...problems, ...checkReport(form, item)] : problems;
}

function checkReport(form: Form, item: JsonObject): FieldProblem[] {
  const controller = textAt(item, form.controller);
  const problems = controller === '' ? [required(form.controller)] : [];
  const found = qualifiedNameProblems(controller);
  problems.push(...found.map((problem) => invalid(form.controller, controller, problem)));
  for (const [field, max] of LIMITS) {
    const value = textAt(item, field);
    if (value === '') problems.push(required(field));
    if (value.length > max) {
      problems.push(invalid(field, '', `can have at most ${max} characters`));
    }
  }
  if (textAt(item, form.note).length > NOTE_MAX) {
    problems.push(invalid('message', '', `can have at most ${NOTE_MAX} characters`));
  }
  return problems;
}

/** What only the new form must keep. */
function checkNewEvent(after: JsonObject, before: JsonObject | undefined): FieldProblem[] {
  const problems = checkEvent(EVENTS_FORM, after);
  if (before !== undefined) return [...problems, ...checkEventUpdate(after, before)];
  problems.push(...checkSeries(after));
  if (typeof after['eventTime'] !== 'string') problems.push(required('eventTime'));
  const type = textAt(after, 'type');
  if (type !== 'Normal' && type !== 'Warning') {
    problems.push(invalid('type', '', `has invalid value: ${type}`));
  }
  const { first, last, count, source: from } = EVENTS_FORM;
  for (const [field, old] of [
    [first, 'firstTimestamp'],
    [last, 'lastTimestamp'],
    [count, 'count'],
    [from, 'source'],
  ] as const) {
    const isUnset = isSame(after[field], undefined) || after[field] === 0;
    if (!isUnset) problems.push(invalid(old, '', 'needs to be unset'));
  }
  return problems;
}

function checkSeries(item: JsonObject): FieldProblem[] {
  const { series: given } = item;
  if (!isMap(given)) return [];
  const problems: FieldProblem[] = [];
  if (typeof given['count'] !== 'number' || given['count'] < 2) {
    problems.push(invalid('series.count', '', 'should be at least 2'));
  }
  if (typeof given['lastObservedTime'] !== 'string') {
    problems.push(required('series.lastObservedTime'));
  }
  return problems;
}

/** Everything but the series, by the names that the core form has. */
const FIXED: readonly (readonly [string, string])[] = [
  ['regarding', 'involvedObject'],
  ['reason', 'reason'],
  ['note', 'message'],
  ['deprecatedSource', 'source'],
  ['deprecatedFirstTimestamp', 'firstTimestamp'],
  ['deprecatedLastTimestamp', 'lastTimestamp'],
  ['deprecatedCount', 'count'],
  // Kubernetes says it twice.
  ['reason', 'reason'],
  ['type', 'type'],
  ['eventTime', 'eventTime'],
  ['action', 'action'],
  ['related', 'related'],
  ['reportingController', 'reportingController'],
  ['reportingInstance', 'reportingInstance'],
];

function checkEventUpdate(after: JsonObject, before: JsonObject): FieldProblem[] {
  const problems = isSame(after['series'], before['series']) ? [] : checkSeries(after);
  for (const [field, shown] of FIXED) {
    problems.push(...immutable(shown, after[field], before[field]));
  }
  return problems;
}

export const EVENT_RESOURCES: readonly Resource[] = [coreEvent, event];
