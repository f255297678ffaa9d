/** The words in which a served kind is described: its schema, its columns and its rules. */

export type JsonObject = Readonly<Record<string, unknown>>;

/** A CEL rule, as CRDs have it: `self`, and `oldSelf` for rules about updates. */
export interface ValidationRule {
  readonly rule: string;
  readonly message: string;
  readonly fieldPath?: string;
  readonly reason?: string;
}

/** Structural schema as a CRD has it (OpenAPI v3 subset), with Kubernetes' extensions. */
export interface Schema {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  readonly description?: string;
  readonly format?: string;
  readonly nullable?: boolean;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema;
  readonly items?: Schema;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  /** Value validation only. */
  readonly oneOf?: readonly Schema[];
  /** Value validation only. */
  readonly anyOf?: readonly Schema[];
  readonly 'x-kubernetes-preserve-unknown-fields'?: true;
  readonly 'x-kubernetes-int-or-string'?: true;
  readonly 'x-kubernetes-embedded-resource'?: true;
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-map-type'?: 'atomic' | 'granular';
  readonly 'x-kubernetes-validations'?: readonly ValidationRule[];
  /** Built-in kinds: as Kubernetes' own OpenAPI names them, for kubectl's strategic merge. */
  readonly 'x-kubernetes-patch-strategy'?: string;
  readonly 'x-kubernetes-patch-merge-key'?: string;
}

export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date';
  readonly format?: string;
  readonly description: string;
  /** 0 is always shown, 1 with `-o wide`. */
  readonly priority: number;
  /** JSONPath for CRDs; built-in kinds print by function. */
  readonly jsonPath?: string;
  readonly cell?: (object: JsonObject, nowMs: number) => string | number | boolean | null;
}

/** One cause in the details of a `Status`. */
export interface FieldProblem {
  readonly reason:
    | 'FieldValueInvalid'
    | 'FieldValueRequired'
    | 'FieldValueNotSupported'
    | 'FieldValueForbidden'
    | 'FieldValueDuplicate'
    | 'FieldValueTypeInvalid'
    | 'FieldValueTooLong'
    | 'FieldValueTooMany';
  readonly field: string;
  readonly message: string;
}

export interface Resource {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly listKind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly isNamespaced: boolean;
  readonly hasStatus: boolean;
  /** CRD-like: no strategic merge, field validation of a CRD. */
  readonly isCustom: boolean;
  /** Whole object, apiVersion, kind and metadata included. */
  readonly schema: Schema;
  readonly columns: readonly PrinterColumn[];
  /** The generation counts every change outside metadata and status; built-ins may have none. */
  readonly hasGeneration: boolean;
  /**
   * Beyond the schema: cross-field and update rules that Kubernetes or we check. `before` is absent
   * on create.
   */
  readonly check?: (after: JsonObject, before: JsonObject | undefined) => readonly FieldProblem[];
  /** Fields that the server sets on create beyond schema defaults. */
  readonly prepare?: (object: JsonObject) => JsonObject;
}
