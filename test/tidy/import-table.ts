/** Who may import whom, and through which door. */
import { type Import, importsOfTree } from './import-graph.ts';
import { type Finding, isTestFile, type Tree } from './tree.ts';

/**
 * A folder of src/ and the folders whose `mod.ts` it may import; itself is always allowed. `api`
 * stands low because every layer throws HoldfastError, whose closed list of codes lives there.
 */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  host: ['api', 'lib'],
  'host/node': ['host', 'api', 'lib'],
  'host/sim': ['host', 'api', 'lib'],
  api: ['lib'],
  rpc: ['api', 'host', 'lib'],
  'data/proto': ['api', 'lib'],
  'data/block': ['api', 'host', 'lib'],
  'data/store': ['data/block', 'api', 'host', 'lib'],
  'data/member': ['data/block', 'api', 'lib'],
  'data/replica': ['data/member', 'data/store', 'data/block', 'data/proto', 'api', 'host', 'lib'],
  'data/nexus': ['data/member', 'data/block', 'api', 'host', 'lib'],
  'data/frontend': ['data/proto', 'data/block', 'api', 'host', 'lib'],
  'data/engine': [
    'data/proto',
    'data/block',
    'data/store',
    'data/member',
    'data/replica',
    'data/nexus',
    'data/frontend',
    'rpc',
    'api',
    'host',
    'lib',
  ],
  'control/kube': ['api', 'host', 'lib'],
  'control/sched': ['api', 'lib'],
  'control/mounts': ['api', 'host', 'lib'],
  'control/operator': ['control/kube', 'control/sched', 'rpc', 'api', 'host', 'lib'],
  'control/embedded': ['control/csi', 'control/kube', 'api', 'host', 'lib'],
  'control/csi': ['control/kube', 'control/mounts', 'control/sched', 'rpc', 'api', 'host', 'lib'],
  'control/backup': ['control/kube', 'control/sched', 'rpc', 'api', 'host', 'lib'],
  'control/gateway': ['control/kube', 'control/sched', 'rpc', 'api', 'host', 'lib'],
  'control/apiserver': ['control/kube', 'control/sched', 'rpc', 'api', 'host', 'lib'],
  cli: ['control/kube', 'rpc', 'api', 'host', 'lib'],
};

const AREAS = [...Object.keys(ALLOWED), 'cmd'].toSorted((a, b) => b.length - a.length);

/** Native or acting packages have one home; the rest of the code goes through it. */
const PACKAGE_HOMES: Readonly<Record<string, readonly string[]>> = {
  koffi: ['host/node'],
  '@node-rs/crc32': ['lib'],
  pino: ['host/node', 'cmd'],
  commander: ['cli', 'cmd'],
  picocolors: ['cli', 'cmd'],
  '@grpc/grpc-js': ['cmd'],
  '@grpc/proto-loader': ['cmd'],
  '@marcbachmann/cel-js': ['control/apiserver'],
};

/** The folder of the import table that holds `path`; undefined outside the layout. */
export function areaOf(path: string): string | undefined {
  return AREAS.find((area) => path.startsWith(`src/${area}/`));
}

export function checkImportTable(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const path of tree.keys()) {
    if (path.startsWith('src/') && path.endsWith('.ts') && areaOf(path) === undefined) {
      findings.push({ path, message: `Not in a folder of the layout: ${AREAS.join(' ')}` });
    }
  }
  for (const one of importsOfTree(tree)) {
    const message = one.target === undefined ? checkPackage(one) : checkFile(one, one.target, tree);
    if (message !== undefined) findings.push({ path: one.from, line: one.line, message });
  }
  return findings;
}

function checkPackage({ from, specifier }: Import): string | undefined {
  const homes = PACKAGE_HOMES[specifier];
  const area = areaOf(from);
  if (homes === undefined || isTestFile(from) || area === undefined) return undefined;
  if (homes.includes(area)) return undefined;
  return `${area} may not import the package ${specifier}: its home is ${homes.join(', ')}`;
}

function checkFile(one: Import, target: string, tree: Tree): string | undefined {
  const { from, specifier } = one;
  // The version has one home.
  if (target === 'package.json' && from.startsWith('src/cmd/')) return undefined;
  if (!target.endsWith('.ts') && !target.endsWith('.cjs')) {
    return `${specifier} names no file: write the .ts`;
  }
  if (!tree.has(target)) return `${specifier} does not exist`;
  const source = areaOf(from);
  const destination = areaOf(target);
  const fromTest = isTestFile(from);
  if (source !== undefined && source === destination) {
    if (specifier.startsWith('#')) return `${specifier} is in the same folder: import it relative`;
    if (!fromTest && isTestFile(target)) return `Product code may not import ${target}`;
    return undefined;
  }
  if (!target.startsWith('src/')) {
    if (from.startsWith('src/') && !fromTest) return `src may not import ${target}`;
    return undefined;
  }
  // host/node and host/sim are inside host: what they implement is one step up.
  const inside = source !== undefined && source.startsWith(`${destination}/`);
  if (inside && !specifier.startsWith('#')) return undefined;
  // And host's own contract test runs over both.
  const within = destination !== undefined && destination.startsWith(`${source}/`);
  if (within && fromTest && target.endsWith('/mod.ts')) return undefined;
  if (!specifier.startsWith('#')) {
    return `${specifier} crosses folders: import #${target.slice(4)}`;
  }
  const testDoor = fromTest && target.endsWith('.testkit.ts');
  if (!target.endsWith('/mod.ts') && !testDoor) {
    return `${specifier} is behind the face of its folder: import its mod.ts`;
  }
  if (fromTest || source === undefined) return undefined;
  if (destination === undefined) return `${target} is outside the layout`;
  if (destination === 'host/sim') return 'Only tests may import host/sim';
  if (source === 'cmd') return undefined;
  const allowed = ALLOWED[source] ?? [];
  if (allowed.includes(destination)) return undefined;
  return `${source} may not import ${destination}: allowed are ${allowed.join(', ') || 'none'}`;
}
