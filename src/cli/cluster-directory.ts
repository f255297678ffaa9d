/**
 * The directory of an embedded cluster: which one is meant, and what lies where in it.
 *
 *     DIR/cluster.yaml                 cluster id and nodes
 *     DIR/apiserver/objects.db         the objects, as they are wanted and observed
 *     DIR/kubeconfig                   for kubectl
 *     DIR/manifests/*.yaml             yours: read at every start
 *     DIR/nodes/<node>/{pool,engine}   replicas; what the engine remembers
 *     DIR/logs/*                       one file a process
 *     DIR/run, or /tmp/holdfast-HASH   sockets and pid files (short: a socket's path is at most
 *     100 bytes)
 */
import { HoldfastError } from '#api/mod.ts';
import { createHash } from 'node:crypto';
import { resolve } from 'node:path/posix';

/** Room for `/node-name.xxxxxxxxxxxx.suffix` after the run directory. */
const RUN_DIR_BYTES_MAX = 56;

export interface ClusterDirectory {
  readonly path: string;
  readonly runDir: string;
  readonly clusterFile: string;
  readonly lockFile: string;
  /** What the API server keeps: objects, certificates, token. */
  readonly apiserver: string;
  readonly apiSocket: string;
  readonly kubeconfig: string;
  readonly manifests: string;
  readonly logs: string;
  readonly upPidFile: string;
  readonly controllerAddress: string;
}

/** --cluster, else HOLDFAST_CLUSTER, else ./.holdfast. */
export function chooseClusterPath(
  option: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
): string {
  const chosen = option ?? env['HOLDFAST_CLUSTER'] ?? '.holdfast';
  if (chosen === '' || chosen.includes('\0')) {
    throw new HoldfastError('invalid-argument', 'Cluster directory is malformed', {
      details: { field: '--cluster', value: chosen, remedy: 'Give the path of a directory' },
    });
  }
  return resolve(cwd, chosen);
}

export function layOut(path: string): ClusterDirectory {
  const own = `${path}/run`;
  const hash = createHash('sha256').update(path).digest('hex').slice(0, 12);
  const runDir =
    new TextEncoder().encode(own).byteLength <= RUN_DIR_BYTES_MAX ? own : `/tmp/holdfast-${hash}`;
  return {
    path,
    runDir,
    clusterFile: `${path}/cluster.yaml`,
    lockFile: `${path}/up.lock`,
    apiserver: `${path}/apiserver`,
    apiSocket: `${runDir}/apiserver.sock`,
    kubeconfig: `${path}/kubeconfig`,
    manifests: `${path}/manifests`,
    logs: `${path}/logs`,
    upPidFile: `${runDir}/up.pid`,
    controllerAddress: `unix:${runDir}/controller.sock`,
  };
}
