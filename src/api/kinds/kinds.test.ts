import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HoldfastError } from '../mod.ts';
import {
  chooseSegmentBytes,
  formatBytes,
  formatDuration,
  formatQuantity,
  formatTime,
  KINDS,
  parseClassParameters,
  parseKindName,
  parseObject,
  parseTime,
  readQuantity,
  readVolumeSize,
  setCondition,
} from './mod.ts';

/** The error of an object that does not fit, with the three things it must name. */
function refusal(action: () => unknown): Record<'path' | 'value' | 'remedy' | 'problem', string> {
  try {
    action();
  } catch (error) {
    assert.ok(HoldfastError.is(error), String(error));
    assert.equal(error.code, 'invalid-object');
    const { path, value, remedy, problem } = error.details;
    for (const fact of [path, value, remedy]) assert.ok(typeof fact === 'string' && fact !== '');
    return { path, value, remedy, problem } as Record<
      'path' | 'value' | 'remedy' | 'problem',
      string
    >;
  }
  return assert.fail('It was taken');
}

function claim(change: (spec: Record<string, unknown>) => void, name = 'demo'): unknown {
  const spec: Record<string, unknown> = {
    accessModes: ['ReadWriteOnce'],
    resources: { requests: { storage: '1Gi' } },
  };
  change(spec);
  return { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name }, spec };
}

function sized(storage: unknown): unknown {
  return claim((spec) => {
    spec['resources'] = { requests: { storage } };
  });
}

const CLASS = {
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: { name: 'simple' },
  provisioner: 'csi.holdfast.dev',
};

describe('Quantities', () => {
  for (const [text, bytes] of [
    ['1Gi', 2 ** 30],
    ['1.5Gi', 1.5 * 2 ** 30],
    ['500M', 500_000_000],
    ['2k', 2_000],
    ['4096', 4_096],
    ['+1Ki', 1_024],
    ['8388607Gi', 8_388_607 * 2 ** 30],
  ] as const) {
    test(`Quantity ${text} is ${bytes} bytes`, () => {
      assert.deepEqual(readQuantity(text), { ok: true, bytes });
    });
  }

  for (const text of ['', 'Gi', '1gi', '1 Gi', '1e3', '0x10', '1.5', '1m', 'NaN', '1Gi1', null]) {
    test(`Quantity ${JSON.stringify(text)} is refused`, () => {
      assert.equal(readQuantity(text).ok, false);
    });
  }

  test('A quantity survives being written and read', () => {
    for (const bytes of [1, 4096, 12_288, 2 ** 30, 3 * 2 ** 40, 1_000_000_000_000]) {
      assert.deepEqual(readQuantity(formatQuantity(bytes)), { ok: true, bytes });
    }
  });

  test('Sizes and times are written for people', () => {
    assert.equal(formatBytes(1536 * 1024), '1.5 MiB');
    assert.equal(formatBytes(12), '12 B');
    assert.equal(formatDuration(190_000), '3 min 10 s');
    assert.equal(formatDuration(7_500_000), '2 h 5 min');
  });
});

describe('Bad input: sizes', () => {
  for (const [title, storage, problem] of [
    ['A size of zero', '0', /zero/],
    ['A negative size', '-1Gi', /negative/],
    ['A size that is not a multiple of the sector', '1000', /multiple of the sector/],
    ['A size above 2^53', '9Ei', /2\^53/],
    ['A size that is no quantity', '1GiB', /malformed/],
  ] as const) {
    test(`${title} is refused with path, value and remedy`, () => {
      const facts = refusal(() => parseObject(sized(storage)));
      assert.equal(facts.path, 'spec.resources.requests.storage');
      assert.equal(facts.value, storage);
      assert.match(facts.problem, problem);
    });
  }

  test('A size that is not a multiple of the sector names the next one that is', () => {
    const result = readVolumeSize(4097);
    assert.ok(!result.ok);
    assert.match(result.remedy, /8Ki/);
  });
});

describe('Bad input: objects', () => {
  test('Unknown fields are refused with path, value and the fields that are known', () => {
    const facts = refusal(() =>
      parseObject(
        claim((spec) => {
          spec['storageClass'] = 'simple';
        }),
      ),
    );
    assert.equal(facts.path, 'spec.storageClass');
    assert.equal(facts.value, 'simple');
    assert.match(facts.remedy, /storageClassName/);
  });

  test('Unknown fields deep inside are named by their path', () => {
    const facts = refusal(() =>
      parseObject(
        claim((spec) => {
          spec['dataSource'] = { kind: 'Snapshot', name: 'a', uid: 'b' };
        }),
      ),
    );
    assert.equal(facts.path, 'spec.dataSource.uid');
  });

  test('Wrong types are refused with path, value and the type that is wanted', () => {
    const volume = {
      apiVersion: 'holdfast.dev/v1alpha1',
      kind: 'Volume',
      metadata: { name: 'v' },
      spec: { size: '1Gi', replicas: '3' },
    };
    const facts = refusal(() => parseObject(volume));
    assert.equal(facts.path, 'spec.replicas');
    assert.equal(facts.value, '3');
    assert.match(facts.remedy, /number/);
  });

  test('A replica count out of range is refused with the range', () => {
    const volume = (replicas: number) => ({
      apiVersion: 'holdfast.dev/v1alpha1',
      kind: 'Volume',
      metadata: { name: 'v' },
      spec: { size: '1Gi', replicas },
    });
    assert.match(refusal(() => parseObject(volume(0))).remedy, /at least 1/);
    assert.match(refusal(() => parseObject(volume(17))).remedy, /at most 16/);
  });

  test('Shared access modes are refused until they can be served', () => {
    const facts = refusal(() =>
      parseObject(
        claim((spec) => {
          spec['accessModes'] = ['ReadWriteMany'];
        }),
      ),
    );
    assert.equal(facts.path, 'spec.accessModes[0]');
    assert.match(facts.problem, /ReadWriteOnce/);
  });

  test('Names that would leave their directory are refused before a path is made', () => {
    const names = ['../x', 'a/b', '', 'A', '-a', 'a_b', '.', '..', 'a\0b', 'a\n', 'ä', 'a\u200bb'];
    for (const name of [...names, 'a'.repeat(64), '%2e%2e', 'a b', '__proto__']) {
      const pool = {
        apiVersion: 'holdfast.dev/v1alpha1',
        kind: 'DiskPool',
        metadata: { name },
        spec: { nodeName: 'node-1', directory: '/data' },
      };
      assert.equal(
        refusal2(() => parseObject(pool)),
        'metadata.name',
        name,
      );
    }
  });

  test('A pool directory that is not absolute, climbs or holds a NUL is refused', () => {
    for (const directory of [
      'data',
      '/data/../etc',
      '',
      '/a\0b',
      '/a\nb',
      `/${'a'.repeat(1024)}`,
    ]) {
      const pool = {
        apiVersion: 'holdfast.dev/v1alpha1',
        kind: 'DiskPool',
        metadata: { name: 'p' },
        spec: { nodeName: 'node-1', directory },
      };
      assert.equal(
        refusal2(() => parseObject(pool)),
        'spec.directory',
      );
    }
  });

  test('Another kind, another version and no object at all are refused', () => {
    assert.equal(
      refusal2(() => parseObject({ kind: 'Pod' })),
      'kind',
    );
    assert.equal(
      refusal2(() => parseObject({ ...CLASS, apiVersion: 'v2' })),
      'apiVersion',
    );
    assert.equal(
      refusal2(() => parseObject('text')),
      '(root)',
    );
    assert.equal(
      refusal2(() => parseObject(null)),
      '(root)',
    );
  });

  test('A claim without a namespace is of default', () => {
    assert.equal(parseObject(claim(() => {})).metadata.namespace, 'default');
  });
});

function refusal2(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    assert.ok(HoldfastError.is(error));
    assert.equal(error.code, 'invalid-object');
    return String(error.details['path']);
  }
  return 'it was taken';
}

describe('StorageClass parameters', () => {
  test('Names of other systems mean the same', () => {
    for (const name of ['replicas', 'repl', 'numberOfReplicas', 'placementCount']) {
      assert.equal(parseClassParameters({ [name]: '2' }).replicas, 2);
    }
    for (const name of ['csi.storage.k8s.io/fstype', 'fsType', 'csi.holdfast.dev/fsType']) {
      assert.equal(parseClassParameters({ [name]: 'xfs' }).fsType, 'xfs');
    }
    assert.equal(parseClassParameters({ thinProvision: 'true' }).replicas, 3);
  });

  test('An unknown parameter is refused by name with the list of known ones', () => {
    const facts = refusal(() => parseObject({ ...CLASS, parameters: { replica: '3' } }));
    assert.equal(facts.path, 'parameters.replica');
    assert.match(facts.remedy, /replicas, isolation, onQuorumLoss/);
  });

  test('Values that are no choice are refused with the choices', () => {
    assert.match(refusal(() => parseClassParameters({ replicas: '0' })).remedy, /"1" to "16"/);
    assert.match(refusal(() => parseClassParameters({ isolation: 'vm' })).remedy, /thread, shared/);
    assert.match(
      refusal(() => parseClassParameters({ segmentSize: '3Mi' })).remedy,
      /power of two/,
    );
    assert.match(refusal(() => parseClassParameters({ thin: 'false' })).remedy, /"true"/);
  });

  test('Two names for one thing with two values are refused', () => {
    assert.match(
      refusal(() => parseClassParameters({ replicas: '3', repl: '2' })).problem,
      /same as replicas/,
    );
    assert.equal(parseClassParameters({ replicas: '3', repl: '3' }).replicas, 3);
  });

  test('Segments grow with the volume so that there are never more than a million', () => {
    assert.equal(chooseSegmentBytes(2 ** 30), 2 ** 20);
    assert.equal(chooseSegmentBytes(2 ** 40), 2 ** 20);
    assert.equal(chooseSegmentBytes(2 ** 43), 2 ** 23);
    assert.ok(chooseSegmentBytes(Number.MAX_SAFE_INTEGER) <= 2 ** 30);
  });
});

describe('Kinds', () => {
  test('A kind is found by every name that people type', () => {
    for (const info of Object.values(KINDS)) {
      for (const name of [info.kind, info.plural, ...info.shortNames]) {
        assert.equal(parseKindName(name), info.kind);
      }
    }
    assert.equal(parseKindName('PVC'), 'PersistentVolumeClaim');
  });

  test('Short names are of one kind each', () => {
    const all = Object.values(KINDS).flatMap((info) => info.shortNames);
    assert.equal(new Set(all).size, all.length);
  });

  test('An unknown kind is refused with the list', () => {
    assert.throws(
      () => parseKindName('pods'),
      (error) => HoldfastError.is(error) && String(error.details['remedy']).includes('diskpools'),
    );
  });
});

describe('Conditions', () => {
  const draft = { type: 'Ready', status: 'True', reason: 'Open', message: 'Open' } as const;

  test('setCondition keeps the time while the status is the same', () => {
    const first = setCondition([], draft, 1, 'T1');
    const second = setCondition(first, { ...draft, message: 'Still open' }, 1, 'T2');
    assert.equal(second[0]?.lastTransitionTime, 'T1');
    const third = setCondition(second, { ...draft, status: 'False' }, 1, 'T3');
    assert.equal(third[0]?.lastTransitionTime, 'T3');
  });

  test('setCondition answers the same list when nothing changed', () => {
    const first = setCondition([], draft, 1, 'T1');
    assert.equal(setCondition(first, draft, 1, 'T2'), first);
  });
});

describe('Wall time', () => {
  test('Times are written as RFC 3339 and read back', () => {
    for (const ms of [0, 951_782_399_999, 951_782_400_000, 1_795_559_531_844, 4_107_542_399_000]) {
      assert.equal(formatTime(ms), new Date(ms).toISOString());
      assert.equal(parseTime(formatTime(ms)), ms);
    }
    assert.ok(Number.isNaN(parseTime('yesterday')));
  });
});
