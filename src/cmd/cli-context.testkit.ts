/** The real command line's surroundings, for tests that put something of their own in a place. */
export { createApiClient } from './api-client.ts';
export { createContext } from './cli-context.ts';
