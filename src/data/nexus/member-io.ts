/** Promise forms of one member's requests, for reconcile, rebuild and repair. */
import { type Generation, GENERATION_ZERO, type LayerRef } from '#api/mod.ts';
import type { Member } from '#data/member/mod.ts';
import type { ReplicaRequest, ReplicaVerb } from '#data/block/mod.ts';
import { EMPTY_BYTES } from '#lib/mod.ts';

export async function readMember(
  member: Member,
  layer: LayerRef,
  offsetBytes: number,
  lengthBytes: number,
): Promise<Uint8Array> {
  const data = new Uint8Array(lengthBytes);
  await submit(member, 'read', layer, offsetBytes, data, lengthBytes, GENERATION_ZERO);
  return data;
}

export function writeMember(
  member: Member,
  layer: LayerRef,
  offsetBytes: number,
  data: Uint8Array,
  stamp: Generation,
): Promise<void> {
  return submit(member, 'write', layer, offsetBytes, data, data.byteLength, stamp);
}

export function clearMember(
  member: Member,
  verb: 'zero' | 'trim',
  layer: LayerRef,
  offsetBytes: number,
  lengthBytes: number,
  stamp: Generation,
): Promise<void> {
  return submit(member, verb, layer, offsetBytes, EMPTY_BYTES, lengthBytes, stamp);
}

function submit(
  member: Member,
  verb: ReplicaVerb,
  layer: LayerRef,
  offsetBytes: number,
  data: Uint8Array,
  lengthBytes: number,
  stamp: Generation,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const request: ReplicaRequest = {
      verb,
      layer,
      offsetBytes,
      lengthBytes,
      data,
      stampEpoch: stamp.epoch,
      stampN: stamp.n,
      done: (error) => {
        if (error === null) resolve();
        else reject(error);
      },
    };
    member.submit(request);
  });
}
