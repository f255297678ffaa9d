/**
 * The attachments of this engine, remembered durably: an engine that was killed serves them again
 * before anyone asks, and a volume that moved meanwhile is left alone (volume-service.ts "resume").
 */
import { type AttachSpec, HoldfastError, isId, type VolumeId } from '#api/mod.ts';
import { ENGINE_CHECKS } from '#api/checks/mod.ts';
import { readWholeFile, replaceWholeFile, type Disk, type Log } from '#host/mod.ts';
import { decodeText, encodeText } from '#lib/mod.ts';

const SUFFIX = '.attachment.json';

export class AttachmentStore {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #log: Log;

  constructor(disk: Disk, directory: string, log: Log) {
    this.#disk = disk;
    this.#log = log;
    this.#directory = directory;
  }

  async load(): Promise<AttachSpec[]> {
    await this.#disk.makeDirectory(this.#directory);
    const names = await this.#disk.list(this.#directory);
    const specs = names.filter((name) => name.endsWith(SUFFIX)).map((name) => this.#read(name));
    return (await Promise.all(specs)).filter((spec) => spec !== undefined);
  }

  async put(spec: AttachSpec): Promise<void> {
    const bytes = encodeText(JSON.stringify(spec));
    await replaceWholeFile(this.#disk, this.#path(spec.volume), bytes);
  }

  async remove(volume: VolumeId): Promise<void> {
    await this.#disk.remove(this.#path(volume));
    await this.#disk.syncDirectory(this.#directory);
  }

  #path(volume: VolumeId): string {
    return `${this.#directory}/${volume}${SUFFIX}`;
  }

  async #read(name: string): Promise<AttachSpec | undefined> {
    const bytes = await readWholeFile(this.#disk, `${this.#directory}/${name}`);
    if (bytes === undefined || !isId(name.slice(0, -SUFFIX.length))) return undefined;
    try {
      return ENGINE_CHECKS['volume.attach'](JSON.parse(decodeText(bytes)), '');
    } catch (error) {
      if (!HoldfastError.is(error) && !(error instanceof SyntaxError)) throw error;
      this.#log.error('Attachment cannot be read: the controller will ask for it', { name, error });
      return undefined;
    }
  }
}
