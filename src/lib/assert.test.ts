import { test } from 'node:test';
import { equal, throws } from 'node:assert/strict';
import { assert, AssertionError } from './assert.ts';

test('assert throws an AssertionError that names the fact', () => {
  assert(true, 'truth holds');
  throws(
    () => assert(false, 'a volume is never empty'),
    (error: unknown) => {
      equal(error instanceof AssertionError, true);
      equal((error as Error).message, 'Assertion failed: a volume is never empty');
      return true;
    },
  );
});
