import type { VolumeAttachmentSpec } from '#api/kinds/mod.ts';

/** A block device is what CSI publishes: something may be mounted from it. */
export function isPublished(
  attachment: VolumeAttachmentSpec | null | undefined,
): attachment is VolumeAttachmentSpec {
  return attachment?.frontends.includes('fuse') === true;
}
