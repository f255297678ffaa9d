/** Every error code is described, and nothing else is. */
import type { Finding, Tree } from './tree.ts';

export const CODES_PATH = 'src/api/errors.ts';
export const ERRORS_PAGE = 'docs/errors.md';

/** The string literals of the `ERROR_CODES` table, in order. */
export function parseErrorCodes(text: string): string[] {
  const table = /ERROR_CODES\s*=\s*\[(.*?)\]\s*as const/s.exec(text)?.[1] ?? '';
  const withoutComments = table.replaceAll(/\/\/[^\n]*|\/\*.*?\*\//gs, '');
  return [...withoutComments.matchAll(/'([^']+)'/g)].map((match) => match[1] ?? '');
}

/** Rows of the page look like "| `code` | cause | effect | remedy | exit |". */
export function parseErrorRows(text: string): { code: string; cells: string[]; line: number }[] {
  const rows: { code: string; cells: string[]; line: number }[] = [];
  text.split('\n').forEach((line, index) => {
    const code = /^\| `([a-z0-9-]+)` \|/.exec(line)?.[1];
    if (code === undefined) return;
    const cells = line.split('|').slice(2, -1);
    rows.push({ code, cells: cells.map((cell) => cell.trim()), line: index + 1 });
  });
  return rows;
}

export function checkErrorList(tree: Tree): Finding[] {
  const source = tree.get(CODES_PATH);
  if (source === undefined) return [];
  const codes = parseErrorCodes(source);
  const rows = parseErrorRows(tree.get(ERRORS_PAGE) ?? '');
  const findings: Finding[] = [];
  if (codes.length === 0)
    findings.push({ path: CODES_PATH, message: 'No ERROR_CODES table found' });
  for (const code of codes) {
    const count = rows.filter((row) => row.code === code).length;
    if (count !== 1) {
      findings.push({ path: ERRORS_PAGE, message: `${code} has ${count} rows, not one` });
    }
  }
  for (const { code, cells, line } of rows) {
    if (!codes.includes(code)) {
      findings.push({ path: ERRORS_PAGE, line, message: `${code} is no error code` });
    }
    if (cells.length !== 4 || cells.some((cell) => cell === '')) {
      findings.push({ path: ERRORS_PAGE, line, message: `${code} lacks a cell` });
    } else if (!/^\d+$/.test(cells[3] ?? '')) {
      findings.push({ path: ERRORS_PAGE, line, message: `${code} has no exit code` });
    }
  }
  return findings;
}
