/** Contracts between processes and with users: pure values, errors and schemas. */
export * from './errors.ts';
export * from './ids.ts';
export * from './membership.ts';
export * from './replica-values.ts';
export * from './space-ledger.ts';
export * from './nexus-status.ts';
export * from './engine-rpc.ts';
export * from './controller-rpc.ts';
export * from './forecast.ts';
export * from './provisioner.ts';
