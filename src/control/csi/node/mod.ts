/** The node service: mounts what the engine of its node serves. It asks no API server. */
export { createNodeService } from './node-service.ts';
