/** What the tour writes, breaks and verifies: files on a mounted volume, or blocks over NBD. */
import type { WriteOne } from './writer.ts';

/** What was found to differ, one line each; empty when every byte is as it should be. */
export type Differences = readonly string[];

export interface Verification {
  readonly differences: Differences;
  /** What was compared: `412 files of 18 MiB, 3,100 rows`. */
  readonly compared: string;
}

export type Moment = 'snapshot' | 'now';

export interface Subject {
  /** For the headings: `files and a database`. */
  readonly noun: string;
  /** Makes the claim usable, and again from the replicas after it was in use. */
  open(claim: string): Promise<void>;
  close(claim: string): Promise<void>;
  /** What writes go on at the same time, into an open claim. */
  writes(claim: string): Promise<readonly WriteOne[]>;
  /** After the writer stopped; everything is durable. */
  settle(): Promise<void>;
  /** How much there is. */
  describe(): string;
  /** What is there now is what the snapshot holds. */
  rememberSnapshot(): void;
  /** Changes and deletes much of it; answers what it did. */
  overwrite(claim: string): Promise<string>;
  verify(claim: string, moment: Moment): Promise<Verification>;
}
