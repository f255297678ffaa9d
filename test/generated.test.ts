import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { generatedFiles } from '../scripts/generate.ts';

const ROOT = join(import.meta.dirname, '..');

/** Paths whose text is not what the source gives. */
function stale(read: (path: string) => string): string[] {
  return [...generatedFiles()].filter(([path, text]) => read(path) !== text).map(([path]) => path);
}

function readFile(path: string): string {
  try {
    return readFileSync(join(ROOT, path), 'utf8');
  } catch {
    return '';
  }
}

describe('Generated files', () => {
  test('What is checked in is what the schemas give: else run npm run generate', () => {
    assert.deepEqual(stale(readFile), []);
  });

  test('A planted difference is found', () => {
    const planted = 'deploy/crds/volumes.yaml';
    const found = stale((path) =>
      path === planted ? readFile(path).replace('hfvol', 'vol') : readFile(path),
    );
    assert.deepEqual(found, [planted]);
  });

  test('Every kind of ours has a definition', () => {
    const names = [...generatedFiles().keys()].filter((path) => path.startsWith('deploy/crds/'));
    assert.deepEqual(
      names.map((path) => path.slice('deploy/crds/'.length, -'.yaml'.length)).toSorted(),
      ['diskpools', 'mounts', 'replicas', 'snapshots', 'storagenodes', 'volumes'],
    );
  });
});
