import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { PEER_BENCH } from './peer-bench.testkit.ts';

test('the measurement of the peer protocol runs to its end', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [PEER_BENCH, '0.02', 'memory']);
  assert.equal(stdout.trim().split('\n').length, 6);
});
