/** What a check finds, gathered while it goes on. */
export type Severity =
  /** What should be readable is not what was written: data is lost here, or cannot be trusted. */
  | 'corruption'
  /** Something is wrong that a second copy makes up for, or that nothing depends on yet. */
  | 'damage'
  /** Allowed, and worth knowing. */
  | 'note';

export interface Finding {
  readonly severity: Severity;
  /** Path of the file or directory. */
  readonly file: string;
  /** Constant text. */
  readonly message: string;
  readonly details: Readonly<Record<string, string | number | boolean>>;
  /** The file says that a newer version wrote it. */
  readonly newer?: boolean;
}

export class Findings {
  readonly list: Finding[] = [];

  corruption(file: string, message: string, details: Finding['details'] = {}): void {
    this.list.push({ severity: 'corruption', file, message, details });
  }

  damage(file: string, message: string, details: Finding['details'] = {}): void {
    this.list.push({ severity: 'damage', file, message, details });
  }

  note(file: string, message: string, details: Finding['details'] = {}): void {
    this.list.push({ severity: 'note', file, message, details });
  }

  newer(file: string, message: string): void {
    this.list.push({ severity: 'corruption', file, message, details: {}, newer: true });
  }

  has(severity: Severity): boolean {
    return this.list.some((finding) => finding.severity === severity);
  }
}
