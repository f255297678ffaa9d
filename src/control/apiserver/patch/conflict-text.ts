/** How kube-apiserver tells of conflicts: the message of a Status and its causes. */
import type { Conflict, Owner } from './ownership.ts';
import { formatPath } from './path-element.ts';

export interface ConflictCause {
  readonly reason: 'FieldManagerConflict';
  readonly message: string;
  readonly field: string;
}

export function formatConflicts(conflicts: readonly Conflict[]): {
  readonly message: string;
  readonly causes: readonly ConflictCause[];
} {
  const causes = conflicts.map(({ owner, path }) => ({
    reason: 'FieldManagerConflict' as const,
    message: `conflict with ${formatOwner(owner)}`,
    field: formatPath(path),
  }));
  const [only] = causes;
  if (only !== undefined && causes.length === 1) {
    const message = `Apply failed with 1 conflict: ${only.message}: ${only.field}`;
    return { message, causes };
  }
  const lines: string[] = [];
  let last: Owner | undefined;
  for (const { owner, path } of conflicts) {
    if (owner !== last) lines.push(`conflicts with ${formatOwner(owner)}:`);
    lines.push(`- ${formatPath(path)}`);
    last = owner;
  }
  const message = `Apply failed with ${conflicts.length} conflicts: ${lines.join('\n')}`;
  return { message, causes };
}

function formatOwner({ manager, operation, apiVersion, subresource }: Owner): string {
  const name = JSON.stringify(manager);
  const place =
    subresource === '' ? name : `${name} with subresource ${JSON.stringify(subresource)}`;
  return operation === 'Update' ? `${place} using ${apiVersion}` : place;
}
