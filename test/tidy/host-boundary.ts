/**
 * Above the host boundary nothing reads a clock, draws a random number or does I/O by itself. The
 * linter says the same; this is the second lock, since a lint rule is switched off in one line.
 */
import { blank } from './source-text.ts';
import { type Finding, isTestFile, lineOf, type Tree } from './tree.ts';

interface Ban {
  readonly name: string;
  readonly pattern: RegExp;
  readonly instead: string;
}

function ban(name: string, pattern: RegExp, instead: string): Ban {
  return { name, pattern, instead };
}

/** A global's name is not preceded by a dot and is no key, parameter or method of ours. */
export const BANS: readonly Ban[] = [
  ban('Date', /(?<![.\w#'])(?:new Date\b|Date\.|Date\()/g, 'Clock.wallMs() or monotonicMs()'),
  ban('performance', /(?<![.\w#])performance\./g, 'Clock.monotonicMs()'),
  ban(
    'setTimeout family',
    /(?<![.\w#])(?:set|clear)(?:Timeout|Interval|Immediate)\(/g,
    'Clock.after() or Clock.sleep()',
  ),
  ban(
    'process',
    /(?<![.\w#])process\.(?:nextTick|hrtime|env|exit|cwd|argv|std\w+|binding|memoryUsage)\b/g,
    'Host, or an argument from cmd',
  ),
  ban('Math.random', /\bMath\.random\b/g, 'Rng'),
  ban('crypto random', /\b(?:random(?:Bytes|UUID|Int|Fill|FillSync)|getRandomValues)\(/g, 'Rng'),
  ban('fetch', /(?<![.\w#])fetch\(/g, 'Http'),
  ban('AbortSignal.timeout', /\bAbortSignal\.timeout\b/g, 'Clock.after()'),
  ban('Atomics.wait', /\bAtomics\.wait(?:Async)?\b/g, 'Clock and Host'),
  ban('WeakRef', /\bnew WeakRef\b/g, 'owned objects that are dropped'),
  ban('FinalizationRegistry', /\bnew FinalizationRegistry\b/g, 'explicit close'),
  ban('globalThis', /(?<![.\w#])globalThis\b/g, 'the name of the global'),
];

const IO_MODULE =
  /(?:from|import\()\s*'((?:node:)?(?:fs|fs\/promises|net|tls|dgram|dns|http|https|http2|child_process|cluster|worker_threads|os|timers|timers\/promises|perf_hooks|process|readline|sqlite|stream\/promises|async_hooks|inspector|v8|vm))'/g;

const BOUNDARY_FREE = ['src/host/node/', 'src/cmd/'];

/** A line may break a ban when the line above switches the lint rule off and says why. */
const EXCUSED = /oxlint-disable(?:-next-line)?\s.*\s--\s\S/;
const UNREASONED = /oxlint-disable(?!.*\s--\s\S)/;

export function checkHostBoundary(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const [path, text] of tree) {
    if (!path.endsWith('.ts') || !path.startsWith('src/')) continue;
    const lines = text.split('\n');
    lines.forEach((line, index) => {
      if (UNREASONED.test(line)) {
        findings.push({ path, line: index + 1, message: 'oxlint-disable without `-- reason`' });
      }
    });
    if (isTestFile(path) || BOUNDARY_FREE.some((folder) => path.startsWith(folder))) continue;
    const fileExcused = lines.some((line) => /oxlint-disable\s/.test(line) && EXCUSED.test(line));
    const report = (index: number, name: string, instead: string): void => {
      const line = lineOf(text, index);
      const above = lines[line - 2] ?? '';
      if (fileExcused || EXCUSED.test(above)) return;
      findings.push({ path, line, message: `${name} is banned here: use ${instead}` });
    };
    const { codeOnly, withStrings } = blank(text);
    for (const { name, pattern, instead } of BANS) {
      for (const match of codeOnly.matchAll(pattern)) report(match.index, name, instead);
    }
    for (const match of withStrings.matchAll(IO_MODULE)) {
      report(match.index, match[1] ?? '', 'Host: only host/node and cmd import I/O modules');
    }
  }
  return findings;
}
