import { createHash } from 'node:crypto';

/** The volume through which a node reads a frozen one. */
export function viewIdOf(volume: string, node: string): string {
  const hash = createHash('sha256').update(`${volume} ${node}`).digest('hex');
  return `view-${hash.slice(0, 20)}`;
}
