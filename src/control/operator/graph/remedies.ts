/** What happens by itself, and what a person can do, for each kind of link that is not well. */
import type { ExplainLink, ObjectName } from '#api/mod.ts';

/** In remedies NAME is the name of the link itself, CLAIM of the claim that is explained. */
interface Advice {
  /** Found in the message of the link. */
  readonly sign: RegExp;
  readonly kinds: readonly string[];
  readonly next: string;
  readonly remedies: readonly string[];
}

/** Most of what a volume waits for are pools of the right kind. */
const MORE_POOLS = [
  'Add a node or a pool, or free space in one: holdfast get pools shows tags and what is free',
  'Use a cordoned one again: holdfast uncordon node NODE, holdfast uncordon pool POOL',
  'Ask for fewer replicas, or other pools, with another StorageClass',
];

/** The first that fits is given. CLAIM and NAME are filled in where they are known. */
const ADVICE: readonly Advice[] = [
  {
    kinds: ['claim', 'mount'],
    sign: /There is no StorageClass|names no storage class|OtherProvisioner/,
    next: 'It is tried again when a StorageClass changes',
    remedies: [
      'Apply the class: holdfast apply -f class.yaml',
      'See what exists: holdfast get classes',
    ],
  },
  {
    kinds: ['claim'],
    sign: /WaitForFirstConsumer/,
    next: 'It is made as soon as a Mount, or a pod, says on which node it is used',
    remedies: ['Use it: holdfast mount CLAIM'],
  },
  {
    kinds: ['claim'],
    sign: /VolumeLost/,
    next: 'It is bound again when that object is back; an empty volume is never made in its place',
    remedies: [
      'Bring the object back from a backup of the objects: kubectl apply -f FILE',
      'If the data is given up: holdfast delete claim CLAIM',
    ],
  },
  {
    kinds: ['claim', 'volume', 'replica', 'snapshot', 'attachment'],
    sign: /InUse|Mounted at/,
    next: 'It goes as soon as nothing uses it: looked at three times a second',
    remedies: [
      'Unmount it: holdfast umount CLAIM',
      'Delete its snapshots: holdfast delete volumesnapshot NAME',
    ],
  },
  {
    kinds: ['volume', 'claim'],
    sign: /NoPlacement/,
    next: 'It is tried again whenever a pool or node changes, and every 2 s',
    remedies: MORE_POOLS,
  },
  {
    kinds: ['volume'],
    sign: /Waiting:|NeedsNexus|Replacing|Shrinking/,
    next: 'A lost replica is replaced elsewhere after replaceAfterSeconds, by itself; one that comes back before is levelled',
    remedies: ['Bring its node or disk back: holdfast get nodes, holdfast get pools'],
  },
  {
    kinds: ['volume'],
    sign: /NotServed/,
    next: 'Replicas are replaced as soon as the volume serves: only then it is known who is current',
    remedies: ['See for whom it waits: holdfast explain volume NAME'],
  },
  {
    kinds: ['orphan'],
    sign: /./,
    next: 'It is kept; one that is surely not needed goes a day after it was first seen',
    remedies: ['See what lies there: holdfast get replicas, holdfast store check DIRECTORY'],
  },
  {
    kinds: ['claim', 'volume'],
    sign: /SourceMissing|SourceNotReady|TooSmall|OutOfRange/,
    next: 'It is tried again until the source is there',
    remedies: [
      'See what exists: holdfast get snapshots',
      'Ask for at least the size of the source',
    ],
  },
  {
    kinds: ['mount'],
    sign: /InUse: .* is mounted on/,
    next: 'It is mounted as soon as the other one is gone',
    remedies: ['Unmount the other one: holdfast umount CLAIM'],
  },
  {
    kinds: ['mount'],
    sign: /NodeUnknown/,
    next: 'It is mounted when there is such a node',
    remedies: ['See what exists: holdfast get nodes', 'Delete it: holdfast delete mount NAME'],
  },
  {
    kinds: ['mount'],
    sign: /ClaimMissing|ClaimTerminating/,
    next: 'It is mounted when there is such a claim that stays',
    remedies: ['See what exists: holdfast get claims', 'Delete it: holdfast delete mount NAME'],
  },
  {
    kinds: ['mount'],
    sign: /NodeSilent/,
    next: 'It goes on by itself when the process of the node answers',
    remedies: [
      'See which are silent: holdfast get nodes',
      'Start the process, or the machine, again',
    ],
  },
  {
    kinds: ['mount'],
    sign: /program mkfs\./,
    next: 'It is tried again with back-off; nothing was written yet',
    remedies: ['Correct the mkfsOptions of its StorageClass, and make the claim again'],
  },
  {
    kinds: ['mount'],
    sign: /program mount /,
    next: 'It is tried again with back-off',
    remedies: [
      'Correct the mountOptions of its StorageClass, and spec.mountOptions of its PersistentVolume',
    ],
  },
  {
    kinds: ['volumeattachment'],
    sign: /published to/,
    next: 'It is attached as soon as the other node has let go',
    remedies: ['Unmount it there: holdfast umount CLAIM', 'Or give this one up: kubectl delete'],
  },
  {
    kinds: ['persistentvolume'],
    sign: /snapshots/,
    next: 'It goes as soon as they are gone',
    remedies: ['Delete its snapshots: holdfast delete snapshot SNAPSHOT'],
  },
  {
    kinds: ['persistentvolume'],
    sign: /Retain/,
    next: 'Nothing: it is kept until somebody decides',
    remedies: [
      'Give it to another claim: take spec.claimRef.uid out, and name it in the claim',
      'Or give up the data: kubectl delete pv NAME, then holdfast delete volume HANDLE',
    ],
  },
  {
    kinds: ['snapshot'],
    sign: /VolumeMissing/,
    next: 'It is taken when there is such a volume',
    remedies: ['See what exists: holdfast get volumes', 'Delete it: holdfast delete snapshot NAME'],
  },
  {
    kinds: ['replica'],
    sign: /StillMember|LastCopy/,
    next: 'It goes when another copy is in sync, or with its volume',
    remedies: ['If the data is given up, delete its claim: holdfast delete claim CLAIM'],
  },
  {
    kinds: ['mount'],
    sign: /CapabilityMissing/,
    next: 'It is mounted when the machine allows it',
    remedies: ['holdfast doctor says what is missing and how to get it'],
  },
  {
    kinds: ['mount'],
    sign: /FilesystemGrown|grow|resize/i,
    next: 'It is tried again with back-off',
    remedies: [
      'Where online growth is not allowed, unmount and mount again: holdfast umount, holdfast mount',
    ],
  },
  {
    kinds: ['nexus'],
    sign: /BlocksDamaged/,
    next: 'Nothing by itself: another copy is not there. Reads of other blocks go on',
    remedies: [
      'Take the files from a snapshot or backup, or write the range anew',
      'Then look at all of it again: holdfast volume scrub CLAIM',
    ],
  },
  {
    kinds: ['nexus'],
    sign: /suspended|quorum-lost/,
    next: 'I/O goes on by itself as soon as a majority of the voters answers',
    remedies: [
      'Bring a node back: holdfast get nodes shows which is silent',
      'holdfast explain node NODE',
    ],
  },
  {
    kinds: ['nexus'],
    sign: /waiting for|waiting-for-replica/,
    next: 'It opens by itself when one of these replicas answers: they may hold newer data',
    remedies: ['Bring the node of that replica back: holdfast where replica REPLICA'],
  },
  {
    kinds: ['nexus'],
    sign: /lost-writes/,
    next: 'Nothing: the client session is failed on purpose, it may have seen writes that are gone',
    remedies: [
      'Unmount and mount again; the filesystem replays its journal',
      'Restart what used it',
    ],
  },
  {
    kinds: ['attachment'],
    sign: /EngineSilent/,
    next: 'Its node process starts the engine again within seconds; I/O waits meanwhile and goes on',
    remedies: ['See logs/NODE.node.log and logs/NODE.engine.log in the cluster directory'],
  },
  {
    kinds: ['node'],
    sign: /EngineSilent/,
    next: 'Its node process starts the engine again within seconds; its replicas rejoin by themselves',
    remedies: ['See logs/NODE.node.log and logs/NODE.engine.log in the cluster directory'],
  },
  {
    kinds: ['node'],
    sign: /Terminating/,
    next: 'It goes as soon as it has no pools',
    remedies: ['Empty and delete them: holdfast drain node NAME, holdfast delete pool POOL'],
  },
  {
    kinds: ['pool'],
    sign: /Terminating/,
    next: 'It goes as soon as it holds no replica',
    remedies: ['Move them away: holdfast drain pool NAME', 'Or delete the claims that they are of'],
  },
  {
    kinds: ['pool'],
    sign: /StoreForeign/,
    next: 'What lies there is left untouched; it is tried again with back-off',
    remedies: ['Give the pool a directory of its own, or move the foreign one away'],
  },
  {
    kinds: ['pool'],
    sign: /NodeUnknown/,
    next: 'It is opened when there is such a node',
    remedies: ['See what exists: holdfast get nodes', 'Delete it: holdfast delete pool NAME'],
  },
  {
    kinds: ['replica'],
    sign: /store-corrupt/,
    next: 'The others go on where they are a majority; a damaged copy is never read',
    remedies: [
      'With another copy: holdfast delete replica NAME, it is made anew from that',
      'If it is the last one, see what can be read: holdfast store check DIRECTORY',
    ],
  },
  {
    kinds: ['pool'],
    sign: /Full:/,
    next: 'Writes go on by themselves, and replicas are levelled, when there is room again',
    remedies: [
      'See who needs it: holdfast space pool NAME',
      'Free some space on its filesystem, or grow it',
      'Move replicas away: holdfast drain pool NAME',
    ],
  },
  {
    kinds: ['pool'],
    sign: /./,
    next: 'It is opened again with back-off, at most every 10 s',
    remedies: [
      'Mount the disk, or correct permissions, at the directory of the pool',
      'If the disk is gone for good, delete the replicas that it held: new ones are made elsewhere',
    ],
  },
  {
    kinds: ['replica'],
    sign: /ReplicaMissing|ReplicaFailed|StoreForeign/,
    next: 'Opened again when its pool is; after replaceAfterSeconds another one is made, where the volume serves without it',
    remedies: [
      'Bring its files back, or do not wait: holdfast delete replica NAME',
      'Rebuild it from the others: holdfast volume rebuild VOLUME --replica NAME --full',
    ],
  },
  {
    kinds: ['member'],
    sign: /no vote/,
    next: 'It serves; one with a vote is made in its place by itself, where there is room and another one has a vote',
    remedies: ['Bring the others back: alone it could not decide that it is current'],
  },
  {
    kinds: ['member'],
    sign: /much slower|did not answer in time/,
    next: 'The volume goes on without it; it is levelled when it is as fast as the others',
    remedies: [
      'Look at its disk, and at what else uses it: holdfast where replica NAME',
      'Move its copies away: holdfast drain pool POOL',
    ],
  },
  {
    kinds: ['member'],
    sign: /rebuild|joining/,
    next: 'It is being levelled and joins the in-sync set by itself',
    remedies: [],
  },
  {
    kinds: ['persistentvolume'],
    sign: /engine of node/,
    next: 'It goes when the node is back',
    remedies: [
      'Bring the node back: holdfast get nodes',
      'If it is gone for good, delete its pools and then the node',
    ],
  },
  {
    kinds: ['member'],
    sign: /absent|leaving/,
    next: 'The nexus looks for it at least every 2 s, then sends what it missed',
    remedies: ['holdfast explain replica NAME, holdfast get nodes'],
  },
];

function findAdvice(link: ExplainLink): Advice | undefined {
  return ADVICE.find((entry) => entry.kinds.includes(link.kind) && entry.sign.test(link.message));
}

export function nextFor(link: ExplainLink | null): string {
  if (link === null) return 'Nothing is to be done';
  return findAdvice(link)?.next ?? 'It is looked at again within 5 s, with back-off after errors';
}

export function remediesFor(link: ExplainLink | null, subject: ObjectName): string[] {
  if (link === null) return [];
  const claim =
    subject.kind === 'PersistentVolumeClaim'
      ? `${subject.namespace ?? 'default'}/${subject.name}`
      : 'CLAIM';
  return (findAdvice(link)?.remedies ?? []).map((text) =>
    text.replace('CLAIM', claim).replace('NAME', link.name),
  );
}
