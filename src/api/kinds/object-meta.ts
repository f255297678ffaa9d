/** What every object has, as Kubernetes writes it. */
import { z } from 'zod';
import { readQuantity, readVolumeSize } from '../units.ts';

/** What a schema infers, for reading: values of the API are never changed in place. */
export type Frozen<Value> = Value extends string | number | boolean | null | undefined
  ? Value
  : { readonly [Key in keyof Value]: Frozen<Value[Key]> };

/** In a cluster's schema: a text such as 1Gi, or a number of bytes. */
const BYTES_META = {
  'x-kubernetes-int-or-string': true,
  pattern: '^[0-9]+(\\.[0-9]+)?([kMGTPE]|[KMGTPE]i)?$',
  maxLength: 32,
};

/** DNS-1123 label. */
export const LABEL_PATTERN = '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$';
const LABEL = new RegExp(LABEL_PATTERN);
const SUBDOMAIN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;

/** DNS-1123 label: the names of our kinds are ids too (paths and sockets are made from them). */
export const labelName = z
  .string()
  .regex(LABEL, 'must be 1 to 63 lower-case letters, digits and inner hyphens')
  .meta({ maxLength: 63 });
/** DNS-1123 subdomain: what Kubernetes allows for claims and classes. */
export const subdomainName = z
  .string()
  .max(253, 'must be at most 253 characters')
  .regex(SUBDOMAIN, 'must be lower-case letters, digits, inner hyphens and inner dots');

/** The same as a pattern: every segment is empty, or a name that is not `..`. */
const PATH_PATTERN =
  '^(/(|\\.|[^/.\\p{Cc}][^/\\p{Cc}]*|\\.[^/.\\p{Cc}][^/\\p{Cc}]*|\\.\\.[^/\\p{Cc}]+))+$';

/** Of a directory on a node. No control characters: they go into mount options, logs and tables. */
export const absolutePath = z
  .string()
  .max(1024, 'must be at most 1024 characters')
  .refine(
    (path) => path.startsWith('/') && !path.split('/').includes('..') && !/\p{Cc}/u.test(path),
    { message: 'must be an absolute path without .. and control characters' },
  )
  .meta({ pattern: PATH_PATTERN });

export const volumeSize = z
  .union([z.string(), z.number()])
  .check((context) => {
    const result = readVolumeSize(context.value);
    if (result.ok) return;
    context.issues.push({
      code: 'custom',
      input: context.value,
      message: result.problem,
      params: { remedy: result.remedy },
    });
  })
  .meta(BYTES_META);

export const segmentSize = z
  .union([z.string(), z.number()])
  .check((context) => {
    const result = readQuantity(context.value);
    const bytes = result.ok ? result.bytes : 0;
    const isPower = bytes >= 65_536 && bytes <= 1_073_741_824 && (bytes & (bytes - 1)) === 0;
    if (isPower) return;
    context.issues.push({
      code: 'custom',
      input: context.value,
      message: 'Segment size cannot be used',
      params: { remedy: 'Use a power of two from 64Ki to 1Gi' },
    });
  })
  .meta(BYTES_META);

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean | undefined;
  readonly blockOwnerDeletion?: boolean | undefined;
}

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string | undefined;
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly generation?: number | undefined;
  readonly creationTimestamp?: string | undefined;
  readonly deletionTimestamp?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly finalizers?: readonly string[] | undefined;
  readonly ownerReferences?: readonly OwnerReference[] | undefined;
}

export function metaSchema(name: z.ZodType<string>, isNamespaced: boolean) {
  return z.strictObject({
    name,
    ...(isNamespaced ? { namespace: labelName.optional() } : {}),
    uid: z.string().optional(),
    resourceVersion: z.string().optional(),
    generation: z.number().optional(),
    creationTimestamp: z.string().nullable().optional(),
    deletionTimestamp: z.string().nullable().optional(),
    deletionGracePeriodSeconds: z.number().nullable().optional(),
    labels: z.record(z.string(), z.string()).optional(),
    annotations: z.record(z.string(), z.string()).optional(),
    finalizers: z.array(z.string()).optional(),
    managedFields: z.array(z.unknown()).optional(),
    ownerReferences: z
      .array(
        z.strictObject({
          apiVersion: z.string(),
          kind: z.string(),
          name: z.string(),
          uid: z.string(),
          controller: z.boolean().optional(),
          blockOwnerDeletion: z.boolean().optional(),
        }),
      )
      .optional(),
  });
}
