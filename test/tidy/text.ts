/** What may not stand in a file, whatever the language. */
import { blank } from './source-text.ts';
import type { Finding, Tree } from './tree.ts';

const CODE = /^(?:src|test|scripts|bin|\.ci)\/.*$/;
const COLUMNS_MAX = 100;
/** One unbroken word, such as a link or a hex fixture, cannot be wrapped. */
const ONE_WORD = /^\s*(?:\/\/|\*|')?\s*\S+$/;

export function checkColumns(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const [path, text] of tree) {
    if (!/\.(?:ts|cjs)$/.test(path) || !CODE.test(path)) continue;
    if (/\/(?:fixtures|testdata)\//.test(path)) continue;
    const codeLines = blank(text).codeOnly.split('\n');
    let formatterOff = false;
    text.split('\n').forEach((line, index) => {
      const exempt =
        formatterOff || ONE_WORD.test(line) || isLiteralAtLimit(line, codeLines[index] ?? '');
      formatterOff = line.includes('biome-ignore format:');
      const columns = Array.from(line).length;
      if (columns <= COLUMNS_MAX || exempt) return;
      findings.push({ path, line: index + 1, message: `${columns} columns: at most 100` });
    });
  }
  return findings;
}

/** What may follow a literal that fills its line. */
const CLOSING = /^[`'"/gimsuy)\]};,]*$/;

/** A text or regular expression is not broken, so that a search for it succeeds. */
function isLiteralAtLimit(line: string, codeLine: string): boolean {
  if (/^\s*(?:\/\/|\/?\*)/.test(line) || line.includes('//')) return false;
  const wordStart = line.lastIndexOf(' ', COLUMNS_MAX) + 1;
  return CLOSING.test(codeLine.slice(wordStart, COLUMNS_MAX + 1).trim());
}

const REMINDER = new RegExp(String.raw`(?://|\*|#).*\b(?:TO${'DO'}|FIX${'ME'}|XX${'X'})\b`);
const WITH_ISSUE = new RegExp(String.raw`\bTO${'DO'}\(#\d+\)`);

export function checkReminders(tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const [path, text] of tree) {
    if (!CODE.test(path)) continue;
    text.split('\n').forEach((line, index) => {
      if (REMINDER.test(line) && !WITH_ISSUE.test(line)) {
        findings.push({ path, line: index + 1, message: 'A reminder names its issue: (#number)' });
      }
    });
  }
  return findings;
}

/** Hosts that package clients talk to: a checkout must work behind any mirror. */
const REGISTRY_HOST =
  /\bregistry\.(?:npmjs|yarnpkg|npmmirror)\.\w+|\bnpm\.pkg\.github\.com|\bproxy\.golang\.org|\bfiles\.pythonhosted\.org|\b(?:index|static)\.crates\.io/i;
const HOME_PATH = /(?<![\w.*-])\/(?:(?:home|Users)\/[A-Za-z]\w*|root\/[\w.]+|work\/[\w.]+)/;

/** `machineHosts` are those this machine is set up with, so that they cannot leak either. */
export function checkPlaces(tree: Tree, machineHosts: readonly string[] = []): Finding[] {
  const findings: Finding[] = [];
  for (const [path, text] of tree) {
    text.split('\n').forEach((line, index) => {
      const host = REGISTRY_HOST.exec(line)?.[0] ?? machineHosts.find((one) => line.includes(one));
      if (host !== undefined) {
        findings.push({ path, line: index + 1, message: `Names a package registry: ${host}` });
      }
      const home = HOME_PATH.exec(line)?.[0];
      if (home !== undefined) {
        findings.push({ path, line: index + 1, message: `Names a path of one machine: ${home}` });
      }
    });
    if (path === 'package-lock.json' && text.includes('"resolved"')) {
      findings.push({ path, message: 'Holds resolved addresses: see .npmrc' });
    }
  }
  return findings;
}
