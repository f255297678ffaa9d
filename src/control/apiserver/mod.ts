/**
 * The API server of an embedded cluster: the Kubernetes REST dialect over an object store. Requests
 * and responses are values (`ApiServer.handle`); `serveApi` puts HTTP before it.
 */
export { ApiServer } from './api-server.ts';
export type { ApiServerOptions } from './api-server.ts';
export { serveApi } from './http-face.ts';
export type { HttpFaceOptions } from './http-face.ts';
export { MemoryStore } from './memory-store.ts';
export type { ObjectStore } from './object-store.ts';
export type { ApiRequest, ApiResponse } from './request.ts';
export { openSqliteStore } from './sqlite-store.ts';
