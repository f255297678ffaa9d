import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runTrial, type TrialOptions, type TrialReport } from './nexus-trial.testkit.ts';

/** Seeds per arrangement; more by hand with `TRIAL_SEEDS=1000`. */
const SEEDS = Number(process.env['TRIAL_SEEDS'] ?? 12);

const ARRANGEMENTS: Readonly<Record<string, Omit<TrialOptions, 'seed'>>> = {
  'one replica': { replicas: ['r-1'] },
  'two replicas and the control plane': { replicas: ['r-1', 'r-2'], controlPlane: true },
  'three replicas': {},
  'three replicas and the control plane': { controlPlane: true },
};

for (const [name, options] of Object.entries(ARRANGEMENTS)) {
  test(`Nexus loses nothing with ${name} through crashes, power loss and take-overs`, async () => {
    const reports: TrialReport[] = [];
    for (let seed = 1; seed <= SEEDS; seed++) reports.push(await runTrial({ ...options, seed }));
    const operations = reports.reduce((sum, report) => sum + report.operations, 0);
    assert.ok(operations > SEEDS * 300, `${operations} operations`);
  });
}

test('The same seed gives the same trial', async () => {
  assert.deepEqual(await runTrial({ seed: 7 }), await runTrial({ seed: 7 }));
});
