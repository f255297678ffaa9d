/** Quantities in rules: what CEL's functions on them take and give. */
import { parseQuantity as parse } from '#api/resources/mod.ts';

export class Quantity {
  /** Billionths. */
  readonly nanos: bigint;

  constructor(nanos: bigint) {
    this.nanos = nanos;
  }
}

/** Why it is none, as text, in the words of Kubernetes. */
export function parseQuantity(text: string): Quantity | string {
  const quantity = parse(text);
  return typeof quantity === 'string' ? quantity : new Quantity(quantity.nano);
}

export function compareQuantities(left: Quantity, right: Quantity): bigint {
  const difference = left.nanos - right.nanos;
  return difference < 0n ? -1n : difference > 0n ? 1n : 0n;
}
