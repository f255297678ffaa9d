/** patch: a merge patch or a JSON patch, as JSON or YAML. */
import { KINDS } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import { MANIFEST_BYTES_MAX, readManifestFile } from '#control/kube/mod.ts';
import type { ObjectPatch } from '#control/kube/mod.ts';
import { resolve } from 'node:path/posix';
import { parse } from 'yaml';
import { withCluster } from './cluster-client.ts';
import type { ClusterOption } from './cluster-client.ts';
import type { CliContext } from './context.ts';
import { EXIT_OK } from './exit-codes.ts';
import { nameOne, scopedName } from './named-objects.ts';

export const PATCH_TYPES = ['merge', 'json'] as const;

export interface PatchOptions extends ClusterOption {
  readonly namespace?: string | undefined;
  readonly patch?: string | undefined;
  readonly patchFile?: string | undefined;
  readonly type?: string | undefined;
}

export async function runPatch(
  context: CliContext,
  kindText: string,
  nameText: string | undefined,
  options: PatchOptions,
): Promise<number> {
  const { kind, name } = nameOne(kindText, nameText);
  const key = scopedName(kind, name, options.namespace);
  const patch = parsePatch(await readPatch(context, options), options.type ?? 'merge');
  return withCluster(context, options, async (cluster) => {
    const before = await cluster.get(kind, key);
    const after = await cluster.api.patch(kind, key, patch);
    const isSame = before.metadata.resourceVersion === after.metadata.resourceVersion;
    context.out(`${KINDS[kind].plural}/${key.name} patched${isSame ? ' (no change)' : ''}`);
    return EXIT_OK;
  });
}

async function readPatch(context: CliContext, options: PatchOptions): Promise<string> {
  const { patch, patchFile } = options;
  if ((patch === undefined) === (patchFile === undefined)) {
    throw new HoldfastError('invalid-argument', 'One patch is needed', {
      details: {
        field: '--patch',
        value: patch ?? '',
        remedy: `Give --patch '{"spec":{...}}', or else --patch-file FILE`,
      },
    });
  }
  if (patch !== undefined) return patch;
  if (patchFile === '-') return context.readInput(MANIFEST_BYTES_MAX);
  return readManifestFile(context.host.disk, resolve(context.cwd, patchFile ?? ''));
}

function parsePatch(text: string, type: string): ObjectPatch {
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 0 });
  } catch {
    throw malformed(text, 'Patch is neither JSON nor YAML', 'Quote it as one word of the shell');
  }
  if (type === 'json') {
    if (Array.isArray(value)) return value as ObjectPatch;
    const example = '[{"op":"replace","path":"/spec/size","value":"2Gi"}]';
    throw malformed(text, 'A JSON patch is a list', `As ${example}; or use --type merge`);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as ObjectPatch;
  }
  const remedy = `As {"spec":{"size":"2Gi"}}${Array.isArray(value) ? '; or use --type json' : ''}`;
  throw malformed(text, 'A merge patch is a map', remedy);
}

function malformed(text: string, message: string, remedy: string): HoldfastError {
  return new HoldfastError('invalid-argument', message, {
    details: { field: '--patch', value: text.slice(0, 80), remedy },
  });
}
