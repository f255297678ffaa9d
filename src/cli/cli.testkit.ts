/** The command line against the real handlers of a controller, over scripted engines. */
import assert from 'node:assert/strict';
import { CONTROLLER_CHECKS } from '#api/checks/mod.ts';
import type { ControllerMethods } from '#api/mod.ts';
import { createControllerHandlers } from '#control/operator/mod.ts';
import { Fleet } from '#control/operator/fleet.testkit.ts';
import { encodeText } from '#lib/mod.ts';
import { serveRpc } from '#rpc/mod.ts';
import { layOut } from './cluster-directory.ts';
import { PLAIN } from './colors.ts';
import type { CliContext } from './context.ts';
import { runCli } from './mod.ts';

export interface Answer {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface Cli {
  (...args: string[]): Promise<Answer>;
  /** In a context that differs. */
  with(change: Partial<CliContext>, ...args: string[]): Promise<Answer>;
}

const unused = (): never => assert.fail('only the tour uses it');
const NO_MACHINE: CliContext['machine'] = {
  tempDirectory: '/tmp',
  kill: unused,
  removeTree: unused,
  connectExport: unused,
  openDatabase: unused,
  findLeftovers: unused,
};

export function contextOf(fleet: Fleet, out: string[], err: string[]): CliContext {
  return {
    host: fleet.host,
    out: (text) => void out.push(text),
    err: (text) => void err.push(text),
    colors: PLAIN,
    errColors: PLAIN,
    isTerminal: false,
    drawProgress: () => {},
    env: {},
    cwd: '/srv/w',
    version: '1.2.3',
    nodeVersion: 'v24.0.0',
    userId: 1000,
    readInput: () => Promise.resolve(''),
    ask: undefined,
    connectApi: () => fleet.client,
    up: () => Promise.resolve(0),
    down: () => Promise.resolve(0),
    findTour: () => Promise.resolve(undefined),
    machine: NO_MACHINE,
  };
}

export async function withCli(
  nodes: number,
  action: (cli: Cli, fleet: Fleet) => Promise<void>,
): Promise<void> {
  const fleet = new Fleet(100 + nodes, nodes);
  const run = async (change: Partial<CliContext>, ...args: string[]): Promise<Answer> => {
    const out: string[] = [];
    const err: string[] = [];
    const code = await runCli({ ...contextOf(fleet, out, err), ...change }, args);
    return { code, out: out.join('\n'), err: err.join('\n') };
  };
  const cli: Cli = Object.assign((...args: string[]) => run({}, ...args), { with: run });
  await fleet.run(async () => {
    const info = { cluster: 'c', version: '1', pid: 1, manifestErrors: [] };
    const server = await serveRpc<ControllerMethods>(
      fleet.host.net,
      layOut('/srv/w/.holdfast').controllerAddress,
      createControllerHandlers(fleet.operator, info),
      { clock: fleet.host.clock, log: fleet.host.log, checks: CONTROLLER_CHECKS },
    );
    await action(cli, fleet);
    await server.close();
  });
}

export async function apply(cli: Cli, fleet: Fleet, text: string): Promise<Answer> {
  const { disk } = fleet.host;
  await disk.makeDirectory('/srv/w');
  await disk.remove('/srv/w/a.yaml');
  const file = await disk.open('/srv/w/a.yaml', { write: true, create: 'new' });
  await file.write(0, encodeText(text));
  await file.close();
  return cli('apply', '-f', 'a.yaml');
}

export function claim(name: string, size = '1Gi'): string {
  return `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: ${name} }
spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: ${JSON.stringify(size)} } } }
`;
}
