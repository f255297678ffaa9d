/** Completion in shells: thin scripts that ask the program, which knows commands and objects. */
import { EXIT_OK } from '../exit-codes.ts';
import { checkChoice } from '../cli-command.ts';
import type { CliContext } from '../context.ts';
import { completionScript, SHELLS } from './scripts.ts';

export { printWords } from './complete-words.ts';

export function printScript(context: CliContext, shellText: string): Promise<number> {
  context.out(completionScript(checkChoice('shell', shellText, SHELLS)));
  return Promise.resolve(EXIT_OK);
}
