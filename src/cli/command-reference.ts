/** The table of commands as a page: docs/reference/commands.md is made from it. */
import type { Command, Option } from 'commander';

export function commandReference(program: Command, note: string): string {
  const sections = program.commands
    .filter((command) => !command.name().startsWith('_'))
    .flatMap((command) => (command.commands.length > 0 ? command.commands : [command]))
    .map(sectionOf);
  return [
    '# Commands',
    '',
    `<!-- ${note} -->`,
    '',
    'Exit codes are those of [errors](../errors.md): 0 done, 2 the command line is wrong, 3 not there,',
    '4 in the way of something, 7 not yet, 8 something is not well. `--cluster DIR` and `-n NAMESPACE`',
    'are taken by every command. A claim is `NAME` or `NAMESPACE/NAME`; an object is `KIND NAME` or',
    '`KIND/NAME`. Times are `90s`, `5m`, `1h`.',
    '',
    sections.join('\n'),
  ].join('\n');
}

function sectionOf(command: Command): string {
  const name = pathOf(command);
  const usage = command.usage().replace(/\[options\] ?/, '');
  const rows = command.options
    .filter((option) => !option.hidden)
    .map((option) => `| \`${option.flags}\` | ${meaningOf(option)} |`);
  const lines = [
    `## ${name}`,
    '',
    `${command.description()}.`,
    '',
    `    ${name} ${usage}`.trimEnd(),
    '',
  ];
  if (rows.length === 0) return lines.join('\n');
  return [...lines, '| option | |', '|---|---|', ...rows, ''].join('\n');
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

function meaningOf({ description, argChoices }: Option): string {
  if (argChoices === undefined) return description;
  return `${description}: ${argChoices.map((choice) => `\`${choice}\``).join(', ')}`;
}
