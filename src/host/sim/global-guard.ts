/* oxlint-disable no-restricted-globals -- this file is about the real globals */
/**
 * While a simulated world runs, the real clock, real timers and real randomness throw: code that
 * reaches past its Host is found at once and not by a trace that differs once in a thousand runs.
 * Lint forbids the same names; this also catches what dependencies do. Microtasks and ticks stay:
 * the event loop drains them, so their order is fixed.
 */
const FORBIDDEN: readonly (readonly [object, string])[] = [
  [Math, 'random'],
  [globalThis, 'setTimeout'],
  [globalThis, 'setInterval'],
  [globalThis, 'setImmediate'],
  [globalThis, 'fetch'],
  [process, 'hrtime'],
  [performance, 'now'],
];

let depth = 0;
const undo: (() => void)[] = [];

/** Returns the way back. Nests. */
export function guardGlobals(): () => void {
  if (depth++ === 0) {
    for (const [holder, name] of FORBIDDEN) forbid(holder, name);
    forbidClock();
  }
  let active = true;
  return () => {
    if (!active) return;
    active = false;
    if (--depth === 0) while (undo.length > 0) undo.pop()!();
  };
}

function replace(holder: object, name: string, value: unknown): void {
  const before = Object.getOwnPropertyDescriptor(holder, name);
  Object.defineProperty(holder, name, { value, configurable: true, writable: true });
  undo.push(() => {
    // Without a descriptor the name came from a prototype.
    if (before === undefined) Reflect.deleteProperty(holder, name);
    else Object.defineProperty(holder, name, before);
  });
}

function forbid(holder: object, name: string): void {
  replace(holder, name, () => {
    throw new Error(`The simulated world forbids ${name}: take it from the Host`);
  });
}

function forbidClock(): void {
  const RealDate = Date;
  forbid(RealDate, 'now');
  // Dates made from a given time are fine, "now" is not.
  const GuardedDate = new Proxy(RealDate, {
    construct(target, args) {
      if (args.length === 0) {
        throw new Error('The simulated world forbids new Date(): take the time from the Host');
      }
      return Reflect.construct(target, args);
    },
  });
  replace(globalThis, 'Date', GuardedDate);
}
