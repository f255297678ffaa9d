/** Reports for people: one fact a line. */
import type { Finding } from './findings.ts';
import type { ReplicaReport } from './replica-report.ts';
import type { ComparisonReport, StoreReport } from './store-report.ts';
import type { ViewComparison } from './compare-views.ts';

export function formatReport({ pool, replicas }: StoreReport): string[] {
  const lines: string[] = [];
  if (pool !== null) {
    const id =
      pool.pool === null ? 'unreadable' : `${pool.pool.pool} of cluster ${pool.pool.cluster}`;
    lines.push(`pool ${pool.directory}: ${id}${lockText(pool.lock)}`);
    lines.push(...findingLines(pool.findings));
  }
  for (const replica of replicas) lines.push(...replicaLines(replica));
  return lines;
}

function replicaLines(report: ReplicaReport): string[] {
  const lines = [`replica ${report.directory}: ${report.verdict}${lockText(report.lock)}`];
  const { replica } = report;
  if (replica !== null) {
    const { voter, completed, highestStamp: stamp } = replica;
    const doubt = replica.inDoubt ? 'in doubt' : 'settled';
    const claim = replica.claim === '' ? '' : `, claim ${replica.claim}`;
    const copy = replica.fileIdsFit ? '' : ', file ids differ';
    lines.push(
      `  identity    replica ${replica.replica} of volume ${replica.volume}${claim}`,
      `  incarnation ${replica.incarnation}`,
      `  size        ${replica.sizeBytes} bytes, segments of ${replica.segmentBytes}`,
      `  condition   ${replica.condition}${copy}`,
      `  intents     ${replica.intentSegments} segments, ${doubt}`,
      `  map log     ${replica.mapLogRecords} records to replay`,
      `  completed   (${completed.epoch}, ${completed.n})`,
      `  stamps      ${stamp === null ? 'unreadable' : `highest (${stamp.epoch}, ${stamp.n})`}`,
    );
    if (voter === null) lines.push('  voter       unreadable');
    else {
      lines.push(`  promised    ${voter.promised}${voter.promisedTo && ` to ${voter.promisedTo}`}`);
      lines.push(`  record      ${voter.record === null ? 'none' : JSON.stringify(voter.record)}`);
      if (voter.rebuild !== '') lines.push(`  rebuild     ${voter.rebuild}`);
    }
    for (const { snapshot, epoch, n, sizeBytes, sealed } of replica.snapshots) {
      const state = sealed ? '' : ', being installed';
      lines.push(`  snapshot    ${snapshot} at (${epoch}, ${n}), ${sizeBytes} bytes${state}`);
    }
  }
  for (const layer of report.layers) {
    lines.push(
      `  layer       ${layer.layer} ${layer.state}: ${layer.dataBlocks} data, ` +
        `${layer.zeroBlocks} zero, ${layer.checkedBlocks} checked, ` +
        `${layer.corruptBlocks} corrupt, ${layer.unsettledBlocks} unsettled` +
        (layer.unknownBlocks > 0 ? `, ${layer.unknownBlocks} unknown` : ''),
    );
    if (layer.digest !== undefined) lines.push(`              digest ${layer.digest ?? 'unknown'}`);
  }
  for (const { snapshot, digest } of report.views) {
    const name = snapshot === null ? 'head' : `snapshot ${snapshot}`;
    lines.push(`  contents    ${name}: ${digest ?? 'unknown'}`);
  }
  return [...lines, ...findingLines(report.findings)];
}

export function formatComparison(report: ComparisonReport): string[] {
  const lines = [`left  ${report.left}`, `right ${report.right}`];
  lines.push(...findingLines(report.leftFindings), ...findingLines(report.rightFindings));
  for (const view of report.views) lines.push(...viewLines(view));
  lines.push(report.equal ? 'equal' : 'different');
  return lines;
}

function viewLines(view: ViewComparison): string[] {
  const name = view.snapshot === null ? 'head' : `snapshot ${view.snapshot}`;
  const { leftSizeBytes: left, rightSizeBytes: right } = view;
  if (left === null || right === null) {
    return [`${name}: only the ${left === null ? 'right' : 'left'} one has it`];
  }
  const lines = [`${name}: ${view.differentBlocks} of ${view.comparedBlocks} blocks differ`];
  if (left !== right) lines.push(`  sizes differ: ${left} and ${right} bytes`);
  for (const one of view.differences) {
    const count = one.count === 1 ? '' : `, ${one.count} blocks`;
    lines.push(`  block ${one.block}${count}: left ${one.left}, right ${one.right}`);
  }
  return lines;
}

function findingLines(findings: readonly Finding[]): string[] {
  return findings.map(({ severity, file, message, details }) => {
    const fields = Object.entries(details).map(([key, value]) => ` ${key}=${value}`);
    return `  ${severity.padEnd(11)} ${file}: ${message}${fields.join('')}`;
  });
}

function lockText(state: 'held' | 'taken' | 'none'): string {
  if (state === 'taken') return ' (open in another process)';
  return state === 'none' ? ' (not locked)' : '';
}
