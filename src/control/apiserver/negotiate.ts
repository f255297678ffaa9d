/** Which form of an answer a client accepts, and which form its body has. */
import { parse } from 'yaml';
import { decodeKubeProtobuf, KUBE_PROTOBUF } from './kube-protobuf.ts';
import { badRequest, notAcceptable, unsupportedMediaType } from './failure.ts';

/** What an object or a list is turned into before it goes out. */
export type View = 'object' | 'Table' | 'PartialObjectMetadata' | 'PartialObjectMetadataList';

export interface AnswerForm {
  readonly encoding: 'json' | 'yaml';
  readonly view: View;
  /** Of the view: `meta.k8s.io/v1`. */
  readonly viewVersion: string;
  /** Of aggregated discovery: `v2`. */
  readonly discovery: string | undefined;
}

const ACCEPTED = ['application/json', 'application/yaml'] as const;

interface MediaType {
  readonly type: string;
  readonly parameters: Readonly<Record<string, string>>;
}

function parseMediaTypes(header: string): MediaType[] {
  const parsed = header.split(',').map((part, index) => {
    const [type = '', ...rest] = part.split(';').map((piece) => piece.trim());
    const parameters: Record<string, string> = {};
    for (const piece of rest) {
      const at = piece.indexOf('=');
      if (at > 0) parameters[piece.slice(0, at).trim()] = piece.slice(at + 1).trim();
    }
    return { type: type.toLowerCase(), parameters, index, weight: Number(parameters['q'] ?? 1) };
  });
  return parsed.sort((a, b) => b.weight - a.weight || a.index - b.index);
}

/** The first of the client's wishes that can be met; 406 when none can. */
export function chooseForm(accept: string | undefined): AnswerForm {
  const wishes = parseMediaTypes(accept === undefined || accept === '' ? '*/*' : accept);
  for (const { type, parameters } of wishes) {
    const encoding = encodingOf(type);
    if (encoding === undefined) continue;
    const form = formOf(encoding, parameters);
    if (form !== undefined) return form;
  }
  throw notAcceptable(ACCEPTED);
}

function encodingOf(type: string): AnswerForm['encoding'] | undefined {
  if (type === 'application/yaml') return 'yaml';
  const isJson = type === 'application/json' || type === '*/*' || type === 'application/*';
  return isJson ? 'json' : undefined;
}

function formOf(
  encoding: AnswerForm['encoding'],
  parameters: Readonly<Record<string, string>>,
): AnswerForm | undefined {
  const { as, g, v = '' } = parameters;
  const plain: AnswerForm = { encoding, view: 'object', viewVersion: '', discovery: undefined };
  if (as === undefined) return plain;
  if (as === 'APIGroupDiscoveryList') {
    return g === 'apidiscovery.k8s.io' && v === 'v2' ? { ...plain, discovery: v } : undefined;
  }
  const isView =
    as === 'Table' || as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList';
  if (!isView || g !== 'meta.k8s.io' || (v !== 'v1' && v !== 'v1beta1')) return undefined;
  return { ...plain, view: as, viewVersion: `${g}/${v}` };
}

export function contentTypeOf(header: string | undefined): string {
  const type = (header ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  return type === '' ? 'application/json' : type;
}

/** A body as JSON or YAML; `builtIn` is the built-in kind that it shall be of. */
export function parseBody(bytes: Uint8Array, contentType: string, builtIn?: string): unknown {
  if (contentType === KUBE_PROTOBUF) {
    const object = decodeKubeProtobuf(bytes);
    if (object !== undefined) return object;
    throw unsupportedMediaType(ACCEPTED);
  }
  const text = new TextDecoder().decode(bytes);
  if (contentType === 'application/json') return parseJson(text, builtIn);
  if (contentType === 'application/yaml') return parseYaml(text);
  throw unsupportedMediaType(ACCEPTED);
}

/** In Go's words where they differ most often: a text that ends too soon. */
export function goJsonProblem(error: unknown): string {
  const message = error instanceof Error ? error.message : '';
  const isCut = /end of (?:JSON|data)|Unterminated|double-quoted property name/i.test(message);
  return isCut ? 'unexpected end of JSON input' : message;
}

function parseJson(text: string, builtIn: string | undefined): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    const why = `couldn't get version/kind; json parse error: ${goJsonProblem(error)}`;
    if (builtIn === undefined) throw badRequest(why);
    throw badRequest(
      `the object provided is unrecognized (must be of type ${builtIn}): ${why} ` +
        `(${summaryOf(text)})`,
    );
  }
}

const SUMMARY_BYTES_MAX = 30;

/** The beginning of what was sent; as hexadecimal digits unless it begins like an object. */
function summaryOf(text: string): string {
  if (text === '') return '<empty>';
  const bytes = Buffer.from(text);
  const isLong = bytes.length > SUMMARY_BYTES_MAX;
  const start = bytes.subarray(0, SUMMARY_BYTES_MAX);
  return `${start.toString(text.startsWith('{') ? 'utf8' : 'hex')}${isLong ? ' ...' : ''}`;
}

/** One document; aliases are refused, since a few of them can stand for gigabytes. */
export function parseYaml(text: string): unknown {
  try {
    return parse(text, { maxAliasCount: 0 }) as unknown;
  } catch (error) {
    const why = error instanceof Error ? error.message : '';
    throw badRequest(`error converting YAML to JSON: ${why}`);
  }
}
