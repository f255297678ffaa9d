import type { KubeClient } from '#control/kube/mod.ts';
import type { Host } from '#host/mod.ts';
import type { Colors } from './colors.ts';

/** What a command gets from the process it runs in. `cmd` makes it; tests make their own. */
export interface CliContext {
  readonly host: Host;
  /** One line or a block; a newline is added. */
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Those of `out`. */
  readonly colors: Colors;
  /** Those of `err`. */
  readonly errColors: Colors;
  /** Standard error is a terminal: progress is drawn in place there. */
  readonly isTerminal: boolean;
  readonly drawProgress: (text: string) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly version: string;
  readonly nodeVersion: string;
  readonly userId: number;
  /** Standard input, for `apply -f -`; `invalid-argument` when it is longer. */
  readonly readInput: (bytesMax: number) => Promise<string>;
  /** One line from a person; undefined where nobody can answer: standard input is no terminal. */
  readonly ask: ((question: string) => Promise<string>) | undefined;
  /** The API server whose inner socket this is. */
  readonly connectApi: (socketPath: string, timeoutMs?: number) => KubeClient;
  readonly up: (request: UpRequest) => Promise<number>;
  readonly down: (path: string) => Promise<number>;
  /** `tour`, where it is part of the build. */
  readonly findTour: () => Promise<ExtraCommand | undefined>;
  readonly machine: Machine;
}

export interface UpRequest {
  readonly path: string;
  readonly nodes: number | undefined;
  readonly detach: boolean;
  /** An exit code stops the cluster again; undefined leaves it running until a signal. */
  readonly onReady: () => Promise<number | undefined>;
  /** Before volumes are detached, after a signal as well: end here what uses them. */
  readonly onStopping?: () => Promise<void>;
}

/** What the tour needs of its machine beyond a Host. */
export interface Machine {
  /** Where scratch directories go. */
  readonly tempDirectory: string;
  /** SIGKILL. */
  readonly kill: (pid: number) => void;
  /** As `rm -r`; nothing when absent. Fails where something is mounted. */
  readonly removeTree: (path: string) => Promise<void>;
  readonly connectExport: (url: string) => Promise<BlockExport>;
  /** SQLite in a process of its own, which ends with this one: its calls may block. */
  readonly openDatabase: (file: string) => Promise<Database>;
  /** What still refers to a directory, one line each: processes, mounts, loop devices. */
  readonly findLeftovers: (path: string) => Promise<string[]>;
}

/** An NBD export as a client sees it. After `disconnected` connect anew. */
export interface BlockExport {
  readonly sizeBytes: number;
  readonly read: (offsetBytes: number, lengthBytes: number) => Promise<Uint8Array>;
  readonly write: (offsetBytes: number, data: Uint8Array) => Promise<void>;
  /** Makes every write that resolved before durable. */
  readonly flush: () => Promise<void>;
  readonly close: () => Promise<void>;
}

export type DatabaseRow = Readonly<Record<string, unknown>>;

export interface Database {
  /** One statement, which is one transaction: durable when it resolves. Rejects with `io-error`. */
  readonly query: (sql: string) => Promise<readonly DatabaseRow[]>;
  readonly close: () => Promise<void>;
}

/** The exit code. `args` are what follows the command's name. */
export type ExtraCommand = (context: CliContext, args: readonly string[]) => Promise<number>;
