/** PATCH: which dialect, and what it makes of the object that is there. */
import type { JsonObject } from '#api/resources/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import { decodeText } from '#lib/mod.ts';
import { decodeObject } from './admission.ts';
import { metaOf, withMeta } from './catalog.ts';
import { ApiFailure, applyConflict, badRequest, unsupportedMediaType } from './failure.ts';
import { groupVersion } from './names.ts';
import { contentTypeOf, goJsonProblem, parseYaml } from './negotiate.ts';
import {
  applyJsonPatch,
  applyMergePatch,
  applyStrategicPatch,
  formatConflicts,
  PatchTestFailed,
  serverSideApply,
} from './patch/mod.ts';
import { flagOf, invalidOptions, writeOptionsOf } from './request.ts';
import type { ResourceRequest, WriteOptions } from './request.ts';
import { demandManager } from './writes.ts';
import type { Writer, Written } from './writes.ts';

const JSON_PATCH = 'application/json-patch+json';
const MERGE_PATCH = 'application/merge-patch+json';
const STRATEGIC_PATCH = 'application/strategic-merge-patch+json';
const APPLY_PATCH = 'application/apply-patch+yaml';

export function patchObject(writer: Writer, to: ResourceRequest): Written {
  const { request, resource } = to;
  const type = contentTypeOf(request.headers['content-type']);
  const accepted = resource.isCustom
    ? [JSON_PATCH, MERGE_PATCH, APPLY_PATCH]
    : [JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH];
  if (!accepted.includes(type)) throw unsupportedMediaType(accepted);
  const options = writeOptionsOf(request, 'PatchOptions');
  const text = decodeText(request.body);
  if (type === APPLY_PATCH) return applyConfiguration(writer, to, options, text);
  if (flagOf(request.query, 'force') !== undefined) {
    const message = 'Forbidden: may not be specified for non-apply patch';
    throw invalidOptions('PatchOptions', 'FieldValueForbidden', 'force', message);
  }
  const patch = parsePatch(text);
  return writer.patch(
    to,
    options,
    (before) =>
      before === undefined
        ? undefined
        : { object: applyPatch(to, type, before, patch), isTracked: false },
    { kind: 'patch', text, isStrategic: type === STRATEGIC_PATCH },
  );
}

function applyPatch(
  to: ResourceRequest,
  type: string,
  before: JsonObject,
  patch: unknown,
): unknown {
  try {
    if (type === JSON_PATCH) {
      if (!Array.isArray(patch)) throw notAPatchList(patch);
      return applyJsonPatch(before, patch);
    }
    if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) {
      throw badRequest(
        `error decoding patch: json: cannot unmarshal ${jsonKindOf(patch)} into Go value of type ` +
          'map[string]interface {}',
      );
    }
    if (type === MERGE_PATCH) return applyMergePatch(before, patch);
    return applyStrategicPatch(before, patch, to.resource.schema);
  } catch (error) {
    if (error instanceof PatchTestFailed) throw unprocessable();
    if (HoldfastError.is(error)) throw badRequest(error.message);
    throw error;
  }
}

function parsePatch(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw badRequest(`error decoding patch: ${goJsonProblem(error)}`);
  }
}

function jsonKindOf(value: unknown): string {
  return Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value;
}

function notAPatchList(patch: unknown): ApiFailure {
  return badRequest(
    `error decoding patch: json: cannot unmarshal ${jsonKindOf(patch)} into Go value of type ` +
      '[]handlers.jsonPatchOp',
  );
}

/** What kube-apiserver answers when a JSON patch does not fit the object. */
function unprocessable(): ApiFailure {
  const message = 'the server rejected our request due to an error in our request';
  return new ApiFailure(422, 'Invalid', message, {});
}

function applyConfiguration(
  writer: Writer,
  to: ResourceRequest,
  options: WriteOptions,
  text: string,
): Written {
  const { request, resource, name, subresource } = to;
  demandManager(request.query);
  const origin = { kind: 'apply' } as const;
  const { fieldValidation } = options;
  const decoded = decodeObject(resource, parseYaml(text), {
    fieldValidation,
    origin,
    warnings: to.warnings,
  });
  if (metaOf(decoded).managedFields !== undefined) {
    throw badRequest('metadata.managedFields must be nil');
  }
  const applied = withMeta(decoded, {
    name: metaOf(decoded).name ?? name,
    ...(resource.isNamespaced ? { namespace: metaOf(decoded).namespace ?? to.namespace } : {}),
  });
  if (metaOf(applied).name !== name) {
    throw badRequest(
      `the name of the object (${metaOf(applied).name}) does not match the name on the ` +
        `URL (${name})`,
    );
  }
  return writer.patch(
    to,
    options,
    (live) => {
      // A status alone makes no object.
      if (live === undefined && subresource !== '') return undefined;
      const { object, conflicts } = serverSideApply({
        live,
        applied,
        manager: options.fieldManager,
        force: flagOf(request.query, 'force') ?? false,
        schema: resource.schema,
        apiVersion: groupVersion(resource),
        subresource,
        now: writer.now(),
      });
      if (conflicts.length === 0) return { object, isTracked: true };
      const { message, causes } = formatConflicts(conflicts);
      throw applyConflict(message, causes);
    },
    origin,
  );
}
