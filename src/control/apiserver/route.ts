/** From a path to what it means. */
import { badRequest } from './failure.ts';

export interface ResourceRoute {
  readonly kind: 'resource';
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  /** Empty outside a namespace, and for the Namespace objects themselves. */
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
}

export type Route =
  | ResourceRoute
  | { readonly kind: 'discovery'; readonly path: readonly string[] }
  | { readonly kind: 'openapi'; readonly rest: string }
  | { readonly kind: 'health' | 'version' | 'openapi-v2' | 'unknown' };

const HEALTH = /^\/(?:healthz|livez|readyz)(?:\/[\w-]+)?$/;

export function parseRoute(path: string): Route {
  if (HEALTH.test(path)) return { kind: 'health' };
  if (path === '/version' || path === '/version/') return { kind: 'version' };
  if (path === '/openapi/v2') return { kind: 'openapi-v2' };
  if (path === '/openapi/v3' || path.startsWith('/openapi/v3/')) {
    return { kind: 'openapi', rest: path.slice('/openapi/v3'.length) };
  }
  const [root, ...rest] = segmentsOf(path);
  if (root === 'api') return apiRoute(root, '', rest);
  if (root === 'apis' && rest.length <= 1) return { kind: 'discovery', path: [root, ...rest] };
  if (root === 'apis') return apiRoute(root, rest[0] ?? '', rest.slice(1));
  return { kind: 'unknown' };
}

function segmentsOf(path: string): string[] {
  try {
    // Decoded before it is split, as Go does it: no name has a slash in it.
    return decodeURIComponent(path).replace(/^\//, '').replace(/\/$/, '').split('/');
  } catch {
    throw badRequest(`path is not valid: ${JSON.stringify(path)}`);
  }
}

function apiRoute(root: string, group: string, rest: readonly string[]): Route {
  const [version = '', ...path] = rest;
  if (path.length === 0) {
    const parts = [root, group, version].filter((part) => part !== '');
    return { kind: 'discovery', path: parts };
  }
  const at = { kind: 'resource', group, version } as const;
  // A namespace is a scope when something follows it, but for its own subresources.
  const isScope = path[0] === 'namespaces' && path.length >= 3 && !isOwnSubresource(path);
  const [plural = '', name = '', ...more] = isScope ? path.slice(2) : path;
  const subresource = more.join('/');
  return { ...at, namespace: isScope ? (path[1] ?? '') : '', plural, name, subresource };
}

function isOwnSubresource(path: readonly string[]): boolean {
  return path.length === 3 && (path[2] === 'status' || path[2] === 'finalize');
}
