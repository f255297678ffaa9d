/**
 * Schedules with planted mistakes: each runs with the real classes, where nothing may go wrong, and
 * with a broken one, where it must (protocol.md "Planted mistakes").
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoldfastError } from '#api/mod.ts';
import type { NexusClasses } from './nexus-classes.ts';
import type { Rig } from './nexus.testkit.ts';

/** What went wrong, or null. */
export type Schedule = (classes: Partial<NexusClasses>) => Promise<string | null>;

export const QUICK = { memberDeadlineMs: 400, reconnectMs: 10, reconnectMaxMs: 50 };

export function planted(name: string, schedule: Schedule, broken: Partial<NexusClasses>): void {
  void test(`Nexus is right where ${name} would be wrong`, async () => {
    assert.equal(await schedule({}), null);
  });
  void test(`A schedule catches ${name}`, async () => {
    assert.notEqual(await schedule(broken), null);
  });
}

/** The outcome of a promise after some time: it may never come. */
export async function within<T>(rig: Rig, ms: number, promise: Promise<T>): Promise<T | string> {
  return Promise.race([
    promise.catch((error: unknown) => {
      if (HoldfastError.is(error)) return error.code as string;
      throw error;
    }),
    rig.sleep(ms).then(() => 'waits'),
  ]);
}
