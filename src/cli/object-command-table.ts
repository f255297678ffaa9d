/** The commands on objects: get, describe, explain, apply, patch, wait, delete, completion. */
import { Option } from 'commander';
import { runApply } from './change-objects.ts';
import { choiceOption, OBJECT_FORMS, REPORT_FORMS } from './cli-command.ts';
import type { CliCommand, Run } from './cli-command.ts';
import { printScript, printWords } from './completion/mod.ts';
import type { CliContext } from './context.ts';
import { runDelete } from './delete-objects.ts';
import { runDescribe } from './describe-object.ts';
import { runGet } from './get-objects.ts';
import { PATCH_TYPES, runPatch } from './patch-object.ts';
import { runExplain, runWhere } from './read-objects.ts';
import { runSpace } from './space.ts';
import { runWait } from './wait-for-state.ts';

const output = (forms: readonly string[]): Option =>
  choiceOption('-o, --output <form>', 'How to print it', forms);
const timeout = (otherwise: string): Option =>
  new Option('--timeout <time>', `How long to wait, such as 90s or 5m (${otherwise})`);

export function addObjectCommands(program: CliCommand, context: CliContext, run: Run): void {
  program
    .command('get <kind> [names...]')
    .description(
      'List objects: claims, volumes, replicas, snapshots, pools, nodes, classes, events, all',
    )
    .addOption(output(OBJECT_FORMS))
    .option('-A, --all-namespaces', 'Of every namespace')
    .option('-w, --watch', 'Go on with every change, until Ctrl-C or --timeout')
    .option('--wait <what>', 'First wait: for a condition, phase=X, create or delete')
    .addOption(timeout('30s; without end for --watch'))
    .action(
      run<[string, string[]]>((options, kind, names) => runGet(context, kind, names, options)),
    );
  addReports(program, context, run);
  addChanges(program, context, run);
  addCompletion(program, context, run);
}

function addReports(program: CliCommand, context: CliContext, run: Run): void {
  program
    .command('describe <kind> [name]')
    .description('What is so and why, then spec, status, place, conditions and events')
    .action(
      run<[string, string | undefined]>((options, kind, name) =>
        runDescribe(context, kind, name, options),
      ),
    );
  program
    .command('where <kind> [name]')
    .description('From a claim to the disks, or from a disk, pool, node to the claims on it')
    .addOption(output(REPORT_FORMS))
    .action(
      run<[string, string | undefined]>((options, kind, name) =>
        runWhere(context, kind, name, options),
      ),
    );
  program
    .command('explain <kind> [name]')
    .description('The first link that is not well, since when, what happens next, what you can do')
    .addOption(output(REPORT_FORMS))
    .action(
      run<[string, string | undefined]>((options, kind, name) =>
        runExplain(context, kind, name, options),
      ),
    );
  program
    .command('space [kind] [name]')
    .description('Who needs the bytes: live, snapshots, clones, trimmable; when a pool is full')
    .addOption(output(REPORT_FORMS))
    .action(
      run<[string | undefined, string | undefined]>((options, kind, name) =>
        runSpace(context, kind, name, options),
      ),
    );
  program
    .command('wait <kind> [names...]')
    .description('Wait until objects are as --for says')
    .requiredOption(
      '--for <what>',
      'condition=Ready, condition=Ready=False, phase=X, create, delete',
    )
    .addOption(timeout('30s'))
    .action(
      run<[string, string[]]>((options, kind, names) => runWait(context, kind, names, options)),
    );
}

function addChanges(program: CliCommand, context: CliContext, run: Run): void {
  program
    .command('apply')
    .description('Create or change objects from YAML')
    .requiredOption('-f, --filename <file...>', 'Files, or - for standard input')
    .option('--wait', 'Until all of them are ready')
    .addOption(timeout('2m'))
    .action(run<[]>((options) => runApply(context, options)));
  program
    .command('patch <kind> [name]')
    .description('Change fields of an object')
    .option('-p, --patch <patch>', 'The patch, as JSON or YAML')
    .option('--patch-file <file>', 'A file with the patch, or - for standard input')
    .addOption(choiceOption('--type <type>', 'merge (RFC 7396) or json (RFC 6902)', PATCH_TYPES))
    .action(
      run<[string, string | undefined]>((options, kind, name) =>
        runPatch(context, kind, name, options),
      ),
    );
  program
    .command('delete [kind] [names...]')
    .description('Delete objects; what destroys data is foretold first, and asked for')
    .option('-f, --filename <file...>', 'What these files name')
    .option('-y, --yes', 'Do not ask')
    .option('--no-wait', 'Do not wait until they are gone')
    .addOption(timeout('2m'))
    .action(
      run<[string | undefined, string[]]>((options, kind, names) =>
        runDelete(context, kind, names, options),
      ),
    );
}

function addCompletion(program: CliCommand, context: CliContext, run: Run): void {
  program
    .command('completion <shell>')
    .description('Print what makes a shell complete commands, options and names of objects')
    .addHelpText('after', '\nFor bash: source <(holdfast completion bash)')
    .action(run<[string]>((_options, shell) => printScript(context, shell)));
  // Asked by what `completion` prints: the words so far, the one that is being typed last.
  program
    .command('__complete [words...]', { hidden: true })
    .allowUnknownOption()
    .helpOption(false)
    .action(run<[string[]]>((options, words) => printWords(context, program, words, options)));
}
