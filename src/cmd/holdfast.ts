/** The one program: roles that `up` and the tour start, and the command line for people. */
import { HoldfastError } from '#api/mod.ts';
import { EXIT_CODES, formatError } from '#cli/mod.ts';
import { flushCompileCache } from 'node:module';
import { waitUntilSilent, watchParent } from './parent-watch.ts';

type Role = (args: readonly string[]) => Promise<void>;

const ROLES: Readonly<Record<string, () => Promise<Role>>> = {
  apiserver: async () => (await import('./apiserver.ts')).runApiserver,
  controller: async () => (await import('./controller.ts')).runController,
  node: async () => (await import('./node.ts')).runNode,
  engine: async () => (await import('./engine.ts')).runEngine,
  database: async () => (await import('./database-process.ts')).runDatabase,
};

const [name = '', ...rest] = process.argv.slice(2);
const loadRole = Object.hasOwn(ROLES, name) ? ROLES[name] : undefined;

if (loadRole === undefined) {
  const { runCommand } = await import('./cli-context.ts');
  process.exitCode = await runCommand(process.argv.slice(2));
} else {
  await startRole(name, loadRole, rest);
}

async function startRole(
  roleName: string,
  load: () => Promise<Role>,
  args: readonly string[],
): Promise<void> {
  // Sockets and files of a role are its user's alone.
  process.umask(0o077);
  // The controller watches by itself: it has volumes to detach first. The others wait for that.
  const waits = roleName === 'node' || roleName === 'apiserver';
  if (waits && args.includes('--run-dir')) watchParent(() => void endAfterController(args));
  try {
    const run = await load();
    await run(args);
    // Who is killed leaves no cache behind: written now, the next start takes half the time.
    flushCompileCache();
  } catch (error) {
    if (!HoldfastError.is(error)) throw error;
    // Plain: who started the role reads the code in it.
    process.stderr.write(`${formatError(error)}\n`);
    process.exit(EXIT_CODES[error.code]);
  }
}

async function endAfterController(args: readonly string[]): Promise<void> {
  const at = args.indexOf('--run-dir');
  await waitUntilSilent(`${args[at + 1] ?? ''}/controller.sock`);
  process.kill(process.pid, 'SIGTERM');
}
