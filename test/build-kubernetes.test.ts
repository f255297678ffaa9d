/** The builder of Kubernetes programs, with a `go` that is a script: nothing is compiled here. */
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import {
  ensureKubernetes,
  kubernetesCache,
  pinnedVersion,
  whyNoKubernetes,
} from '../scripts/build-kubernetes.ts';

/** Writes what it is asked to build, then ends as told; notes each build. */
const GO = `#!/bin/sh
here=$(dirname "$0")
case "$1" in
  version) exit 0 ;;
  mod) exit 0 ;;
  list) echo "$here/module" ;;
  build)
    while [ "$1" != -o ]; do shift; done
    echo "$3" >> "$here/builds"
    echo program > "$2"
    [ ! -e "$here/broken" ] || { echo planted failure >&2; exit 1; } ;;
esac
`;

interface Place {
  readonly folder: string;
  readonly environment: NodeJS.ProcessEnv;
}

async function inPlace(work: (place: Place) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'hf-build-kubernetes-'));
  try {
    mkdirSync(join(folder, 'module', 'config', 'crd'), { recursive: true });
    writeFileSync(join(folder, 'module', 'config', 'crd', 'one.yaml'), 'kind: x\n');
    writeFileSync(join(folder, 'go'), GO, { mode: 0o755 });
    const environment = {
      ...process.env,
      PATH: `${folder}:/usr/bin:/bin`,
      HOLDFAST_KUBERNETES: join(folder, 'cache'),
    };
    await work({ folder, environment });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const quiet = (): void => {};

test('The builder builds what is missing, once', async () => {
  await inPlace(async ({ folder, environment }) => {
    const cache = await ensureKubernetes(['kubectl'], environment, quiet);
    assert.equal(readFileSync(cache.path('kubectl'), 'utf8'), 'program\n');
    assert.deepEqual(readdirSync(cache.snapshotCrds), ['one.yaml']);
    await ensureKubernetes(['kubectl', 'etcd'], environment, quiet);
    assert.deepEqual(readFileSync(join(folder, 'builds'), 'utf8').trim().split('\n'), [
      'k8s.io/kubernetes/cmd/kubectl',
      'go.etcd.io/etcd/server/v3',
    ]);
  });
});

test('A build that fails half-way leaves no program and no scratch', async () => {
  await inPlace(async ({ folder, environment }) => {
    writeFileSync(join(folder, 'broken'), '');
    await assert.rejects(ensureKubernetes(['kubectl'], environment, quiet), /planted failure/);
    const cache = kubernetesCache(environment);
    assert.equal(existsSync(cache.path('kubectl')), false);
    assert.deepEqual(readdirSync(cache.directory), []);
    rmSync(join(folder, 'broken'));
    await ensureKubernetes(['kubectl'], environment, quiet);
    assert.equal(existsSync(cache.path('kubectl')), true);
  });
});

test('Without Go the builder says what is missing and how to get it', async () => {
  await inPlace(async ({ folder, environment }) => {
    rmSync(join(folder, 'go'));
    const bare = { ...environment, PATH: folder };
    assert.match((await whyNoKubernetes(['etcd'], bare)) ?? '', /etcd not built.*install Go 1\.26/);
    await assert.rejects(ensureKubernetes(['etcd'], bare, quiet), /https:\/\/go\.dev\/dl/);
  });
});

test('Without Go programs that were built before are used', async () => {
  await inPlace(async ({ folder, environment }) => {
    await ensureKubernetes(['etcd'], environment, quiet);
    rmSync(join(folder, 'go'));
    const bare = { ...environment, PATH: folder };
    assert.equal(await whyNoKubernetes(['etcd'], bare), undefined);
    await ensureKubernetes(['etcd'], bare, quiet);
  });
});

test('The cache is named for the version of Kubernetes and the processor', () => {
  const { directory } = kubernetesCache({ HOLDFAST_KUBERNETES: '/somewhere' });
  const version = pinnedVersion('k8s.io/kubernetes').slice(1);
  assert.ok(directory.startsWith(`/somewhere/${version}-${process.arch}-`), directory);
});
