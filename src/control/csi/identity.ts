import { PROVISIONER } from '#api/mod.ts';
import type { IdentityCalls, Service } from './messages.ts';

export interface IdentityOptions {
  readonly version: string;
  /** Whether the other services of the socket can do their work now. */
  readonly isReady: () => boolean;
}

export function createIdentityService(options: IdentityOptions): Service<IdentityCalls> {
  return {
    GetPluginInfo: async () => ({ name: PROVISIONER, vendorVersion: options.version }),
    GetPluginCapabilities: async () => ({
      capabilities: [
        { service: { type: 'CONTROLLER_SERVICE' } },
        { volumeExpansion: { type: 'ONLINE' } },
      ],
    }),
    Probe: async () => ({ ready: { value: options.isReady() } }),
  };
}
