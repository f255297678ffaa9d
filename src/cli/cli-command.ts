/**
 * A command whose mistakes of usage are errors like all others: field, value and remedy, with the
 * known name that a mistyped one is closest to.
 */
import { nearestName } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import { Command, Option } from 'commander';

/** How reports are printed. */
export const REPORT_FORMS = ['table', 'json', 'yaml'] as const;
/** How objects are printed. */
export const OBJECT_FORMS = ['table', 'wide', 'json', 'yaml', 'name'] as const;

/** What commander gives; each command knows its own. */
export type Options = Record<string, never>;
/** Runs the action of a command and keeps its exit code. */
export type Run = <Args extends unknown[]>(
  action: (options: Options, ...args: Args) => Promise<number>,
) => (...all: unknown[]) => Promise<void>;

/** The methods are those that commander calls when something of the kind is wrong. */
export class CliCommand extends Command {
  override createCommand(name?: string): CliCommand {
    return new CliCommand(name);
  }

  unknownOption(flag: string): never {
    const name = flag.replace(/=.*/s, '');
    const options = optionsOf(this);
    const value = name.replace(/^-+/, '');
    const valued = options.find(({ argChoices }) => argChoices?.includes(value) === true);
    const nearest =
      valued === undefined
        ? nearestName(
            name,
            options.flatMap(({ long }) => long ?? []),
          )
        : `${valued.long} ${value}`;
    throw this.#usage('Option is unknown', 'option', name, nearest);
  }

  unknownCommand(): never {
    const name = this.args[0] ?? '';
    const known = this.commands.flatMap((command) => [command.name(), ...command.aliases()]);
    throw this.#usage('Command is unknown', 'command', name, nearestName(name, known));
  }

  missingArgument(name: string): never {
    throw this.#usage('Argument is missing', name, '');
  }

  optionMissingArgument(option: Option): never {
    throw this.#usage('Option needs a value', option.long ?? option.flags, '');
  }

  missingMandatoryOptionValue(option: Option): never {
    throw this.#usage('Option is missing', option.long ?? option.flags, '');
  }

  _excessArguments(given: readonly string[]): void {
    const surplus = given.slice(this.registeredArguments.length);
    throw this.#usage('Too many arguments', 'argument', surplus.join(' '));
  }

  #usage(message: string, field: string, value: string, nearest?: string): HoldfastError {
    const help = `${pathOf(this)} --help shows how`;
    const remedy = nearest === undefined ? help : `Did you mean ${nearest}? ${help}`;
    return new HoldfastError('invalid-argument', message, {
      details: { field, value: value.slice(0, 80), remedy },
    });
  }
}

/** With those of the commands above it. */
export function optionsOf(command: Command): readonly Option[] {
  const above = command.parent === null ? [] : optionsOf(command.parent);
  return [...command.options, ...above];
}

/** As it is typed: `holdfast volume expand`. */
function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

/** An option with a few possible values; another one is refused by name. */
export function choiceOption(
  flags: string,
  description: string,
  values: readonly string[],
): Option {
  const option = new Option(flags, description).choices(values);
  const field = option.long ?? flags;
  return option.argParser((value: string) => checkChoice(field, value, values));
}

export function checkChoice<Value extends string>(
  field: string,
  value: string,
  values: readonly Value[],
): Value {
  const found = values.find((each) => each === value);
  if (found !== undefined) return found;
  const nearest = nearestName(value, values);
  const list = `Use one of: ${values.join(', ')}`;
  throw new HoldfastError('invalid-argument', 'Value is unknown', {
    details: {
      field,
      value: value.slice(0, 80),
      remedy: nearest === undefined ? list : `Did you mean ${nearest}? ${list}`,
    },
  });
}
