/**
 * Every kind that the API server serves: its names, its schema, its columns and its rules. Pure
 * data and pure functions, without a server.
 */
export type {
  FieldProblem,
  JsonObject,
  PrinterColumn,
  Resource,
  Schema,
  ValidationRule,
} from './resource.ts';
export { findResource, RESOURCES } from './table.ts';
export { namedTypeOf } from './fields.ts';
export { compareQuantities, isQuantity, parseQuantity, QUANTITY_RULE } from './quantity.ts';
export * from './schema/mod.ts';
