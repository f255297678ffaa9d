/**
 * The project's CSI services against csi-sanity, as filesystems and as block devices: nothing may
 * fail, and what is skipped is what docs/design/0011-csi.md says is not claimed.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ensureKubernetes, whyNoKubernetes } from '../../scripts/build-kubernetes.ts';
import { RealCluster, whyNotHere } from '../root/real-cluster.testkit.ts';

const GIB = 2 ** 30;
const RUN_MS = 300_000;
const SPECS_MIN = 70;
/** Of csi-sanity's own words: groups, attributes and a small attach limit are not claimed. */
const SKIPS = [
  'GroupControllerService not supported',
  'ControllerModifyVolume not supported',
  'Modify [Vv]olume not supported',
  'testnodevolumeattachlimit not enabled',
];

interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly unexplained: readonly string[];
}

/** Reads what csi-sanity printed; a report without a summary has failed. */
function readReport(text: string): Outcome {
  const counts = /(\d+) Passed \| (\d+) Failed \| \d+ Pending \| (\d+) Skipped/.exec(text);
  const [passed = 0, failed = 1, skipped = 0] = (counts ?? []).slice(1).map(Number);
  const reasons = [...text.matchAll(/^ +\[SKIPPED\] (?!in \[)(.+)$/gm)].map((match) => match[1]);
  const known = new RegExp(`^(${SKIPS.join('|')})`);
  const unexplained = reasons.filter((reason) => reason !== undefined && !known.test(reason));
  const unnamed = skipped - reasons.length;
  return {
    passed,
    failed,
    skipped,
    unexplained: [...(unexplained as string[]), ...(unnamed > 0 ? [`${unnamed} without why`] : [])],
  };
}

test('The reader of reports sees failures and skips that nobody explained', () => {
  const summary = (failed: number, skipped: number): string =>
    `Ran 3 of 5 Specs\nFAIL! -- 2 Passed | ${failed} Failed | 0 Pending | ${skipped} Skipped\n`;
  const known = '  [SKIPPED] GroupControllerService not supported\n';
  assert.deepEqual(readReport(known + summary(0, 1)).unexplained, []);
  assert.equal(readReport(summary(1, 0)).failed, 1);
  assert.deepEqual(readReport(summary(0, 2)).unexplained, ['2 without why']);
  const odd = '  [SKIPPED] CreateVolume not supported\n';
  assert.deepEqual(readReport(odd + summary(0, 1)).unexplained, ['CreateVolume not supported']);
  assert.equal(readReport('panic: no such socket').failed, 1);
});

const skip = whyNotHere(['mkfs.xfs']) || (await whyNoKubernetes(['csi-sanity'])) || false;

describe('csi-sanity', { skip }, () => {
  let cluster: RealCluster;
  let scratch = '';
  let program = '';

  before(async () => {
    program = (await ensureKubernetes(['csi-sanity'])).path('csi-sanity');
    scratch = mkdtempSync(join(tmpdir(), 'hf-sanity-'));
    cluster = await RealCluster.start('sanity');
  });

  after(async () => {
    await cluster?.stop();
    rmSync(scratch, { recursive: true, force: true });
  });

  for (const access of ['mount', 'block']) {
    test(`Nothing fails with volumes as ${access}`, { timeout: RUN_MS }, async (t) => {
      const parameters = join(scratch, 'parameters.yaml');
      // xfs grows online on every machine; ext4 needs CAP_SYS_RESOURCE.
      writeFileSync(parameters, 'replicas: "3"\ncsi.storage.k8s.io/fstype: xfs\n');
      const run = `${cluster.directory}/run`;
      const text = await outputOf(program, [
        `-csi.endpoint=unix://${run}/node-1.csi.sock`,
        `-csi.controllerendpoint=unix://${run}/csi.sock`,
        `-csi.mountdir=${scratch}/mount`,
        `-csi.stagingdir=${scratch}/staging`,
        `-csi.testvolumesize=${GIB}`,
        `-csi.testvolumeexpandsize=${2 * GIB}`,
        `-csi.testvolumeparameters=${parameters}`,
        `-csi.testvolumeaccesstype=${access}`,
        '--ginkgo.v',
        '--ginkgo.no-color',
      ]);
      const { passed, failed, skipped, unexplained } = readReport(text);
      t.diagnostic(`${access}: ${passed} passed, ${failed} failed, ${skipped} skipped`);
      assert.equal(failed, 0, text.slice(text.indexOf('Summarizing')));
      assert.ok(passed >= SPECS_MIN, `${passed} passed`);
      assert.deepEqual(unexplained, []);
      assert.match(await cluster.holdfast('get', 'volumes', '-o', 'json'), /^\[\]|"items": \[\]/);
    });
  }
});

function outputOf(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const options = { timeout: RUN_MS - 10_000, maxBuffer: 64 * 2 ** 20 };
    execFile(program, [...args], options, (_, stdout, stderr) => resolve(stdout + stderr));
  });
}
