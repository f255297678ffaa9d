/** Where a watch begins and when it ends, from its query. */
import type { Rng } from '#host/mod.ts';
import type { ObjectStore } from './object-store.ts';
import { versionOf } from './reads.ts';
import { flagOf, invalidOptions, numberOf } from './request.ts';
import type { ResourceRequest } from './request.ts';
import type { WatchPlan } from './watch-stream.ts';

/** Without a limit of its own a watch ends after 30 to 60 minutes. */
const TIMEOUT_SECONDS = 1_800;

export function planWatch(
  store: ObjectStore,
  rng: Rng,
  to: ResourceRequest,
  view: Pick<WatchPlan, 'selector' | 'show'>,
): WatchPlan {
  const { query } = to.request;
  const asked = versionOf(query);
  const wantsInitial = flagOf(query, 'sendInitialEvents');
  checkInitial(query, wantsInitial);
  const seconds = numberOf(query, 'timeoutSeconds') ?? 0;
  const limit = seconds > 0 ? seconds : TIMEOUT_SECONDS + rng.below(TIMEOUT_SECONDS);
  // Without a version: what is there now, then what comes.
  const isFromNow = asked === undefined || asked === 0;
  const isInitial = wantsInitial ?? isFromNow;
  return {
    ...view,
    isInitial,
    marksInitialEnd: wantsInitial === true,
    fromVersion: isInitial || isFromNow ? store.version : asked,
    allowsBookmarks: flagOf(query, 'allowWatchBookmarks') === true,
    timeoutMs: limit * 1_000,
  };
}

function checkInitial(query: URLSearchParams, wantsInitial: boolean | undefined): void {
  const match = query.get('resourceVersionMatch') ?? '';
  const say = (message: string) =>
    invalidOptions('ListOptions', 'FieldValueForbidden', 'resourceVersionMatch', message);
  if (wantsInitial === undefined && match !== '') {
    throw say(
      'Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided',
    );
  }
  if (wantsInitial !== undefined && match !== 'NotOlderThan') {
    throw say('Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan');
  }
}
