/**
 * Programmer errors. An assertion that fails means that this process no longer knows what it does:
 * nothing below `cmd/` catches it, the process ends and its peers take over. It stays on in
 * production. What an operator, a disk or a peer can cause is a HoldfastError instead.
 */
export class AssertionError extends Error {
  constructor(fact: string) {
    super(`Assertion failed: ${fact}`);
    this.name = 'AssertionError';
  }
}

/** `fact` is the sentence that must hold: assert(size > 0, 'a volume is never empty'). */
export function assert(condition: unknown, fact: string): asserts condition {
  if (!condition) throw new AssertionError(fact);
}

/** Ends a switch over a closed union: a new case fails to compile here first. */
export function unreachable(value: never): never {
  throw new AssertionError(`no such case: ${String(value)}`);
}
