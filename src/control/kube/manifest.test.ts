import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HoldfastError } from '#api/mod.ts';
import { SimWorld } from '#host/sim/mod.ts';
import { encodeText } from '#lib/mod.ts';
import {
  MANIFEST_BYTES_MAX,
  parseManifest,
  parseManifestObjects,
  readManifestFile,
} from './mod.ts';

const CLAIM = `apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: demo }
spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Gi } } }
`;

/** Nine lists of nine of the list before: 387 million texts when it is written out. */
function bomb(): string {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x]'];
  for (let n = 1; n < 9; n += 1) {
    lines.push(`a${n}: &a${n} [${Array.from({ length: 9 }, () => `*a${n - 1}`).join(', ')}]`);
  }
  return lines.join('\n');
}

const ATTACKS: readonly [string, string, RegExp][] = [
  ['A bomb of aliases', bomb(), /Excessive alias count/],
  ['An alias without its anchor', 'a: *nothing', /Unresolved alias/],
  ['A list within itself', '&a [*a]', /Object is not a map/],
  [
    'A map within itself',
    CLAIM.replace('{ name: demo }', '&m { name: demo, labels: *m }'),
    /nested/,
  ],
  ['Nesting of 5,000 levels', `a: ${'['.repeat(5_000)}${']'.repeat(5_000)}`, /nested too deep/],
  ['Nesting of 40 levels', `${CLAIM}x: ${'['.repeat(40)}${']'.repeat(40)}`, /nested too deep/],
  ['A prototype as a field', `${CLAIM}__proto__: { spec: 1 }`, /not allowed/],
  [
    'A prototype as a label',
    CLAIM.replace('demo', 'demo, labels: { __proto__: x }'),
    /not allowed/,
  ],
  ['A constructor as a field', `${CLAIM}constructor: 1`, /Field is unknown/],
  ['A kind that every object has', CLAIM.replace('PersistentVolumeClaim', 'toString'), /Kind is/],
  ['A key that is there twice', `${CLAIM}kind: Volume`, /Key is there twice: kind/],
  ['A tag of another language', '!!js/function "x"', /Object is not a map/],
  ['A list of lists', 'kind: List\nitems: [{ kind: List, items: [] }]', /Kind is unknown/],
  ['A claim without an access mode', CLAIM.replace(/accessModes: \S+ /, ''), /name an access mode/],
  ['A text', 'hello', /Object is not a map/],
];

describe('Manifest', () => {
  for (const [title, text, problem] of ATTACKS) {
    test(`${title} is refused with path, value and remedy`, () => {
      assert.throws(
        () => parseManifestObjects(parseManifest(text)),
        (error) => {
          assert.ok(HoldfastError.is(error), String(error));
          assert.equal(error.code, 'invalid-object');
          for (const name of ['path', 'value', 'remedy']) assert.ok(name in error.details, name);
          assert.match(String(error.details['problem']), problem);
          assert.ok(JSON.stringify(error.details).length < 600, 'it can be read');
          return true;
        },
      );
      assert.equal(({} as { spec?: unknown }).spec, undefined, 'no prototype changed');
    });
  }

  test('90,000 keys are looked through once, not each with each', () => {
    const text = Array.from({ length: 90_000 }, (_, n) => `k${n}: 1`).join('\n');
    assert.equal(Object.keys(parseManifest(text)[0] as object).length, 90_000);
    assert.throws(() => parseManifest(`${text}\nk7: 2`), /schema/);
  });

  test('A manifest that is absent, no file or above 1 MiB is refused before it is read', async () => {
    const world = new SimWorld(1);
    const { disk } = world.addNode('a');
    const refused = async (path: string, found: RegExp): Promise<void> => {
      await assert.rejects(readManifestFile(disk, path), (error) => {
        assert.ok(HoldfastError.is(error));
        assert.equal(error.code, 'invalid-argument');
        assert.equal(error.details['value'], path);
        assert.match(String(error.details['found']), found);
        assert.match(String(error.details['remedy']), /at most 1 MiB/);
        return true;
      });
    };
    await world.finish(
      (async () => {
        await disk.makeDirectory('/m/a.yaml');
        const file = await disk.open('/m/big.yaml', { write: true, create: 'new' });
        await file.write(0, encodeText('#'.repeat(MANIFEST_BYTES_MAX)));
        assert.equal((await readManifestFile(disk, '/m/big.yaml')).length, MANIFEST_BYTES_MAX);
        await file.write(MANIFEST_BYTES_MAX, encodeText('#'));
        await file.close();
        await refused('/m/none.yaml', /absent/);
        await refused('/m/a.yaml', /no file/);
        await refused('/m/big.yaml', /1048577 bytes/);
      })(),
    );
  });
});
