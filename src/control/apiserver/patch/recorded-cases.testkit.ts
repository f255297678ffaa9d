/**
 * Cases whose outcome Kubernetes' own code gave, in fixtures/*.json.gz (one case a line).
 *
 * They were made by a Go program over k8s.io/apimachinery v0.36.3 (managedfields'
 * NewDefaultCRDFieldManager, with structured-merge-diff v6.4.0; strategicpatch on v1.Pod) and
 * gopkg.in/evanphx/json-patch.v4 v4.13.0, the versions of kube-apiserver 1.36. A generator with a
 * seed made random objects for the schemas that stand in the fixtures, asked the program for the
 * result of each step, and built the next step on it. Times that the program wrote are replaced by
 * the step's `stamp`. In an `apply` case a step begins with the object that the last one left, with
 * `uid` put into it where the case says so (what the store does after a create), or with `live`.
 */
import type { JsonObject, Schema } from '#api/resources/mod.ts';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

export interface PatchCase {
  readonly object: unknown;
  readonly patch: unknown;
  readonly result?: unknown;
  readonly error?: string;
}

export interface ApplyStep {
  readonly op: 'apply' | 'update';
  readonly live?: JsonObject;
  readonly object: JsonObject;
  readonly manager: string;
  readonly force: boolean;
  readonly subresource: string;
  readonly stamp: string;
  readonly uid?: string;
  readonly result?: JsonObject;
  readonly error?: string;
  /** Kubernetes lists them in no order. */
  readonly causes?: readonly { reason: string; message: string; field: string }[];
}

interface Recorded<Case> {
  readonly schema: Schema;
  readonly cases: readonly Case[];
}

export function readApplyCases(): Recorded<readonly ApplyStep[]> {
  return read('apply') as Recorded<readonly ApplyStep[]>;
}

export function readPatchCases(name: 'strategic' | 'json' | 'merge'): Recorded<PatchCase> {
  return read(`${name}-patch`) as Recorded<PatchCase>;
}

function read(name: string): unknown {
  const file = new URL(`fixtures/${name}.json.gz`, import.meta.url);
  return JSON.parse(gunzipSync(readFileSync(file)).toString('utf8'));
}
