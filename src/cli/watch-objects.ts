/** `get --watch`: what is there, then every change, until the time is over or Ctrl-C. */
import type { AnyObject, KindName } from '#api/kinds/mod.ts';
import { formatKey, keyOf } from '#control/kube/mod.ts';
import type { ObjectKey } from '#control/kube/mod.ts';
import type { ClusterClient } from './cluster-client.ts';
import type { CliContext } from './context.ts';
import { EXIT_OK } from './exit-codes.ts';
import type { ObjectPrinter } from './print-objects.ts';

export interface WatchRequest {
  readonly kind: KindName;
  /** Only these; empty for all. */
  readonly keys: readonly ObjectKey[];
  readonly namespace: string | undefined;
  readonly print: ObjectPrinter;
  /** Undefined: without end. */
  readonly timeoutMs: number | undefined;
}

export async function watchObjects(
  context: CliContext,
  cluster: ClusterClient,
  request: WatchRequest,
): Promise<number> {
  const { kind, keys, namespace, print, timeoutMs } = request;
  const { clock } = context.host;
  const isWanted = (object: AnyObject): boolean =>
    (namespace === undefined || object.metadata.namespace === namespace) &&
    (keys.length === 0 || keys.some((key) => formatKey(key) === formatKey(keyOf(object))));
  // What is named must exist, as for `get`.
  for (const key of keys) await cluster.get(kind, key);
  let isOver = false;
  const over = Promise.withResolvers<void>();
  const timer =
    timeoutMs === undefined
      ? undefined
      : clock.after(timeoutMs, () => {
          isOver = true;
          over.resolve();
        });
  /** As printed last: after a gap only what changed since is printed. */
  const versions = new Map<string, string | undefined>();
  const show = (object: AnyObject): void => {
    const name = formatKey(keyOf(object));
    if (!isWanted(object) || versions.get(name) === object.metadata.resourceVersion) return;
    versions.set(name, object.metadata.resourceVersion);
    print.one(object);
  };
  try {
    for (let isFirst = true; !isOver; isFirst = false) {
      const { items, resourceVersion } = await cluster.api.list(kind, { namespace });
      if (isFirst) {
        const wanted = items.filter(isWanted);
        if (wanted.length > 0) print.all(wanted, false);
        for (const object of wanted) {
          versions.set(formatKey(keyOf(object)), object.metadata.resourceVersion);
        }
      } else items.forEach(show);
      const gap = Promise.withResolvers<void>();
      const watch = cluster.api.watch(kind, resourceVersion, {
        onEvent: (_type, object) => show(object),
        onGap: gap.resolve,
      });
      await Promise.race([gap.promise, over.promise]);
      watch.stop();
    }
  } finally {
    timer?.cancel();
  }
  return EXIT_OK;
}
