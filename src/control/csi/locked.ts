import { HoldfastError } from '#api/mod.ts';
import type { RequestOf, Service } from './messages.ts';

/**
 * One operation in flight for each thing: a second one is refused with `operation-pending`, which
 * is ABORTED to the caller, and comes again. The services below know nothing of it.
 *
 * `keyOf` gives the thing a request is about; null for calls that only read.
 */
export function lockService<Calls>(
  service: Service<Calls>,
  keyOf: (name: keyof Calls, request: Readonly<Record<string, unknown>>) => string | null,
): Service<Calls> {
  const busy = new Map<string, string>();
  const locked: Record<string, unknown> = {};
  for (const name of Object.keys(service) as (keyof Calls & string)[]) {
    locked[name] = async (request: RequestOf<Calls, typeof name>) => {
      const key = keyOf(name, request as Readonly<Record<string, unknown>>);
      if (key === null) return service[name](request);
      const other = busy.get(key);
      if (other !== undefined) {
        throw new HoldfastError('operation-pending', 'An operation is under way', {
          details: { name: key, operation: other, remedy: 'Ask again in a moment' },
        });
      }
      busy.set(key, name);
      try {
        return await service[name](request);
      } finally {
        busy.delete(key);
      }
    };
  }
  return locked as Service<Calls>;
}
