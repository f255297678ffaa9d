/**
 * A seeded world behind the contract of ../mod.ts: time, chance, disks and networks that fail on
 * demand and always in the same way. Imported from tests only.
 *
 *     const world = new SimWorld(seed);
 *     const host = world.addNode('a');
 *     world.disk('a').addFault({ verbs: ['write'], nth: 3, effect: { kind: 'hang' } });
 *     await world.finish(codeUnderTest(host));
 */
export { SimWorld } from './sim-world.ts';
export type { RunLimits, SimOptions } from './sim-world.ts';
export { DirectoryClone, SimDisk } from './sim-disk.ts';
export type { SimDiskOptions } from './sim-disk.ts';
export { ActiveDiskFault } from './disk-fault.ts';
export type { DiskAccess, DiskFault, DiskFaultEffect, DiskFaultVerb } from './disk-fault.ts';
export { SimNet } from './sim-net.ts';
export { SimLink } from './sim-link.ts';
export type { LinkOptions } from './sim-link.ts';
export { SimRng } from './sim-rng.ts';
export type { SimProgram } from './sim-exec.ts';
export type { LogLine } from './sim-log.ts';
