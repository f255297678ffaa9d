/** The topology key of a node. Volumes have none: members are reached over the network. */
export const TOPOLOGY_NODE = 'topology.csi.holdfast.dev/node';
