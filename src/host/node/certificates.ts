/**
 * X.509 certificates (RFC 5280) of an authority of one's own, ECDSA over P-256. node:crypto makes
 * the keys and the signatures; it only lacks the envelope.
 */
import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { isIPv4 } from 'node:net';
import type { TlsIdentity } from '../mod.ts';
import { bits, der, integer, octets, oid, sequence, setOf, time, truth, utf8 } from './der.ts';

/** An authority is a certificate that may sign others, and its key. */
export type Authority = TlsIdentity;

export interface Validity {
  readonly fromMs: number;
  readonly untilMs: number;
}

const ECDSA_SHA256 = sequence(oid('1.2.840.10045.4.3.2'));
const BASIC_CONSTRAINTS = '2.5.29.19';
const KEY_USAGE = '2.5.29.15';
const EXTENDED_USAGE = '2.5.29.37';
const ALTERNATIVE_NAMES = '2.5.29.17';
const SUBJECT_KEY = '2.5.29.14';
const AUTHORITY_KEY = '2.5.29.35';
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
/** Bits from the left: digitalSignature 0, keyCertSign 5, cRLSign 6. */
const SIGN_CERTIFICATES = bits(Uint8Array.of(0b0000_0110), 1);
const SIGN_HANDSHAKES = bits(Uint8Array.of(0b1000_0000), 7);

export function createAuthority(commonName: string, validity: Validity): Authority {
  const { publicKey, privateKey } = newKeys();
  const keyId = keyIdOf(publicKey);
  const certificate = signCertificate({
    subject: commonName,
    issuer: commonName,
    validity,
    publicKey,
    signer: privateKey,
    extensions: [
      extension(BASIC_CONSTRAINTS, true, sequence(truth(true), integer(Uint8Array.of(0)))),
      extension(KEY_USAGE, true, SIGN_CERTIFICATES),
      extension(SUBJECT_KEY, false, octets(keyId)),
    ],
  });
  return { certificate, key: formatKey(privateKey) };
}

/** `names` are DNS names and IPv4 addresses. */
export function createServerIdentity(
  authority: Authority,
  names: readonly string[],
  validity: Validity,
): TlsIdentity {
  const { publicKey, privateKey } = newKeys();
  const parent = new X509Certificate(authority.certificate);
  const commonName = names[0] ?? '';
  const certificate = signCertificate({
    subject: commonName,
    issuer: /CN=(.*)/.exec(parent.subject)?.[1] ?? '',
    validity,
    publicKey,
    signer: createPrivateKey(authority.key),
    extensions: [
      extension(BASIC_CONSTRAINTS, true, sequence()),
      extension(KEY_USAGE, true, SIGN_HANDSHAKES),
      extension(EXTENDED_USAGE, false, sequence(oid(SERVER_AUTH))),
      extension(ALTERNATIVE_NAMES, false, sequence(...names.map(alternativeName))),
      extension(AUTHORITY_KEY, false, sequence(der(0x80, keyIdOf(parent.publicKey)))),
    ],
  });
  return { certificate, key: formatKey(privateKey) };
}

export interface CertificateFacts {
  readonly validUntilMs: number;
  readonly isSignedBy: (authority: string) => boolean;
}

/** Undefined when the text is no certificate. */
export function readCertificate(pem: string): CertificateFacts | undefined {
  try {
    const certificate = new X509Certificate(pem);
    return {
      validUntilMs: certificate.validToDate.getTime(),
      isSignedBy: (authority) => certificate.verify(new X509Certificate(authority).publicKey),
    };
  } catch {
    return undefined;
  }
}

interface Draft {
  readonly subject: string;
  readonly issuer: string;
  readonly validity: Validity;
  readonly publicKey: KeyObject;
  readonly signer: KeyObject;
  readonly extensions: readonly Uint8Array[];
}

/** RFC 5280 4.1: TBSCertificate, algorithm, signature. */
function signCertificate(draft: Draft): string {
  // 4.1.2.2: positive, unique, at most 20 octets.
  const serial = Uint8Array.of(0x40 | ((randomBytes(1)[0] ?? 0) & 0x3f), ...randomBytes(15));
  const unsigned = sequence(
    der(0xa0, integer(Uint8Array.of(2))),
    integer(serial),
    ECDSA_SHA256,
    distinguishedName(draft.issuer),
    sequence(time(draft.validity.fromMs), time(draft.validity.untilMs)),
    distinguishedName(draft.subject),
    spkiOf(draft.publicKey),
    der(0xa3, sequence(...draft.extensions)),
  );
  const signature = sign('sha256', unsigned, draft.signer);
  const base64 = Buffer.from(sequence(unsigned, ECDSA_SHA256, bits(signature))).toString('base64');
  const lines = base64.match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function extension(id: string, isCritical: boolean, value: Uint8Array): Uint8Array {
  return sequence(oid(id), ...(isCritical ? [truth(true)] : []), octets(value));
}

function distinguishedName(commonName: string): Uint8Array {
  return sequence(setOf(sequence(oid('2.5.4.3'), utf8(commonName))));
}

/** 4.2.1.6: dNSName is [2], iPAddress [7]. */
function alternativeName(name: string): Uint8Array {
  if (isIPv4(name)) return der(0x87, Uint8Array.from(name.split('.').map(Number)));
  return der(0x82, Buffer.from(name));
}

function newKeys(): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

function spkiOf(key: KeyObject): Uint8Array {
  return key.export({ type: 'spki', format: 'der' });
}

/** Any stable digest of the key will do (4.2.1.2). */
function keyIdOf(key: KeyObject): Uint8Array {
  return createHash('sha256').update(spkiOf(key)).digest().subarray(0, 20);
}

function formatKey(key: KeyObject): string {
  return String(key.export({ type: 'pkcs8', format: 'pem' }));
}
