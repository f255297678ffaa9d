/** Both sides say this first; another version is refused before any call. */
export const RPC_PROTOCOL = 'holdfast-rpc';
export const RPC_VERSION = 1;
