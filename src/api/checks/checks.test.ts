import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HoldfastError } from '../errors.ts';
import { type Check, CONTROLLER_CHECKS, ENGINE_CHECKS, NODE_CHECKS, VOTE_CHECKS } from './mod.ts';

const TABLES: Readonly<Record<string, Check<unknown>>> = {
  ...CONTROLLER_CHECKS,
  ...ENGINE_CHECKS,
  ...NODE_CHECKS,
  ...VOTE_CHECKS,
};

const SPEC = {
  cluster: 'c',
  volume: 'v',
  claim: 'default/demo',
  sizeBytes: 4096,
  segmentBytes: 65_536,
  replicas: [{ replica: 'v-r1', node: 'n', pool: 'p', engine: 'unix:/run/n.engine.sock' }],
  isolation: 'thread',
  onQuorumLoss: 'suspend',
  frontends: ['nbd'],
  readOnly: false,
  snapshot: null,
};

function refusal(method: string, params: unknown): HoldfastError {
  try {
    TABLES[method]?.(params, '');
  } catch (error) {
    assert.ok(HoldfastError.is(error), `${method} throws what is no operating error`);
    assert.equal(error.code, 'invalid-argument');
    for (const detail of ['field', 'value', 'remedy']) assert.ok(detail in error.details, detail);
    return error;
  }
  throw new assert.AssertionError({ message: `${method} takes ${JSON.stringify(params)}` });
}

describe('Checks of calls', () => {
  test('No method takes what is no object, nor a field that it does not know', () => {
    for (const method of Object.keys(TABLES)) {
      for (const params of [null, undefined, 'x', 7, [], [null]]) refusal(method, params);
      assert.match(String(refusal(method, { surprise: 1 }).details['field']), /^surprise$/);
    }
  });

  test('No id with a path in it gets to a handler', () => {
    for (const bad of ['../x', '..', '.', '', 'a/b', 'a\0b', 'A', 'ä', 'a'.repeat(64), 'a\n', 7]) {
      for (const method of Object.keys(ENGINE_CHECKS)) {
        for (const field of ['volume', 'replica', 'pool', 'snapshot']) {
          if (field !== 'volume' && method === 'volume.attach') continue;
          const params = { [field]: bad };
          const error = refusal(method, params);
          const isKnown = !String(error.details['remedy']).startsWith('Remove');
          if (isKnown && error.details['field'] === field) {
            assert.match(String(error.details['remedy']), /lower-case/);
          }
        }
      }
      assert.equal(refusal('volume.detach', { volume: bad }).details['field'], 'volume');
      const replicas = [{ ...SPEC.replicas[0], replica: bad }];
      const error = refusal('volume.attach', { ...SPEC, replicas });
      assert.equal(error.details['field'], 'replicas[0].replica');
    }
  });

  test('No directory that climbs, is relative or holds a NUL gets to a handler', () => {
    for (const directory of ['pool', '', '/a/../b', '/a\0b', `/${'x'.repeat(2000)}`, null]) {
      const error = refusal('pool.ensure', { pool: 'p', directory, create: true });
      assert.equal(error.details['field'], 'directory');
    }
  });

  test('No number that is negative, broken or above 2^53 gets to a handler', () => {
    for (const sizeBytes of [-1, 0.5, 2 ** 53, Number.NaN, Infinity, '4096', null]) {
      const error = refusal('volume.grow', { volume: 'v', sizeBytes });
      assert.deepEqual(
        [error.details['field'], error.details['value']],
        ['sizeBytes', String(sizeBytes)],
      );
    }
  });

  test('What is as the type says passes unchanged', () => {
    assert.deepEqual(ENGINE_CHECKS['volume.attach'](SPEC, ''), SPEC);
    assert.deepEqual(CONTROLLER_CHECKS['volume.scrub']({ volume: 'v' }, ''), { volume: 'v' });
  });
});
