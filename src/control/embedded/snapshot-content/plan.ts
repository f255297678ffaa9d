import type { VolumeSnapshot, VolumeSnapshotContent } from '#api/kinds/mod.ts';
import { hasFinalizer, isDeleting } from '#control/kube/mod.ts';
import { BEING_CREATED, CONTENT_BOUND } from '../snapshot-names.ts';

export interface ContentObservation {
  readonly content: VolumeSnapshotContent;
  /** The one that has it, by its uid. */
  readonly snapshot: VolumeSnapshot | undefined;
}

export type ContentAction =
  | { readonly type: 'add-finalizer' }
  | { readonly type: 'remove-finalizer' }
  /** Said before it is tried: what may have been taken must be looked for before this goes. */
  | { readonly type: 'mark-created' }
  | { readonly type: 'take'; readonly volumeHandle: string }
  /** It was tried: what came of it must be known before it can be deleted. */
  | { readonly type: 'find'; readonly volumeHandle: string }
  | { readonly type: 'unmark-created' }
  | { readonly type: 'look-up'; readonly snapshotHandle: string }
  | { readonly type: 'delete-data'; readonly snapshotHandle: string };

export interface ContentPlan {
  readonly actions: readonly ContentAction[];
  /** Why it stays though it is to go; empty when it does not, or nobody would ask. */
  readonly message: string;
}

/**
 * What a content stands for goes with its VolumeSnapshot, which deletes the content. One without
 * stays: objects that were copied or brought back may come in any order.
 */
export function planContent({ content, snapshot }: ContentObservation): ContentPlan {
  const { spec, status, metadata } = content;
  if (isDeleting(content)) return planDeletion({ content, snapshot });
  const { uid } = spec.volumeSnapshotRef;
  const isOrphan = uid !== undefined && uid !== '' && snapshot === undefined;
  if (isOrphan) {
    const { namespace, name } = spec.volumeSnapshotRef;
    const which = `VolumeSnapshot ${namespace}/${name}`;
    const lost = `${which} does not exist: its data is kept until this is deleted`;
    return { actions: [], message: spec.deletionPolicy === 'Delete' ? lost : '' };
  }
  const actions: ContentAction[] = [];
  if (!hasFinalizer(content, CONTENT_BOUND)) actions.push({ type: 'add-finalizer' });
  const isMarked = metadata.annotations?.[BEING_CREATED] !== undefined;
  const { snapshotHandle = status?.snapshotHandle, volumeHandle } = spec.source;
  const isWell = status?.readyToUse === true && status.error === undefined;
  if (volumeHandle !== undefined && status?.readyToUse !== true) {
    if (!isMarked) actions.push({ type: 'mark-created' });
    actions.push({ type: 'take', volumeHandle }, { type: 'unmark-created' });
  } else {
    if (isMarked) actions.push({ type: 'unmark-created' });
    if (!isWell && snapshotHandle !== undefined) actions.push({ type: 'look-up', snapshotHandle });
  }
  return { actions, message: '' };
}

function planDeletion({ content, snapshot }: ContentObservation): ContentPlan {
  if (!hasFinalizer(content, CONTENT_BOUND)) return { actions: [], message: '' };
  const { spec, status, metadata } = content;
  if (snapshot !== undefined && !isDeleting(snapshot)) {
    const { namespace, name } = spec.volumeSnapshotRef;
    return { actions: [], message: `It goes when VolumeSnapshot ${namespace}/${name} is deleted` };
  }
  const last = { type: 'remove-finalizer' } as const;
  if (spec.deletionPolicy === 'Retain') return { actions: [last], message: '' };
  const handle = status?.snapshotHandle ?? spec.source.snapshotHandle;
  if (handle !== undefined) {
    return { actions: [{ type: 'delete-data', snapshotHandle: handle }, last], message: '' };
  }
  const { volumeHandle } = spec.source;
  const mayBeTaken = metadata.annotations?.[BEING_CREATED] !== undefined;
  if (!mayBeTaken || volumeHandle === undefined) return { actions: [last], message: '' };
  return { actions: [{ type: 'find', volumeHandle }], message: '' };
}
