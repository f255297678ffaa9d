/** What the server has: /version, /api, /apis, plain and aggregated, as kubectl asks for it. */
import type { JsonObject, Resource } from '#api/resources/mod.ts';
import type { Catalog } from './catalog.ts';
import { groupVersion } from './names.ts';
import { REVIEWS } from './reviews.ts';

const VERBS_BUILT_IN = [
  'create',
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'update',
  'watch',
];
const VERBS_CUSTOM = [
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'create',
  'update',
  'watch',
];
const STATUS_VERBS = ['get', 'patch', 'update'];

/** One entry of a group version: a resource, or a review that is only created. */
interface Entry {
  readonly plural: string;
  readonly singular: string;
  readonly kind: string;
  readonly isNamespaced: boolean;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly verbs: readonly string[];
  readonly hasStatus: boolean;
}

export class Discovery {
  /** Group → version → entries; core is the empty group. */
  readonly #groups = new Map<string, Map<string, Entry[]>>();

  constructor(catalog: Catalog) {
    for (const resource of catalog.all)
      this.#add(resource.group, resource.version, entryOf(resource));
    for (const { group, version, kind, plural } of REVIEWS) {
      this.#add(group, version, reviewEntry(kind, plural));
    }
    for (const versions of this.#groups.values()) {
      for (const entries of versions.values()) {
        entries.sort((a, b) => (a.plural < b.plural ? -1 : 1));
      }
    }
  }

  /** `/api` and `/apis`, aggregated. */
  aggregated(isCore: boolean): JsonObject {
    const groups = [...this.#groups].filter(([group]) => (group === '') === isCore);
    const items = groups.map(([group, versions]) => ({
      metadata: { ...(isCore ? {} : { name: group }), creationTimestamp: null },
      versions: [...versions].map(([version, entries]) => ({
        version,
        resources: entries.map((entry) => aggregatedEntry(group, version, entry)),
        freshness: 'Current',
      })),
    }));
    return {
      kind: 'APIGroupDiscoveryList',
      apiVersion: 'apidiscovery.k8s.io/v2',
      metadata: {},
      items,
    };
  }

  coreVersions(serverAddress: string): JsonObject {
    return {
      kind: 'APIVersions',
      versions: [...(this.#groups.get('')?.keys() ?? [])],
      serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress }],
    };
  }

  groupList(): JsonObject {
    const groups = [...this.#groups.keys()].filter((group) => group !== '');
    return {
      kind: 'APIGroupList',
      apiVersion: 'v1',
      groups: groups.map((group) => this.#groupBody(group)),
    };
  }

  group(group: string): JsonObject | undefined {
    if (group === '' || !this.#groups.has(group)) return undefined;
    return { kind: 'APIGroup', apiVersion: 'v1', ...this.#groupBody(group) };
  }

  resourceList(group: string, version: string): JsonObject | undefined {
    const entries = this.#groups.get(group)?.get(version);
    if (entries === undefined) return undefined;
    return {
      kind: 'APIResourceList',
      apiVersion: 'v1',
      groupVersion: groupVersion({ group, version }),
      resources: entries.flatMap(plainEntries),
    };
  }

  #add(group: string, version: string, entry: Entry): void {
    let versions = this.#groups.get(group);
    if (versions === undefined) this.#groups.set(group, (versions = new Map()));
    const entries = versions.get(version);
    if (entries === undefined) versions.set(version, [entry]);
    else entries.push(entry);
  }

  #groupBody(group: string): JsonObject {
    const versions = [...(this.#groups.get(group)?.keys() ?? [])].map((version) => ({
      groupVersion: `${group}/${version}`,
      version,
    }));
    return { name: group, versions, preferredVersion: versions[0] };
  }
}

function entryOf(resource: Resource): Entry {
  const verbs = resource.isCustom ? VERBS_CUSTOM : VERBS_BUILT_IN;
  const isNamespace = resource.group === '' && resource.kind === 'Namespace';
  return {
    ...resource,
    verbs: isNamespace ? verbs.filter((verb) => verb !== 'deletecollection') : verbs,
  };
}

function reviewEntry(kind: string, plural: string): Entry {
  return {
    plural,
    singular: kind.toLowerCase(),
    kind,
    isNamespaced: false,
    shortNames: [],
    categories: [],
    verbs: ['create'],
    hasStatus: false,
  };
}

function aggregatedEntry(group: string, version: string, entry: Entry): JsonObject {
  const { plural, singular, kind, isNamespaced, verbs, shortNames, categories } = entry;
  const responseKind = { group, version, kind };
  const status = { subresource: 'status', responseKind, verbs: STATUS_VERBS };
  return {
    resource: plural,
    responseKind,
    scope: isNamespaced ? 'Namespaced' : 'Cluster',
    singularResource: singular,
    verbs,
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
    ...(entry.hasStatus ? { subresources: [status] } : {}),
  };
}

function plainEntries(entry: Entry): JsonObject[] {
  const { plural, singular, kind, isNamespaced, verbs, shortNames, categories } = entry;
  const whole = {
    name: plural,
    singularName: singular,
    namespaced: isNamespaced,
    kind,
    verbs,
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
  };
  const status = {
    name: `${plural}/status`,
    singularName: '',
    namespaced: isNamespaced,
    kind,
    verbs: STATUS_VERBS,
  };
  return entry.hasStatus ? [whole, status] : [whole];
}
