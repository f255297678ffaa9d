/**
 * Following one write through the parts of a running volume (`holdfast volume trace`). A trace
 * waits at the bottom, the next frontend that submits a write takes it, and it travels with the
 * request. When nothing is traced this costs a look at a null.
 */
import type { BlockDevice, BlockRequest } from './mod.ts';

export interface RequestTrace {
  /** `place` is the folder of the part that speaks, as ARCHITECTURE.md names it. */
  add(place: string, step: string, fields?: Readonly<Record<string, string | number>>): void;
}

export interface TraceSwitch {
  /** For the next write. */
  next: RequestTrace | null;
}

/** Called by a frontend right before it submits. */
export function beginTrace(
  device: BlockDevice,
  request: BlockRequest,
  place: string,
  protocol: string,
): void {
  const { traces } = device;
  if (traces === undefined || traces.next === null || request.verb !== 'write') return;
  request.trace = traces.next;
  traces.next = null;
  const { offsetBytes, lengthBytes } = request;
  request.trace.add(place, 'received', { protocol, offsetBytes, lengthBytes });
}
