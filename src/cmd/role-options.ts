/**
 * The arguments that `up` starts every role of a node with, and the paths that follow from them.
 */
import { type ClusterId, HoldfastError, type NodeId, parseId } from '#api/mod.ts';
import { parse } from 'yaml';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

export interface RoleOptions {
  readonly clusterDir: string;
  readonly cluster: ClusterId;
  readonly node: NodeId;
  readonly runDir: string;
  /** Prefix of this node's sockets. */
  readonly socketPrefix: string;
  readonly stateDirectory: string;
  readonly nodeAddress: string;
  readonly engineAddress: string;
  readonly controllerAddress: string;
  readonly logFile: string;
}

export function parseRoleOptions(args: readonly string[]): RoleOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      'cluster-dir': { type: 'string' },
      node: { type: 'string' },
      'run-dir': { type: 'string' },
    },
  });
  const clusterDir = demand('--cluster-dir', values['cluster-dir']);
  const runDir = demand('--run-dir', values['run-dir']);
  const node = parseId<NodeId>('--node', values.node);
  return {
    clusterDir,
    cluster: readClusterId(clusterDir),
    node,
    runDir,
    socketPrefix: `${runDir}/${node}`,
    stateDirectory: `${clusterDir}/nodes/${node}/engine`,
    nodeAddress: `unix:${runDir}/${node}.node.sock`,
    engineAddress: `unix:${runDir}/${node}.engine.sock`,
    controllerAddress: `unix:${runDir}/controller.sock`,
    logFile: `${clusterDir}/logs/${node}`,
  };
}

function demand(field: string, value: string | undefined): string {
  if (value !== undefined && value.startsWith('/')) return value;
  throw new HoldfastError('invalid-argument', 'Argument must be an absolute path', {
    details: { field, value: value ?? '', remedy: 'Roles are started by `holdfast up`' },
  });
}

function readClusterId(clusterDir: string): ClusterId {
  const file = `${clusterDir}/cluster.yaml`;
  const { cluster } = parse(readFileSync(file, 'utf8')) as { cluster?: unknown };
  return parseId<ClusterId>(`${file}: cluster`, cluster);
}
