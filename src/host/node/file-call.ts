import { assert } from '#lib/mod.ts';
import type { DiskRequest } from '../mod.ts';
import type { LaneCall } from './disk-lanes.ts';
import type { LaneVerb } from './lane-ring.ts';
import type { NodeDiskFile } from './node-disk-file.ts';
import { addressOf } from './syscalls.ts';

/** Binds a request to the lanes; used again, so that a request needs no closure of its own. */
export class FileCall implements LaneCall {
  verb: LaneVerb = 'read';
  fd = 0;
  address = 0;
  length = 0;
  offset = 0;
  readonly #file: NodeDiskFile;
  /** Also keeps the memory behind `address` from being collected. */
  #request: DiskRequest | null = null;
  #data: Uint8Array | null = null;

  constructor(file: NodeDiskFile) {
    this.#file = file;
  }

  start(request: DiskRequest, fd: number): void {
    const { verb, data } = request;
    const transfers = verb === 'read' || verb === 'write';
    this.#request = request;
    this.#data = data;
    this.verb = verb;
    this.fd = fd;
    this.address = transfers && data.byteLength > 0 ? addressOf(data) : 0;
    this.length = transfers ? data.byteLength : request.lengthBytes;
    this.offset = request.offsetBytes;
  }

  finish(result: number): void {
    const request = this.#request;
    assert(request !== null && this.#data !== null, 'a call comes back once');
    this.#request = null;
    this.#data = null;
    this.#file.finished(this, request, result);
  }
}
