/**
 * The operator: one folder per kind, each observe (facts) → plan (pure, actions as values) → apply.
 * It acts through the engine and node RPC and never touches data itself.
 *
 * Invariants
 * - *No stuck object without a reason*: every wait is a condition with reason and message.
 * - *Never delete the last copy*: a replica's data goes with its whole volume, or after the nexus
 *   has
 *   committed its removal while others are in sync.
 * - *Never format what may hold data*: `mayFormat` only where every in-sync replica says it is
 *   empty.
 * - Objects are a view: with every status gone, the same is found again from what replicas report.
 */
export type { Caller, NodeAccess } from './cluster-observer.ts';
export { createControllerHandlers } from './controller-handlers.ts';
export type { ControllerInfo } from './controller-handlers.ts';
export { Operator } from './operator.ts';
export type { OperatorOptions } from './operator.ts';
export { createVoteHandlers } from './vote.ts';
