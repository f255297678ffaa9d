import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Command } from 'commander';
import { apply, claim, contextOf, withCli } from '../cli.testkit.ts';
import { createProgram } from '../main.ts';
import { Fleet } from '#control/operator/fleet.testkit.ts';
import { sourceOfArgument, sourceOfOption } from './candidates.ts';
import { takesValue } from './words-so-far.ts';

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

function program(): Command {
  return createProgram(contextOf(new Fleet(1, 1), [], []), () => {});
}

/** What has no entry in the table of candidates. */
function unknownTo(root: Command): string[] {
  return everyCommand(root).flatMap((command) => [
    ...command.registeredArguments
      .filter((argument) => sourceOfArgument(command, argument) === undefined)
      .map((argument) => `${command.name()} ${argument.name()}`),
    ...command.options
      .filter((option) => takesValue(option) && sourceOfOption(option) === undefined)
      .map((option) => `${command.name()} ${option.flags}`),
  ]);
}

describe('Completion', () => {
  test('knows what can stand at every argument and option of every command', () => {
    assert.deepEqual(unknownTo(program()), []);
    const planted = program();
    planted.command('new <thing>').option('--colour <name>', 'x');
    assert.deepEqual(unknownTo(planted), ['new thing', 'new --colour <name>']);
  });

  test('offers commands, options, kinds, values and the names of objects', async () => {
    await withCli(3, async (cli, fleet) => {
      await apply(cli, fleet, `${claim('demo')}---${claim('other')}`);
      const complete = async (...words: string[]): Promise<string[]> => {
        const { code, out, err } = await cli('__complete', '--', ...words);
        assert.equal(code, 0, err);
        return out === '' ? [] : out.split('\n').map((line) => line.replace(/\t.*/, ''));
      };
      for (const [words, found] of [
        [['exp'], ['explain']],
        [['volume', 'sn'], ['snapshot']],
        [['get', '--all'], ['--all-namespaces']],
        [
          ['get', 'cla'],
          ['claims', 'claim', 'class', 'classes'],
        ],
        [
          ['get', 'claim', ''],
          ['demo', 'other'],
        ],
        [['get', 'claim', 'demo', 'o'], ['other']],
        [['get', '-o', 'wide', 'claim', 'd'], ['demo']],
        [['get', 'pvc/d'], ['pvc/demo']],
        [['get', 'claim', 'default/d'], ['default/demo']],
        [['get', '-n', 'elsewhere', 'claim', ''], []],
        [['get', 'claim', '-o', 'j'], ['json']],
        [['get', 'claim', '--output=j'], ['--output=json']],
        [['mount', 'd'], ['demo']],
        [['mount', 'demo', '--node', 'node-2'], ['node-2']],
        [['umount', 'demo', ''], []],
        [
          ['drain', 'node', 'node-'],
          ['node-1', 'node-2', 'node-3'],
        ],
        [['plan', 'drain', 'pool', 'node-1'], ['node-1-pool']],
        [['apply', '-f', ''], [':files']],
        [
          ['completion', ''],
          ['bash', 'zsh', 'fish'],
        ],
        [['volume', 'restore', 'x', ''], []],
        [['get', 'nonsense', ''], []],
        [['get', '--', '-'], []],
      ] as const) {
        assert.deepEqual((await complete(...words)).sort(), [...found].sort(), words.join(' '));
      }
      const all = await complete('');
      assert.ok(all.includes('describe') && !all.includes('__complete'), all.join(' '));
    });
  });

  test('prints a script for each shell, and refuses others by name', async () => {
    await withCli(1, async (cli) => {
      for (const shell of ['bash', 'zsh', 'fish']) {
        const { out, code } = await cli('completion', shell);
        assert.equal(code, 0);
        assert.match(out, /__complete -- /);
      }
      const answer = await cli('completion', 'fishy');
      assert.equal(answer.code, 2);
      assert.match(answer.err, /field: shell\n {2}value: fishy\n {2}remedy: Did you mean fish/);
    });
  });
});
