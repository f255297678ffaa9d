import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { HoldfastError } from '../errors.ts';
import {
  findUnmetTerm,
  mergeMkfsOptions,
  parseClassParameters,
  readMkfsOptions,
  readPoolSelector,
} from './mod.ts';

function refusal(parameters: Record<string, string>): string {
  try {
    parseClassParameters(parameters);
  } catch (error) {
    assert.ok(HoldfastError.is(error) && error.code === 'invalid-object');
    const { path, problem, remedy } = error.details;
    return [path, problem, remedy].join(' | ');
  }
  return 'it was taken';
}

describe('Class parameters', () => {
  test('Every parameter is read, and each has a default', () => {
    assert.deepEqual(parseClassParameters({}), {
      replicas: 3,
      isolation: 'thread',
      onQuorumLoss: 'suspend',
      fsType: 'ext4',
      segmentBytes: null,
      poolSelector: '',
      mkfsOptions: '',
      replaceAfterSeconds: 300,
    });
    const read = parseClassParameters({
      diskSelector: 'ssd,fast',
      formatOptions: '-m reflink=0',
      fsType: 'xfs',
      replaceAfterSeconds: '60',
    });
    assert.equal(read.poolSelector, 'ssd,fast');
    assert.equal(read.mkfsOptions, '-m reflink=0');
    assert.equal(read.replaceAfterSeconds, 60);
  });

  for (const [typed, meant] of [
    ['replica', 'replicas'],
    ['numberOfReplica', 'replicas'],
    ['isolaton', 'isolation'],
    ['poolSelectors', 'poolSelector'],
    ['replaceAfterSecs', 'replaceAfterSeconds'],
    ['mkfsOption', 'mkfsOptions'],
    ['onQuorumloss', 'onQuorumLoss'],
    ['thinProvisioned', 'thinProvision'],
  ] as const) {
    test(`Unknown ${typed} is refused by name, and ${meant} is proposed`, () => {
      const said = refusal({ [typed]: '1' });
      assert.ok(said.startsWith(`parameters.${typed} | Parameter is unknown`), said);
      assert.ok(said.includes(`Did you mean ${meant}?`), said);
    });
  }

  test('What is like nothing gets the list and no proposal', () => {
    const said = refusal({ qqqqqq: '1' });
    assert.match(said, /use one of: replicas/);
    assert.doesNotMatch(said, /Did you mean/);
  });

  for (const [parameters, problem] of [
    [{ replaceAfterSeconds: '0' }, /out of range/],
    [{ replaceAfterSeconds: '5m' }, /out of range/],
    [{ poolSelector: 'a,,b' }, /malformed/],
    [{ poolSelector: 'tier in (a,b)' }, /malformed/],
    [{ mkfsOptions: '-m reflink=0' }, /mkfs.ext4 is not told/],
  ] as const) {
    test(`${JSON.stringify(parameters)} is refused`, () => {
      assert.match(refusal(parameters), problem);
    });
  }
});

describe('Pool selectors', () => {
  const pool = { tags: ['ssd'], labels: { tier: 'fast', 'example.com/rack': 'r1' } };
  for (const [text, unmet] of [
    ['ssd', undefined],
    ['ssd,tier=fast', undefined],
    ['tier', undefined],
    ['!hdd', undefined],
    ['tier!=slow,!hdd', undefined],
    ['example.com/rack==r1', undefined],
    ['hdd', 'hdd'],
    ['ssd,!tier', '!tier'],
    ['tier=slow', 'tier=slow'],
    ['constructor', 'constructor'],
  ] as const) {
    test(`${text}: ${unmet ?? 'holds'}`, () => {
      const result = readPoolSelector(text);
      assert.ok(result.ok);
      assert.equal(findUnmetTerm(result.terms, pool)?.text, unmet);
    });
  }
});

describe('mkfs options', () => {
  for (const [fsType, text] of [
    ['ext4', '-F'],
    ['ext4', '/dev/sda'],
    ['ext4', '-J device=/dev/sda'],
    ['ext4', '-O ^has_journal'],
    ['ext4', '-E discard'],
    ['ext4', '-m'],
    ['ext4', '-m 0;reboot'],
    ['ext4', '-L $(reboot)'],
    ['xfs', '-f'],
    ['xfs', '-l logdev=/dev/sda'],
    ['xfs', '-m crc=0'],
    ['xfs', '-d file,name=/etc/passwd'],
  ] as const) {
    test(`mkfs.${fsType} is not told ${text}`, () => {
      const result = readMkfsOptions(fsType, text);
      assert.equal(result.ok, false);
    });
  }

  test('A flag that takes a list is given once, and what is asked for wins', () => {
    const asked = readMkfsOptions('ext4', '-E lazy_itable_init=0,stride=16 -m0 -m 1 -O ^64bit');
    assert.ok(asked.ok);
    const ours = [{ flag: '-E', value: 'nodiscard,lazy_itable_init=1' }];
    assert.deepEqual(mergeMkfsOptions(ours, asked.options), [
      '-E',
      'nodiscard,lazy_itable_init=0,stride=16',
      '-m',
      '1',
      '-O',
      '^64bit',
    ]);
  });

  test('Whatever is typed, what passes has no path, no space and no further program', () => {
    const word = fc.oneof(
      fc.constantFrom('-E', '-m', '-O', '-L', '-d', '-l', '-i', '-F', '-f', 'size=512', '0'),
      fc.string({ maxLength: 12 }),
    );
    fc.assert(
      fc.property(fc.constantFrom('ext4', 'xfs'), fc.array(word, { maxLength: 6 }), (fs, words) => {
        const result = readMkfsOptions(fs, words.join(' '));
        if (!result.ok) return;
        for (const { flag, value } of result.options) {
          assert.match(flag, /^-[A-Za-z]$/);
          assert.match(value, /^[A-Za-z0-9^_.,=-]+$/);
          assert.ok(!['-F', '-f', '-J'].includes(flag));
        }
      }),
      { seed: 1, numRuns: 2_000 },
    );
  });
});
