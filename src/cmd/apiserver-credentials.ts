/** Certificates, token and kubeconfig of the API server, in its directory; all of mode 0600. */
import type { Clock, Disk, Rng, TlsIdentity } from '#host/mod.ts';
import { readWholeFile, replaceWholeFile } from '#host/mod.ts';
import type { Authority } from '#host/node/mod.ts';
import { createAuthority, createServerIdentity, readCertificate } from '#host/node/mod.ts';
import { decodeText, encodeText, formatHex } from '#lib/mod.ts';
import { stringify } from 'yaml';

export interface CredentialOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly directory: string;
}

export interface Credentials {
  readonly authority: Authority;
  readonly token: string;
}

const DAY_MS = 86_400_000;
const AUTHORITY_DAYS = 3_650;
const SERVER_DAYS = 90;
/** A new certificate well before the old one runs out. */
export const RENEW_MS = 30 * DAY_MS;
/** Clocks of clients may be behind. */
const SLACK_MS = DAY_MS;

/** What is there is kept; an authority that is about to run out is replaced with its kubeconfig. */
export async function ensureCredentials(options: CredentialOptions): Promise<Credentials> {
  const { clock, directory, rng } = options;
  await options.disk.makeDirectory(directory);
  const nowMs = clock.wallMs();
  let certificate = await readOrNothing(options, 'ca.crt');
  let key = await readOrNothing(options, 'ca.key');
  const facts = certificate === undefined ? undefined : readCertificate(certificate);
  const isGood = facts !== undefined && facts.validUntilMs > nowMs + RENEW_MS;
  if (certificate === undefined || key === undefined || !isGood) {
    const until = { fromMs: nowMs - SLACK_MS, untilMs: nowMs + AUTHORITY_DAYS * DAY_MS };
    ({ certificate, key } = createAuthority('holdfast-apiserver', until));
    await write(options, 'ca.key', key);
    await write(options, 'ca.crt', certificate);
  }
  let token = (await readOrNothing(options, 'token'))?.trim() ?? '';
  if (token.length < 32) {
    token = formatHex(rng.bytes(32));
    await write(options, 'token', `${token}\n`);
  }
  return { authority: { certificate, key }, token };
}

/** A fresh one with every start: its key is never on disk. */
export function createServerTls(authority: Authority, clock: Clock): TlsIdentity {
  const nowMs = clock.wallMs();
  return createServerIdentity(authority, ['localhost', '127.0.0.1'], {
    fromMs: nowMs - SLACK_MS,
    untilMs: nowMs + SERVER_DAYS * DAY_MS,
  });
}

export async function writeKubeconfig(
  disk: Disk,
  path: string,
  { authority, token }: Credentials,
  port: number,
): Promise<void> {
  const name = 'holdfast';
  const data = Buffer.from(authority.certificate).toString('base64');
  const cluster = { server: `https://127.0.0.1:${port}`, 'certificate-authority-data': data };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster }],
    users: [{ name, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: name, namespace: 'default' } }],
    'current-context': name,
  };
  await replaceWholeFile(disk, path, encodeText(stringify(config)));
}

async function readOrNothing(
  { disk, directory }: CredentialOptions,
  name: string,
): Promise<string | undefined> {
  const bytes = await readWholeFile(disk, `${directory}/${name}`);
  return bytes === undefined ? undefined : decodeText(bytes);
}

async function write(
  { disk, directory }: CredentialOptions,
  name: string,
  text: string,
): Promise<void> {
  await replaceWholeFile(disk, `${directory}/${name}`, encodeText(text));
}
