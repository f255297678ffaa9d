/**
 * The objects of an embedded cluster as YAML files: DIR/<kind>/<namespace>.<name>.yaml (without the
 * namespace for cluster-scoped kinds). Each is replaced atomically: written beside, synced,
 * renamed, directory synced. A file that cannot be read stops the start: a missing object would be
 * made anew, and with it an empty volume.
 */
import type { AnyObject, KindName } from '#api/kinds/mod.ts';
import { invalidObject, KIND_NAMES, parseObject } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import type { Disk } from '#host/mod.ts';
import { decodeText, encodeText } from '#lib/mod.ts';
import { parse, stringify } from 'yaml';
import { formatKey, keyOf } from './client.ts';

const SUFFIX = '.yaml';
const TEMPORARY_SUFFIX = '.new';
const FILE_NAME_BYTES_MAX = 255 - `.${SUFFIX}${TEMPORARY_SUFFIX}`.length;

export class ObjectFiles {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #readyDirectories = new Set<string>();

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
  }

  async load(): Promise<AnyObject[]> {
    const objects: AnyObject[] = [];
    for (const kind of KIND_NAMES) {
      const directory = this.#directoryOf(kind);
      if ((await this.#disk.stat(directory)) === undefined) continue;
      for (const name of await this.#disk.list(directory)) {
        if (name.endsWith(TEMPORARY_SUFFIX)) await this.#disk.remove(`${directory}/${name}`);
        if (!name.endsWith(SUFFIX)) continue;
        objects.push(await this.#read(kind, `${directory}/${name}`));
      }
    }
    return objects;
  }

  async save(object: AnyObject): Promise<void> {
    refuseLongName(object);
    const directory = this.#directoryOf(object.kind);
    if (!this.#readyDirectories.has(directory)) {
      await this.#disk.makeDirectory(directory);
      await this.#disk.syncDirectory(this.#directory);
      this.#readyDirectories.add(directory);
    }
    const path = this.#pathOf(object);
    await writeFileAtomically(this.#disk, path, encodeText(stringify(object, { lineWidth: 0 })));
  }

  async remove(object: AnyObject): Promise<void> {
    await this.#disk.remove(this.#pathOf(object));
    await this.#disk.syncDirectory(this.#directoryOf(object.kind));
  }

  async #read(kind: KindName, path: string): Promise<AnyObject> {
    const remedy = 'Restore the file from a backup, or repair it by hand';
    let object: AnyObject;
    try {
      object = parseObject(parse(decodeText(await readWholeFile(this.#disk, path))));
    } catch (cause) {
      throw new HoldfastError('store-corrupt', 'Object file cannot be read', {
        details: { path, remedy },
        cause,
      });
    }
    if (object.kind === kind && this.#pathOf(object) === path) return object;
    throw new HoldfastError('store-corrupt', 'Object file holds another object', {
      details: { path, holds: `${object.kind} ${formatKey(keyOf(object))}`, remedy },
    });
  }

  #directoryOf(kind: KindName): string {
    return `${this.#directory}/${kind.toLowerCase()}`;
  }

  #pathOf(object: AnyObject): string {
    const { name, namespace } = object.metadata;
    const file = namespace === undefined ? name : `${namespace}.${name}`;
    return `${this.#directoryOf(object.kind)}/${file}${SUFFIX}`;
  }
}

/** A file name has 255 bytes, and namespace, suffix and `.new` are part of it. */
function refuseLongName(object: AnyObject): void {
  const { name, namespace = '' } = object.metadata;
  const nameMax = FILE_NAME_BYTES_MAX - namespace.length;
  if (name.length <= nameMax) return;
  const remedy = `Use at most ${nameMax} characters in this namespace`;
  throw invalidObject('metadata.name', name, 'Name is too long for a file', remedy);
}

export async function readWholeFile(disk: Disk, path: string): Promise<Uint8Array> {
  const file = await disk.open(path, { write: false });
  try {
    const { sizeBytes } = await file.stat();
    return sizeBytes === 0 ? new Uint8Array(0) : await file.read(0, sizeBytes);
  } finally {
    await file.close();
  }
}

/** Old contents or new, never between; durable when it resolves. One writer a path. */
export async function writeFileAtomically(
  disk: Disk,
  path: string,
  bytes: Uint8Array,
): Promise<void> {
  const temporary = `${path}${TEMPORARY_SUFFIX}`;
  await disk.remove(temporary);
  const file = await disk.open(temporary, { write: true, create: 'new' });
  try {
    await file.write(0, bytes);
    await file.flush();
  } finally {
    await file.close();
  }
  await disk.rename(temporary, path);
  await disk.syncDirectory(path.slice(0, path.lastIndexOf('/')));
}
