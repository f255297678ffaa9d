/** Every world that is explored, and the small models beside the protocol with their mistakes. */
import { type Bounds, enlarge, shrink, THREE, TWO } from './bounds.ts';
import type { Model } from './checker.ts';
import { LeaseModel, SOUND_LEASE } from './lease-model.ts';
import { EXTENSIONS } from './mistakes.ts';
import { SOUND_TORN, TornModel } from './torn-model.ts';

export const BASIC: readonly Bounds[] = [THREE, TWO];

/** Explored to the last state. */
export const WHOLE: readonly Bounds[] = [
  shrink(TWO, { name: 'two-whole-crash', crashes: 1 }),
  shrink(TWO, { name: 'two-whole-power', powerLosses: 1 }),
  shrink(THREE),
];

/** Walked at random. */
export const WALKED: readonly Bounds[] = [
  THREE,
  TWO,
  enlarge(THREE),
  enlarge(TWO),
  ...EXTENSIONS,
  enlarge({ ...THREE, name: 'three-everything', overtaking: true, snapshots: 2, handOver: true }),
];

export interface SmallModel {
  readonly name: string;
  make(): Model;
  /** The model with one rule left out, by the name of the rule. */
  readonly mistakes: ReadonlyMap<string, () => Model>;
}

export const SMALL: readonly SmallModel[] = [
  {
    name: 'read-lease',
    make: () => new LeaseModel(2),
    mistakes: eachLeftOut(SOUND_LEASE, (rules) => new LeaseModel(2, rules)),
  },
  {
    name: 'torn-two-replicas',
    make: () => new TornModel(2),
    mistakes: eachLeftOut(SOUND_TORN, (rules) => new TornModel(2, rules)),
  },
  {
    name: 'torn-three-replicas',
    make: () => new TornModel(3),
    mistakes: eachLeftOut(SOUND_TORN, (rules) => new TornModel(3, rules)),
  },
];

function eachLeftOut<R extends object>(
  sound: R,
  make: (rules: R) => Model,
): ReadonlyMap<string, () => Model> {
  return new Map(Object.keys(sound).map((rule) => [rule, () => make({ ...sound, [rule]: false })]));
}
