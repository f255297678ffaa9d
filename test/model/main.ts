/**
 * npm run model -- [--minutes M] [--seed S] [--states N] [--steps N] [--config NAME] [--traces]
 *
 * Explores every world: at least a million distinct states of each of the two basic ones, the
 * small ones whole, then random walks (at least ten million steps, and for the rest of the
 * minutes), then hunts for every planted mistake. Exits with 1 on a violation of the sound model
 * or on a mistake that is not caught and has no argument why.
 */
import { parseArgs } from 'node:util';
import type { Bounds } from './bounds.ts';
import { explore, type Outcome, type Violation, walk } from './checker.ts';
import { hunt, MISTAKES, replaySound } from './mistakes.ts';
import { ReplicationModel } from './replication-model.ts';
import { BASIC, SMALL, WALKED, WHOLE } from './worlds.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '3' },
    seed: { type: 'string', default: '1' },
    states: { type: 'string', default: '3000000' },
    steps: { type: 'string', default: '10000000' },
    config: { type: 'string' },
    traces: { type: 'boolean', default: false },
  },
});

const STEPS_PER_ROUND = 250_000;
const began = performance.now();
const deadline = began + Number(values.minutes) * 60_000;
let failures = 0;
let states = 0;
let steps = 0;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function isChosen(name: string): boolean {
  return values.config === undefined || values.config === name;
}

function showTrace({ what, trace }: Violation): void {
  say(`  ${what}`);
  for (const [i, step] of trace.entries()) say(`  ${String(i + 1).padStart(3)}. ${step}`);
}

function report(name: string, outcome: Outcome, startedAt: number): void {
  const seconds = (performance.now() - startedAt) / 1000;
  const rate = Math.round(outcome.states / seconds / 1000);
  const extent = outcome.isComplete ? 'whole' : `to depth ${outcome.depth}`;
  say(
    `${name}: ${outcome.states} states, ${outcome.steps} steps, ${extent}, ` +
      `${seconds.toFixed(1)} s, ${rate} thousand states/s`,
  );
  states += outcome.states;
  if (outcome.violation === null) return;
  failures++;
  showTrace(outcome.violation);
}

function exploreAll(): void {
  for (const bounds of [...BASIC, ...WHOLE]) {
    if (!isChosen(bounds.name)) continue;
    const startedAt = performance.now();
    const outcome = explore(new ReplicationModel(bounds), { states: Number(values.states) });
    report(bounds.name, outcome, startedAt);
  }
  for (const small of SMALL) {
    if (!isChosen(small.name)) continue;
    const startedAt = performance.now();
    report(small.name, explore(small.make(), { states: Number(values.states) }), startedAt);
  }
}

function walkAll(): void {
  const chosen = WALKED.filter(({ name }) => isChosen(name));
  const models = new Map<Bounds, ReplicationModel>();
  const taken = new Map<Bounds, number>();
  const startedAt = performance.now();
  let walked = 0;
  for (let round = 0; chosen.length > 0; round++) {
    if (walked >= Number(values.steps) && performance.now() >= deadline) break;
    const bounds = chosen[round % chosen.length] as Bounds;
    const model = models.get(bounds) ?? new ReplicationModel(bounds);
    models.set(bounds, model);
    const seed = Number(values.seed) + round;
    const outcome = walk(model, { seed, steps: STEPS_PER_ROUND, lengthMax: 400 });
    walked += outcome.steps;
    taken.set(bounds, (taken.get(bounds) ?? 0) + outcome.steps);
    if (outcome.violation === null) continue;
    failures++;
    say(`${bounds.name}, seed ${seed}:`);
    showTrace(outcome.violation);
    break;
  }
  for (const [{ name }, count] of taken) say(`${name}: ${count} random steps`);
  const seconds = (performance.now() - startedAt) / 1000;
  say(`walks: ${walked} steps in ${seconds.toFixed(1)} s`);
  steps += walked;
}

function huntAll(): void {
  for (const mistake of MISTAKES) {
    const { violation } = hunt(mistake);
    if (violation !== null) {
      say(`caught: ${mistake.name} (${mistake.rule}): ${violation.what}`);
      if (values.traces) showTrace(violation);
    } else if (mistake.harmless !== undefined) {
      say(`not caught: ${mistake.name} (${mistake.rule}): ${mistake.harmless}`);
    } else {
      failures++;
      say(`NOT CAUGHT: ${mistake.name} (${mistake.rule})`);
    }
    if (mistake.schedule === undefined) continue;
    const sound = replaySound(mistake).outcome?.violation;
    if (sound === undefined || sound === null) continue;
    failures++;
    say('and the sound model fails under the same schedule:');
    showTrace(sound);
  }
  for (const small of SMALL) {
    for (const [rule, make] of small.mistakes) {
      const { violation } = explore(make(), { states: Number(values.states) });
      if (violation === null) failures++;
      say(`${violation === null ? 'NOT CAUGHT' : 'caught'}: ${small.name} without ${rule}`);
      if (violation !== null && values.traces) showTrace(violation);
    }
  }
}

exploreAll();
walkAll();
if (values.config === undefined) huntAll();
say(
  `${failures === 0 ? 'No violation' : `${failures} failures`}: ${states} states, ` +
    `${steps} random steps, ${Math.round((performance.now() - began) / 1000)} s`,
);
process.exitCode = failures === 0 ? 0 : 1;
