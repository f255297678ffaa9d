/** What a structural schema is used for: defaults, unknown fields, validation, documents. */
export { applyDefaults } from './apply-defaults.ts';
export { dropUnknown } from './drop-unknown.ts';
export { toCrd } from './crd.ts';
export { toOpenApi } from './open-api.ts';
export { uncheckedRules } from './unchecked-rules.ts';
export { validate } from './validate.ts';
