/** The command line: one table of subcommands over the files beside this one. */
import { HoldfastError } from '#api/mod.ts';
import { type Command, CommanderError, Option } from 'commander';
import { choiceOption, CliCommand, REPORT_FORMS } from './cli-command.ts';
import type { Options, Run } from './cli-command.ts';
import { addClusterCommands, addExtraCommands } from './cluster-command-table.ts';
import { commandReference } from './command-reference.ts';
import type { CliContext } from './context.ts';
import { EXIT_CODES, EXIT_OK, EXIT_USAGE } from './exit-codes.ts';
import { runCordon, runDrain, runPlan, runStatus } from './maintenance.ts';
import { runMount, runUnmount } from './mount-volume.ts';
import { addObjectCommands } from './object-command-table.ts';
import { formatError } from './print-error.ts';
import { runClone, runRestore, runSnapshot } from './snapshot-commands.ts';
import { runAttach, runExpand, runRebuild, runScrub, runTrace } from './volume-commands.ts';

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

/** Every command with its options, as a page. */
export function describeCommands(note: string): string {
  // No command runs, so that none asks for what it runs in.
  const context = { version: '' } as CliContext;
  return commandReference(
    createProgram(context, () => {}),
    note,
  );
}

/** All commands: what is run, what help shows, and what shells complete. */
export function createProgram(context: CliContext, onExit: (code: number) => void): CliCommand {
  const program = new CliCommand('holdfast');
  program
    .description('Replicated block volumes: always know where the data is')
    .version(context.version, '-v, --version', 'Print the version')
    .option(
      '--cluster <dir>',
      'Directory of the cluster (default: $HOLDFAST_CLUSTER, else ./.holdfast)',
    )
    .option('-n, --namespace <name>', 'Namespace of claims')
    .exitOverride()
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

function addVolumeCommands(program: CliCommand, context: CliContext, run: Run): void {
  const timeout = (): Option => new Option('--timeout <time>', 'How long to wait');
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
    .description('Freeze a point in time: a VolumeSnapshot of the claim')
    .option('--name <name>', 'Name of the snapshot')
    .option('--snapshot-class <name>', 'Another class than the default one')
    .option('--no-wait', 'Do not wait until it is taken')
    .addOption(timeout())
    .action(run<[string]>((options, claim) => runSnapshot(context, claim, options)));
  volume
    .command('restore <snapshot> <claim>')
    .description('A new claim with the contents of a VolumeSnapshot')
    .option('--size <size>', 'Larger than the snapshot')
    .option('--storage-class <name>', 'Another class')
    .option('--read-only', 'Nobody writes it, every node reads it (ReadOnlyMany)')
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
    .option('--read-only', 'Nobody writes it, every node reads it (ReadOnlyMany)')
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
    .addOption(choiceOption('-o, --output <form>', 'How to print it', REPORT_FORMS))
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

function addMaintenanceCommands(program: CliCommand, context: CliContext, run: Run): void {
  const output = (): Option => choiceOption('-o, --output <form>', 'How to print it', REPORT_FORMS);
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
    .option('--timeout <time>', 'How long to wait (10m)')
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
