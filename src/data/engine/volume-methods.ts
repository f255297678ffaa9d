/** The calls between an engine and the runner of one volume, in the same thread or in another. */
import type {
  AttachmentReport,
  EngineMethods,
  Handlers,
  LayerUse,
  ParamsOf,
  ReplicaPlace,
  ReplicaReport,
  ResultOf,
} from '#api/mod.ts';

type Call<Params, Result> = { readonly params: Params; readonly result: Result };
type None = Record<string, never>;

export type VolumeMethods = Pick<
  EngineMethods,
  | 'volume.createSnapshot'
  | 'volume.deleteSnapshot'
  | 'volume.grow'
  | 'volume.rebuild'
  | 'volume.scrub'
  | 'volume.isBlank'
  | 'volume.trace'
> & {
  'volume.start': Call<{ readonly resume: boolean }, None>;
  'volume.report': Call<None, AttachmentReport>;
  'volume.replica': Call<None, ReplicaReport | null>;
  /** Of its local replica. */
  'volume.layerUses': Call<{ readonly budgetMs: number }, readonly LayerUse[]>;
  /** Its pool came back; nothing when the local replica is open already. */
  'volume.openReplica': Call<{ readonly directory: string }, None>;
  'volume.replicas': Call<{ readonly replicas: readonly ReplicaPlace[] }, None>;
  /**
   * Orderly end: frontends, nexus (rule 15), local replica. `in-use` while a filesystem is mounted
   * on its device, unless forced: it gets errors from then on.
   */
  'volume.stop': Call<{ readonly force: boolean }, None>;
  /** End of the process to come: sessions stay with their holders. */
  'volume.handOver': Call<None, None>;
};

export type VolumeHandlers = Handlers<VolumeMethods>;

/** One attached volume, wherever it runs. */
export interface VolumeRunner {
  call<Name extends keyof VolumeMethods>(
    method: Name,
    params: ParamsOf<VolumeMethods, Name>,
  ): Promise<ResultOf<VolumeMethods, Name>>;
}
