import { HoldfastError, type AddressText } from '#api/mod.ts';
import type { Address } from '#host/mod.ts';

/** The kernel's sun_path holds 108 bytes; some tools stop at 100. */
export const SOCKET_PATH_BYTES_MAX = 100;

/** `unix:/path` or `tcp:host:port`; anything else is `invalid-argument`. */
export function parseAddress(text: AddressText): Address {
  if (text.startsWith('unix:/')) return { kind: 'unix', path: text.slice('unix:'.length) };
  const match = /^tcp:(\[[0-9a-fA-F:]+\]|[^:[\]]+):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match?.[1] !== undefined && port <= 65_535) {
    return { kind: 'tcp', host: match[1].replace(/^\[|\]$/g, ''), port };
  }
  throw new HoldfastError('invalid-argument', 'Address is malformed', {
    details: {
      field: 'address',
      value: text.slice(0, 120),
      remedy: 'Use unix:/path or tcp:host:port',
    },
  });
}

export function formatAddress(address: Address): AddressText {
  if (address.kind === 'unix') return `unix:${address.path}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `tcp:${host}:${address.port}`;
}
