import type { Host } from '#host/mod.ts';

/** What a command gets from the process it runs in. `cmd` makes it; tests make their own. */
export interface CliContext {
  readonly host: Host;
  /** One line or a block; a newline is added. */
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Standard error is a terminal: progress is drawn in place there. */
  readonly isTerminal: boolean;
  readonly drawProgress: (text: string) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly version: string;
  readonly nodeVersion: string;
  readonly userId: number;
  /** Standard input, for `apply -f -`. */
  readonly readInput: () => Promise<string>;
  readonly up: (request: UpRequest) => Promise<number>;
  readonly down: (path: string) => Promise<number>;
  /** `tour`, where it is part of the build. */
  readonly findTour: () => Promise<ExtraCommand | undefined>;
}

export interface UpRequest {
  readonly path: string;
  readonly nodes: number | undefined;
  readonly detach: boolean;
  readonly onReady: () => Promise<void>;
}

/** The exit code. `args` are what follows the command's name. */
export type ExtraCommand = (context: CliContext, args: readonly string[]) => Promise<number>;
