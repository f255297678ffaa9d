/**
 * Runs the checks, one line each, and stops at the first that fails.
 *
 *   npm run ok         [-- STEP...]   types, lint, format, tidy, unit tests: what a commit passes
 *   npm test           [-- STEP...]   ok, then the model and the simulation
 *   npm run test:root  [-- STEP...]   tests that mount, attach and kill: they need root
 *   npm run test:cluster [-- STEP...] against a real Kubernetes, which is built first: needs Go
 *
 * A test that cannot run here skips and says why. With HOLDFAST_CI=1 a skipped test is a failure:
 * a machine that checks the project must be able to run all of it.
 */
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { runStep, type StepOutcome } from './run-step.ts';
import { SUMMARY_MARK, type TestSummary } from './test-reporter.ts';

/** npm starts scripts here; tests of this runner bring a tree of their own. */
const ROOT = process.cwd();
const REPORTER = join(import.meta.dirname, 'test-reporter.ts');
const MINUTE_MS = 60_000;
const IS_CI = process.env['HOLDFAST_CI'] === '1';
const NODE_FLAGS = ['--disable-warning=ExperimentalWarning'];

interface Tool {
  readonly name: string;
  readonly kind: 'tool';
  readonly args: readonly string[];
}

interface Tests {
  readonly name: string;
  readonly kind: 'tests';
  readonly files: readonly string[];
  readonly except?: readonly string[];
  readonly concurrency: number;
  readonly testTimeoutMs: number;
  readonly timeoutMs: number;
}

type Step = Tool | Tests;

function tool(name: string, path: string, ...args: string[]): Tool {
  return { name, kind: 'tool', args: [join('node_modules', path), ...args] };
}

function tests(name: string, files: readonly string[], minutes: number): Tests {
  return {
    name,
    kind: 'tests',
    files,
    concurrency: 2,
    testTimeoutMs: minutes * MINUTE_MS,
    timeoutMs: (minutes + 1) * MINUTE_MS,
  };
}

const TIDY = ['test/tidy.test.ts'];

const OK: readonly Step[] = [
  tool('types', 'typescript/bin/tsc', '--noEmit'),
  tool('lint', 'oxlint/bin/oxlint', '--type-aware', '--deny-warnings', 'src', 'test', 'scripts'),
  tool('format', '@biomejs/biome/bin/biome', 'format'),
  tests('tidy', TIDY, 1),
  {
    ...tests('unit', ['src/**/*.test.ts', 'test/*.test.ts'], 12),
    except: TIDY,
    testTimeoutMs: 3 * MINUTE_MS,
  },
];

const TEST: readonly Step[] = [
  ...OK,
  tests('model', ['test/model/*.test.ts'], 4),
  tests('sim', ['test/sim/*.test.ts'], 6),
];

const TIERS: Readonly<Record<string, readonly Step[]>> = {
  ok: OK,
  test: TEST,
  // One at a time: they share the machine's mounts and loop devices, and some measure latency.
  root: [{ ...tests('root', ['test/root/*.test.ts'], 25), concurrency: 1 }],
  cluster: [{ ...tests('cluster', ['test/cluster/*.test.ts'], 17), concurrency: 1 }],
};

interface Verdict {
  readonly ok: boolean;
  readonly summary: string;
  /** Printed below the step's line. */
  readonly notes: readonly string[];
  readonly output: string;
}

function judgeTool(outcome: StepOutcome): Verdict {
  return { ok: outcome.ok, summary: '', notes: [], output: outcome.output };
}

function judgeTests(outcome: StepOutcome, isCi: boolean): Verdict {
  const at = outcome.output.lastIndexOf(SUMMARY_MARK);
  if (at === -1) {
    return { ok: false, summary: 'no summary', notes: [], output: outcome.output };
  }
  const end = outcome.output.indexOf('\n', at);
  const summary: TestSummary = JSON.parse(outcome.output.slice(at + SUMMARY_MARK.length, end));
  let output = outcome.output.slice(0, at) + outcome.output.slice(end + 1);
  const skips = summary.skipped.map(
    ({ test, reason }) => `skipped ${test}: ${reason || 'NO REASON'}`,
  );
  const refused = isCi ? skips : skips.filter((skip) => skip.endsWith('NO REASON'));
  if (refused.length > 0) output += `${refused.join('\n')}\n`;
  if (refused.length > 0 && isCi) output += 'HOLDFAST_CI=1: nothing may be skipped here\n';
  return {
    ok: outcome.ok && refused.length === 0,
    summary: `${summary.passed} passed${skips.length > 0 ? `, ${skips.length} skipped` : ''}`,
    notes: [...summary.notes, ...(refused.length > 0 ? [] : skips)],
    output,
  };
}

/** Undefined when the step has no tests. */
async function runOne(step: Step): Promise<{ verdict: Verdict; elapsedMs: number } | undefined> {
  if (step.kind === 'tool') {
    const args = [...NODE_FLAGS, ...step.args];
    const outcome = await runStep(args, { cwd: ROOT, timeoutMs: 5 * MINUTE_MS });
    return { verdict: judgeTool(outcome), elapsedMs: outcome.elapsedMs };
  }
  const except = step.except ?? [];
  const files = globSync([...step.files], { cwd: ROOT }).filter((file) => !except.includes(file));
  if (files.length === 0) return undefined;
  const args = [
    ...NODE_FLAGS,
    '--test',
    `--test-concurrency=${step.concurrency}`,
    `--test-timeout=${step.testTimeoutMs}`,
    `--test-reporter=${REPORTER}`,
    ...files.toSorted(),
  ];
  const outcome = await runStep(args, { cwd: ROOT, timeoutMs: step.timeoutMs });
  return { verdict: judgeTests(outcome, IS_CI), elapsedMs: outcome.elapsedMs };
}

async function main(): Promise<void> {
  const [tier = 'ok', ...names] = process.argv.slice(2);
  const steps = TIERS[tier];
  const unknown = names.filter((name) => !steps?.some((step) => step.name === name));
  if (steps === undefined || unknown.length > 0) {
    const known = steps?.map((step) => step.name) ?? Object.keys(TIERS);
    console.error(`No such step: ${unknown.join(' ') || tier}. There are: ${known.join(' ')}`);
    process.exit(2);
  }
  const startedMs = performance.now();
  for (const step of steps) {
    if (names.length > 0 && !names.includes(step.name)) continue;
    const result = await runOne(step);
    if (result === undefined) {
      console.log(`${step.name.padEnd(8)}    none`);
      if (!IS_CI) continue;
      console.log('HOLDFAST_CI=1: a step without tests is a skipped one');
      process.exit(1);
    }
    const { verdict, elapsedMs } = result;
    const mark = verdict.ok ? 'ok' : 'FAILED';
    const figures = `${step.name.padEnd(8)}${seconds(elapsedMs).padStart(8)}`;
    console.log(`${figures}  ${mark}  ${verdict.summary}`.trimEnd());
    for (const note of verdict.notes) console.log(`    ${note}`);
    if (!verdict.ok) {
      console.log(`\n${verdict.output.trimEnd()}\n\n${step.name} failed`);
      process.exit(1);
    }
  }
  console.log(`${tier.padEnd(8)}${seconds(performance.now() - startedMs).padStart(8)}  all ok`);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

await main();
