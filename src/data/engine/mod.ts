/**
 * What runs on a node: pools, replicas, attached volumes with their frontends, and the RPC that
 * commands them (api/engine-rpc.ts). The controller decides what should exist; the engine knows
 * only how.
 */
export { Engine } from './engine.ts';
export type { EngineOptions } from './engine.ts';
export type { VolumeHandlers, VolumeMethods, VolumeRunner } from './volume-methods.ts';
export { VolumeService } from './volume-service.ts';
export type { VolumeSettings } from './volume-service.ts';
