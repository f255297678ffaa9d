/** The command line: one table of subcommands over the files beside this one. */
import { HoldfastError } from '#api/mod.ts';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { runApply, runDelete } from './change-objects.ts';
import { chooseClusterPath } from './cluster-directory.ts';
import type { CliContext } from './context.ts';
import { startDemo } from './demo.ts';
import { runDoctor } from './doctor.ts';
import { EXIT_CODES, EXIT_OK, EXIT_USAGE } from './exit-codes.ts';
import { runCordon, runDrain, runPlan, runStatus } from './maintenance.ts';
import { runMount, runUnmount } from './mount-volume.ts';
import { formatError } from './print-error.ts';
import { runExplain, runGet, runWhere } from './read-objects.ts';
import { runStoreCheck } from './store-check.ts';
import {
  runAttach,
  runClone,
  runExpand,
  runRebuild,
  runRestore,
  runScrub,
  runSnapshot,
  runTrace,
} from './volume-commands.ts';

/**
 * Runs one command line and answers its exit code; operating errors are printed, mistakes of ours
 * thrown.
 */
export async function runCli(context: CliContext, args: readonly string[]): Promise<number> {
  let exitCode = EXIT_OK as number;
  const program = createProgram(context, (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync([...args], { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_OK : EXIT_USAGE;
    if (!HoldfastError.is(error)) throw error;
    context.err(formatError(error, context.errColors));
    return EXIT_CODES[error.code];
  }
}

type Options = Record<string, never>;

function createProgram(context: CliContext, onExit: (code: number) => void): Command {
  const program = new Command('holdfast');
  program
    .description('Replicated block volumes: always know where the data is')
    .version(context.version, '-v, --version', 'Print the version')
    .option(
      '--cluster <dir>',
      'Directory of the cluster (default: $HOLDFAST_CLUSTER, else ./.holdfast)',
    )
    .option('-n, --namespace <name>', 'Namespace of claims')
    .exitOverride()
    .showHelpAfterError('(holdfast COMMAND --help shows how)')
    .configureOutput({
      writeOut: (text) => context.out(text.trimEnd()),
      writeErr: (text) => context.err(text.trimEnd()),
    });
  const run =
    <Args extends unknown[]>(action: (options: Options, ...args: Args) => Promise<number>) =>
    async (...all: unknown[]): Promise<void> => {
      const command = all.at(-1) as Command;
      const args = all.slice(0, -2) as Args;
      onExit(await action(command.optsWithGlobals() as Options, ...args));
    };
  addClusterCommands(program, context, run);
  addObjectCommands(program, context, run);
  addVolumeCommands(program, context, run);
  addMaintenanceCommands(program, context, run);
  addExtraCommands(program, context, run);
  // Also below a subcommand, where people write them out of habit.
  for (const command of everyCommand(program)) {
    if (command === program) continue;
    command.addOption(new Option('--cluster <dir>').hideHelp());
    if (!command.options.some((option) => option.short === '-n')) {
      command.addOption(new Option('-n, --namespace <name>').hideHelp());
    }
    command.exitOverride();
  }
  return program;
}

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

type Run = <Args extends unknown[]>(
  action: (options: Options, ...args: Args) => Promise<number>,
) => (...all: unknown[]) => Promise<void>;

function parseCount(text: string): number {
  const count = Number(text);
  if (/^\d{1,2}$/.test(text) && count >= 1 && count <= 16) return count;
  throw new InvalidArgumentError('Use 1 to 16');
}

function addClusterCommands(program: Command, context: CliContext, run: Run): void {
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
    .allowExcessArguments()
    .allowUnknownOption()
    .action(
      run<[]>(async (options) => {
        const { tour, cluster } = options as { tour?: boolean; cluster?: string };
        if (tour === true) return runTour(context, []);
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
    .option('-o, --output <form>', 'table or json')
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

function addObjectCommands(program: Command, context: CliContext, run: Run): void {
  const output = (): Option => new Option('-o, --output <form>', 'table, wide, json, yaml or name');
  program
    .command('get <kind> [names...]')
    .description(
      'List objects: claims, volumes, replicas, snapshots, pools, nodes, classes, events, all',
    )
    .addOption(output())
    .option('-A, --all-namespaces', 'Of every namespace')
    .action(
      run<[string, string[]]>((options, kind, names) => runGet(context, kind, names, options)),
    );
  program
    .command('where <kind> [name]')
    .description('From a claim to the disks, or from a disk, pool, node to the claims on it')
    .addOption(output())
    .action(
      run<[string, string | undefined]>((options, kind, name) =>
        runWhere(context, kind, name, options),
      ),
    );
  program
    .command('explain <kind> [name]')
    .description('The first link that is not well, since when, what happens next, what you can do')
    .addOption(output())
    .action(
      run<[string, string | undefined]>((options, kind, name) =>
        runExplain(context, kind, name, options),
      ),
    );
  program
    .command('apply')
    .description('Create or change objects from YAML')
    .requiredOption('-f, --filename <file...>', 'Files, or - for standard input')
    .action(run<[]>((options) => runApply(context, options)));
  program
    .command('delete [kind] [names...]')
    .description('Delete objects; a mounted volume is refused')
    .option('-f, --filename <file...>', 'What these files name')
    .option('--no-wait', 'Do not wait until they are gone')
    .option('--timeout <seconds>', 'How long to wait (120)')
    .action(
      run<[string | undefined, string[]]>((options, kind, names) =>
        runDelete(context, kind, names, options),
      ),
    );
}

function addVolumeCommands(program: Command, context: CliContext, run: Run): void {
  const timeout = (): Option => new Option('--timeout <seconds>', 'How long to wait');
  program
    .command('mount <claim> [path]')
    .description('Mount the volume of a claim (DIR/mnt/NAME by default)')
    .option('--node <name>', 'Node that serves it')
    .option('--read-only', 'No writes')
    .addOption(timeout())
    .action(
      run<[string, string | undefined]>((options, claim, path) =>
        runMount(context, claim, path, options),
      ),
    );
  program
    .command('umount <claim>')
    .alias('unmount')
    .description('Unmount and detach')
    .option('--nbd', 'Keep serving it over NBD')
    .addOption(timeout())
    .action(run<[string]>((options, claim) => runUnmount(context, claim, options)));

  const volume = program.command('volume').description('What can be done with a volume');
  volume
    .command('snapshot <claim>')
    .description('Freeze a point in time')
    .option('--name <name>', 'Name of the snapshot')
    .option('--no-wait', 'Do not wait until it is taken')
    .addOption(timeout())
    .action(run<[string]>((options, claim) => runSnapshot(context, claim, options)));
  volume
    .command('restore <snapshot> <claim>')
    .description('A new claim with the contents of a snapshot')
    .option('--size <size>', 'Larger than the snapshot')
    .option('--storage-class <name>', 'Another class')
    .option('--no-wait', 'Do not wait until it is ready')
    .addOption(timeout())
    .action(
      run<[string, string]>((options, snapshot, claim) =>
        runRestore(context, snapshot, claim, options),
      ),
    );
  volume
    .command('clone <source> <claim>')
    .description('A new claim with the contents that another one has now')
    .option('--size <size>', 'Larger than the source')
    .option('--storage-class <name>', 'Another class')
    .option('--no-wait', 'Do not wait until it is ready')
    .addOption(timeout())
    .action(
      run<[string, string]>((options, source, claim) => runClone(context, source, claim, options)),
    );
  volume
    .command('expand <claim> <size>')
    .description('Grow a volume, and its filesystem when mounted')
    .option('--no-wait', 'Do not wait until it has grown')
    .addOption(timeout())
    .action(
      run<[string, string]>((options, claim, size) => runExpand(context, claim, size, options)),
    );
  volume
    .command('rebuild <claim>')
    .description('Wait until every replica is in sync; level one anew with --replica')
    .option('--replica <name>', 'The replica to rebuild')
    .option('--full', 'From nothing, not only what it misses')
    .option('--no-wait', 'Do not wait')
    .addOption(timeout())
    .action(run<[string]>((options, claim) => runRebuild(context, claim, options)));
  volume
    .command('scrub <claim>')
    .description('Read everything on every replica, repair what does not match its checksum')
    .action(run<[string]>((options, claim) => runScrub(context, claim, options)));
  volume
    .command('trace <claim>')
    .description('Follow the next write through nexus, members and stores')
    .option('-o, --output <form>', 'table or json')
    .addOption(timeout())
    .action(run<[string]>((options, claim) => runTrace(context, claim, options)));
  volume
    .command('attach <claim>')
    .description('Serve over NBD without mounting; prints the address')
    .option('--node <name>', 'Node that serves it')
    .addOption(timeout())
    .action(run<[string]>((options, claim) => runAttach(context, claim, options)));
  volume
    .command('detach <claim>')
    .description('Stop serving')
    .addOption(timeout())
    .action(run<[string]>((options, claim) => runUnmount(context, claim, options)));
}

function addMaintenanceCommands(program: Command, context: CliContext, run: Run): void {
  const output = (): Option => new Option('-o, --output <form>', 'table, json or yaml');
  program
    .command('status')
    .description('One screen: what is at risk now, and when it will be whole')
    .addOption(output())
    .action(run<[]>((options) => runStatus(context, options)));
  program
    .command('plan <verb> <kind> <name> [size]')
    .description('What drain, cordon, replace, delete or expand would do; nothing is changed')
    .addOption(output())
    .action(
      run<[string, string, string, string | undefined]>((options, verb, kind, name, size) =>
        runPlan(context, verb, kind, name, size, options),
      ),
    );
  program
    .command('drain <kind> <name>')
    .description('Move every replica off a node or pool: rebuilt elsewhere first, then removed')
    .option('--no-wait', 'Do not wait until it is empty')
    .option('--timeout <seconds>', 'How long to wait (600)')
    .action(run<[string, string]>((options, kind, name) => runDrain(context, kind, name, options)));
  for (const isCordoned of [true, false]) {
    program
      .command(`${isCordoned ? 'cordon' : 'uncordon'} <kind> <name>`)
      .description(
        isCordoned
          ? 'Place nothing new on a node or pool'
          : 'Use a node or pool again, end a drain',
      )
      .action(
        run<[string, string]>((options, kind, name) =>
          runCordon(context, kind, name, isCordoned, options),
        ),
      );
  }
}

function addExtraCommands(program: Command, context: CliContext, run: Run): void {
  program
    .command('tour')
    .description('Show, unattended, what happens when an engine dies; then clean up')
    .allowUnknownOption()
    .argument('[args...]')
    .action(run<[string[]]>((_options, args) => runTour(context, args)));
  program
    .command('store')
    .description('What lies on disk')
    .command('check')
    .description('Check a pool or replica directory, read-only, with nothing of the store itself')
    .usage('DIR [--quick] [--digest] [--live] [-o json], or: compare DIR DIR')
    .allowUnknownOption()
    .allowExcessArguments()
    .argument('[args...]')
    .action(
      run<[string[]]>((_options, argv) =>
        runStoreCheck({
          argv,
          disk: context.host.disk,
          cwd: context.cwd,
          onLine: (text) => context.out(text),
        }),
      ),
    );
}

async function runTour(context: CliContext, args: readonly string[]): Promise<number> {
  const command = await context.findTour();
  if (command !== undefined) return command(context, args);
  throw new HoldfastError('unsupported', 'Command is not part of this build', {
    details: { command: 'tour', remedy: 'Use a complete checkout' },
  });
}
