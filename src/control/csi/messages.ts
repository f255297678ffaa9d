/**
 * Requests and answers of the Container Storage Interface 1.12 as csi.proto has them, in the form
 * that @grpc/proto-loader gives: camelCase, absent messages are null, numbers for int64 (sizes stay
 * below 2^53), names for enumerations. Fields that Holdfast does not read are left out.
 */
export type StringMap = Readonly<Record<string, string>>;

export type AccessMode =
  | 'UNKNOWN'
  | 'SINGLE_NODE_WRITER'
  | 'SINGLE_NODE_READER_ONLY'
  | 'MULTI_NODE_READER_ONLY'
  | 'MULTI_NODE_SINGLE_WRITER'
  | 'MULTI_NODE_MULTI_WRITER'
  | 'SINGLE_NODE_SINGLE_WRITER'
  | 'SINGLE_NODE_MULTI_WRITER';

export interface VolumeCapability {
  readonly accessMode: { readonly mode: AccessMode } | null;
  /** One of the two. */
  readonly block?: Readonly<Record<string, never>> | null;
  readonly mount?: {
    readonly fsType: string;
    readonly mountFlags: readonly string[];
    readonly volumeMountGroup: string;
  } | null;
}

export interface CapacityRange {
  /** Bytes; 0 is not given. */
  readonly requiredBytes: number;
  /** Bytes; 0 is not given. */
  readonly limitBytes: number;
}

export interface VolumeContentSource {
  /** One of the two. */
  readonly snapshot?: { readonly snapshotId: string } | null;
  readonly volume?: { readonly volumeId: string } | null;
}

export interface Topology {
  readonly segments: StringMap;
}

export interface TopologyRequirement {
  readonly requisite: readonly Topology[];
  readonly preferred: readonly Topology[];
}

export interface CsiVolume {
  readonly volumeId: string;
  readonly capacityBytes: number;
  readonly volumeContext?: StringMap;
  readonly contentSource?: VolumeContentSource | null;
  readonly accessibleTopology?: readonly Topology[];
}

export interface VolumeCondition {
  readonly abnormal: boolean;
  readonly message: string;
}

export interface CsiVolumeStatus {
  readonly publishedNodeIds: readonly string[];
  readonly volumeCondition: VolumeCondition;
}

export interface CsiSnapshot {
  readonly snapshotId: string;
  readonly sourceVolumeId: string;
  readonly sizeBytes: number;
  readonly creationTime: { readonly seconds: number; readonly nanos: number };
  readonly readyToUse: boolean;
}

export interface VolumeUsage {
  readonly unit: 'BYTES' | 'INODES';
  readonly total: number;
  readonly used: number;
  readonly available: number;
}

type Empty = Readonly<Record<string, never>>;
type Call<Request, Answer> = { readonly request: Request; readonly answer: Answer };
type Rpc<Type extends string> = { readonly rpc: { readonly type: Type } };

export interface IdentityCalls {
  GetPluginInfo: Call<Empty, { readonly name: string; readonly vendorVersion: string }>;
  GetPluginCapabilities: Call<
    Empty,
    {
      readonly capabilities: readonly (
        | { readonly service: { readonly type: string } }
        | { readonly volumeExpansion: { readonly type: string } }
      )[];
    }
  >;
  Probe: Call<Empty, { readonly ready: { readonly value: boolean } }>;
}

export interface ControllerCalls {
  CreateVolume: Call<
    {
      readonly name: string;
      readonly capacityRange: CapacityRange | null;
      readonly volumeCapabilities: readonly VolumeCapability[];
      readonly parameters: StringMap;
      readonly volumeContentSource: VolumeContentSource | null;
      readonly accessibilityRequirements: TopologyRequirement | null;
      readonly mutableParameters: StringMap;
    },
    { readonly volume: CsiVolume }
  >;
  DeleteVolume: Call<{ readonly volumeId: string }, Empty>;
  ControllerPublishVolume: Call<
    {
      readonly volumeId: string;
      readonly nodeId: string;
      readonly volumeCapability: VolumeCapability | null;
      readonly readonly: boolean;
    },
    { readonly publishContext: StringMap }
  >;
  ControllerUnpublishVolume: Call<{ readonly volumeId: string; readonly nodeId: string }, Empty>;
  ValidateVolumeCapabilities: Call<
    {
      readonly volumeId: string;
      readonly volumeContext: StringMap;
      readonly volumeCapabilities: readonly VolumeCapability[];
      readonly parameters: StringMap;
      readonly mutableParameters: StringMap;
    },
    {
      readonly confirmed?: {
        readonly volumeContext: StringMap;
        readonly volumeCapabilities: readonly VolumeCapability[];
        readonly parameters: StringMap;
      };
      readonly message: string;
    }
  >;
  ListVolumes: Call<
    { readonly maxEntries: number; readonly startingToken: string },
    {
      readonly entries: readonly { readonly volume: CsiVolume; readonly status: CsiVolumeStatus }[];
      readonly nextToken: string;
    }
  >;
  ControllerGetVolume: Call<
    { readonly volumeId: string },
    { readonly volume: CsiVolume; readonly status: CsiVolumeStatus }
  >;
  GetCapacity: Call<
    {
      readonly volumeCapabilities: readonly VolumeCapability[];
      readonly parameters: StringMap;
      readonly accessibleTopology: Topology | null;
    },
    {
      readonly availableCapacity: number;
      readonly maximumVolumeSize: { readonly value: number };
    }
  >;
  ControllerGetCapabilities: Call<Empty, { readonly capabilities: readonly Rpc<string>[] }>;
  CreateSnapshot: Call<
    { readonly name: string; readonly sourceVolumeId: string; readonly parameters: StringMap },
    { readonly snapshot: CsiSnapshot }
  >;
  DeleteSnapshot: Call<{ readonly snapshotId: string }, Empty>;
  ListSnapshots: Call<
    {
      readonly maxEntries: number;
      readonly startingToken: string;
      readonly sourceVolumeId: string;
      readonly snapshotId: string;
    },
    {
      readonly entries: readonly { readonly snapshot: CsiSnapshot }[];
      readonly nextToken: string;
    }
  >;
  ControllerExpandVolume: Call<
    {
      readonly volumeId: string;
      readonly capacityRange: CapacityRange | null;
      readonly volumeCapability: VolumeCapability | null;
    },
    { readonly capacityBytes: number; readonly nodeExpansionRequired: boolean }
  >;
}

export interface NodeCalls {
  NodeStageVolume: Call<
    {
      readonly volumeId: string;
      readonly publishContext: StringMap;
      readonly stagingTargetPath: string;
      readonly volumeCapability: VolumeCapability | null;
      readonly volumeContext: StringMap;
    },
    Empty
  >;
  NodeUnstageVolume: Call<{ readonly volumeId: string; readonly stagingTargetPath: string }, Empty>;
  NodePublishVolume: Call<
    {
      readonly volumeId: string;
      readonly publishContext: StringMap;
      readonly stagingTargetPath: string;
      readonly targetPath: string;
      readonly volumeCapability: VolumeCapability | null;
      readonly readonly: boolean;
      readonly volumeContext: StringMap;
    },
    Empty
  >;
  NodeUnpublishVolume: Call<{ readonly volumeId: string; readonly targetPath: string }, Empty>;
  NodeGetVolumeStats: Call<
    {
      readonly volumeId: string;
      readonly volumePath: string;
      readonly stagingTargetPath: string;
    },
    { readonly usage: readonly VolumeUsage[]; readonly volumeCondition: VolumeCondition }
  >;
  NodeExpandVolume: Call<
    {
      readonly volumeId: string;
      readonly volumePath: string;
      readonly capacityRange: CapacityRange | null;
      readonly stagingTargetPath: string;
      readonly volumeCapability: VolumeCapability | null;
    },
    { readonly capacityBytes: number }
  >;
  NodeGetCapabilities: Call<Empty, { readonly capabilities: readonly Rpc<string>[] }>;
  NodeGetInfo: Call<
    Empty,
    {
      readonly nodeId: string;
      readonly maxVolumesPerNode: number;
      readonly accessibleTopology: Topology;
    }
  >;
}

export type RequestOf<Calls, Name extends keyof Calls> =
  Calls[Name] extends Call<infer Request, unknown> ? Request : never;
export type AnswerOf<Calls, Name extends keyof Calls> =
  Calls[Name] extends Call<unknown, infer Answer> ? Answer : never;

/** A CSI service as plain methods: rejects with HoldfastError, which `status.ts` translates. */
export type Service<Calls> = {
  readonly [Name in keyof Calls]: (
    request: RequestOf<Calls, Name>,
  ) => Promise<AnswerOf<Calls, Name>>;
};
