/** The commands around a cluster: up, start, down, tour, doctor, store check, version. */
import { HoldfastError } from '#api/mod.ts';
import type { CliCommand, Run } from './cli-command.ts';
import { choiceOption, REPORT_FORMS } from './cli-command.ts';
import { chooseClusterPath } from './cluster-directory.ts';
import type { CliContext } from './context.ts';
import { startDemo } from './demo.ts';
import { runDoctor } from './doctor.ts';
import { EXIT_OK } from './exit-codes.ts';
import { runStoreCheck } from './store-check.ts';

function parseCount(text: string): number {
  const count = Number(text);
  if (/^\d{1,2}$/.test(text) && count >= 1 && count <= 16) return count;
  throw new HoldfastError('invalid-argument', 'Number of nodes does not fit', {
    details: { field: '--nodes', value: text.slice(0, 80), remedy: 'Use 1 to 16' },
  });
}

export function addClusterCommands(program: CliCommand, context: CliContext, run: Run): void {
  program
    .command('up [dir]')
    .description('Start a cluster on this machine, in the foreground')
    .option('--nodes <count>', 'How many nodes (3 for a new cluster)', parseCount)
    .option('--detach', 'Leave it running in the background')
    .option('--demo', 'Also make the claim default/demo, serve and mount it')
    .action(
      run<[string | undefined]>((options, dir) => {
        const { nodes, detach, demo, cluster } = options as {
          nodes?: number;
          detach?: boolean;
          demo?: boolean;
          cluster?: string;
        };
        const path = chooseClusterPath(dir ?? cluster, context.env, context.cwd);
        return startCluster(context, path, nodes, detach ?? false, demo ?? false);
      }),
    );
  program
    .command('start')
    .description('What npm start does: up ./.holdfast --demo, or the tour')
    .option('--tour', 'Run the tour unattended, then clean up')
    .action(
      run<[]>(async (options) => {
        const { tour, cluster } = options as { tour?: boolean; cluster?: string };
        if (tour === true) return runTour(context);
        const path = chooseClusterPath(cluster, context.env, context.cwd);
        return startCluster(context, path, undefined, false, true);
      }),
    );
  program
    .command('down [dir]')
    .description('Stop the cluster in order; the data stays')
    .action(
      run<[string | undefined]>((options, dir) => {
        const { cluster } = options as { cluster?: string };
        return context.down(chooseClusterPath(dir ?? cluster, context.env, context.cwd));
      }),
    );
  program
    .command('doctor')
    .description('What this machine can do, what is missing, how to get it')
    .addOption(choiceOption('-o, --output <form>', 'How to print it', REPORT_FORMS))
    .action(run<[]>((options) => runDoctor(context, options)));
  program
    .command('version')
    .description('Print the version')
    .action(
      run<[]>(() => {
        context.out(`holdfast ${context.version}, Node ${context.nodeVersion}`);
        return Promise.resolve(EXIT_OK);
      }),
    );
}

function startCluster(
  context: CliContext,
  path: string,
  nodes: number | undefined,
  detach: boolean,
  demo: boolean,
): Promise<number> {
  return context.up({
    path,
    nodes,
    detach,
    onReady: async () => {
      context.out(`cluster runs in ${path}`);
      if (demo) await startDemo(context, path);
      return undefined;
    },
  });
}

export function addExtraCommands(program: CliCommand, context: CliContext, run: Run): void {
  program
    .command('tour')
    .description('Show, unattended, what happens when an engine dies; then clean up')
    .action(run<[]>(() => runTour(context)));
  program
    .command('store')
    .description('What lies on disk')
    .command('check <dir...>')
    .description('Check a pool or replica directory, read-only, with nothing of the store itself')
    .usage('DIR [--quick] [--digest] [--live] [-o json], or: compare DIR DIR [--live] [-o json]')
    .option('--quick', 'Metadata only, no contents')
    .option('--digest', 'Also a checksum of the contents')
    .option('--live', 'What is open elsewhere as well, as it is seen in motion')
    .addOption(choiceOption('-o, --output <form>', 'How to print it', ['text', 'json']))
    .action(
      run<[string[]]>((options, words) =>
        runStoreCheck({
          words,
          ...options,
          disk: context.host.disk,
          cwd: context.cwd,
          onLine: (text) => context.out(text),
        }),
      ),
    );
}

async function runTour(context: CliContext): Promise<number> {
  const command = await context.findTour();
  if (command !== undefined) return command(context, []);
  throw new HoldfastError('unsupported', 'Command is not part of this build', {
    details: { command: 'tour', remedy: 'Use a complete checkout' },
  });
}
