/**
 * The command line. It knows the controller's RPC and nothing of engines or stores; what it needs
 * of the process it runs in (starting processes, terminals) comes as a CliContext.
 */
export type {
  BlockExport,
  CliContext,
  Database,
  DatabaseRow,
  ExtraCommand,
  Machine,
  UpRequest,
} from './context.ts';
export * from './cluster-directory.ts';
export { colorsFor } from './colors.ts';
export * from './exit-codes.ts';
export * from './print-error.ts';
export { describeCommands, runCli } from './main.ts';
