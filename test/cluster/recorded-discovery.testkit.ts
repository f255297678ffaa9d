/**
 * The real server's aggregated discovery, cut down to what ours has too: recorded/discovery.json.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type ApiAddress, callApi } from './api-call.testkit.ts';

const PATH = join(import.meta.dirname, 'recorded', 'discovery.json');
const ACCEPT = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

/** Group, or `core`, and the plurals of which we have all. */
const SERVED: Readonly<Record<string, readonly string[]>> = {
  core: [
    'configmaps',
    'events',
    'namespaces',
    'nodes',
    'persistentvolumeclaims',
    'persistentvolumes',
    'secrets',
  ],
  'coordination.k8s.io': ['leases'],
  'events.k8s.io': ['events'],
  'snapshot.storage.k8s.io': ['volumesnapshotclasses', 'volumesnapshotcontents', 'volumesnapshots'],
  'storage.k8s.io': [
    'csidrivers',
    'csinodes',
    'csistoragecapacities',
    'storageclasses',
    'volumeattachments',
  ],
};

interface DiscoveredResource {
  readonly resource: string;
  readonly subresources?: readonly { readonly subresource: string }[];
}

/** One group's resources by `group/version/plural`. */
export type Discovered = Readonly<Record<string, DiscoveredResource>>;

/** Of two aggregated answers, those of /api and /apis. */
export function discoveredIn(texts: readonly string[]): Discovered {
  const found: Record<string, DiscoveredResource> = {};
  for (const text of texts) {
    const list = JSON.parse(text) as {
      readonly items: readonly {
        readonly metadata?: { readonly name?: string };
        readonly versions: readonly {
          readonly version: string;
          readonly resources: readonly DiscoveredResource[];
        }[];
      }[];
    };
    for (const { metadata, versions } of list.items) {
      const group = metadata?.name ?? 'core';
      for (const { version, resources } of versions) {
        for (const one of resources) {
          const isOurs = SERVED[group]?.includes(one.resource) || group.endsWith('holdfast.dev');
          const name = `${group}/${version}/${one.resource}`;
          if (isOurs) found[name] = withOurSubresources(withoutGroups(one));
        }
      }
    }
  }
  return found;
}

/** Of its own kinds the real server leaves the group away where it says what answers. */
function withoutGroups<T>(value: T): T {
  return JSON.parse(JSON.stringify(value), (name, entry: unknown) => {
    if (name !== 'responseKind') return entry;
    return (entry as { readonly kind: string }).kind;
  }) as T;
}

/** Of the subresources we serve the status alone. */
function withOurSubresources(one: DiscoveredResource): DiscoveredResource {
  const { subresources, ...rest } = one;
  const own = subresources?.filter(({ subresource }) => subresource === 'status') ?? [];
  return own.length === 0 ? rest : { ...rest, subresources: own };
}

export async function recordDiscovery(server: ApiAddress): Promise<void> {
  const texts: string[] = [];
  for (const path of ['/api', '/apis']) {
    texts.push((await callApi(server, { path, headers: { accept: ACCEPT } })).text);
  }
  writeFileSync(PATH, `${JSON.stringify(discoveredIn(texts), null, 2)}\n`);
}

/** `ask` answers a GET with that Accept header. Empty when all is as with the real server. */
export async function compareDiscovery(
  ask: (path: string, accept: string) => Promise<string>,
): Promise<string[]> {
  const recorded = JSON.parse(readFileSync(PATH, 'utf8')) as Discovered;
  const ours = discoveredIn([await ask('/api', ACCEPT), await ask('/apis', ACCEPT)]);
  const findings: string[] = [];
  for (const name of new Set([...Object.keys(recorded), ...Object.keys(ours)])) {
    if (isDeepStrictEqual(recorded[name], ours[name])) continue;
    const [expected, actual] = [recorded[name], ours[name]];
    findings.push(`${name}: ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
  }
  return findings;
}
