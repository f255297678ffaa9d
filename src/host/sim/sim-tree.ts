import { HoldfastError } from '#api/mod.ts';
import { SimFile } from './sim-file.ts';
import type { SimRng } from './sim-rng.ts';

export class SimDirectory {
  readonly kind = 'directory';
  readonly inode: number;
  readonly birthMs: number;
  readonly entries = new Map<string, SimNode>();
  /** What the platter says. */
  readonly stable = new Map<string, SimNode>();

  constructor(inode: number, birthMs: number) {
    this.inode = inode;
    this.birthMs = birthMs;
  }
}

export type SimNode = SimFile | SimDirectory;

interface NameChange {
  readonly directory: SimDirectory;
  readonly name: string;
  readonly before: SimNode | undefined;
  readonly after: SimNode | undefined;
  synced: boolean;
}

/** One creation, removal or rename: all of its changes survive a power loss, or none. */
type PendingChange = readonly NameChange[];

/**
 * Names of a simulated disk. Changes of names are visible at once and durable only once every
 * directory that they touch was synced, whatever happened to the contents of the files.
 */
export class SimTree {
  readonly root: SimDirectory;
  #pending: PendingChange[] = [];
  #inodes = 1;

  constructor() {
    this.root = new SimDirectory(this.#inodes++, 0);
  }

  newInode(): number {
    return this.#inodes++;
  }

  find(path: string): SimNode | undefined {
    let node: SimNode = this.root;
    for (const name of splitPath(path)) {
      if (node.kind !== 'directory') return undefined;
      const next = node.entries.get(name);
      if (next === undefined) return undefined;
      node = next;
    }
    return node;
  }

  getFile(path: string): SimFile {
    const node = this.find(path);
    if (node?.kind === 'file') return node;
    throw failure('not-found', 'There is no such file', path);
  }

  getDirectory(path: string): SimDirectory {
    const node = this.find(path);
    if (node?.kind === 'directory') return node;
    throw failure('not-found', 'There is no such directory', path);
  }

  createFile(path: string, birthMs: number): SimFile {
    const { directory, name } = this.#parent(path);
    if (directory.entries.has(name)) throw failure('already-exists', 'The name is taken', path);
    const file = new SimFile(this.#inodes++, birthMs);
    this.#change([{ directory, name, before: undefined, after: file, synced: false }]);
    return file;
  }

  makeDirectory(path: string, birthMs: number): void {
    let directory = this.root;
    for (const name of splitPath(path)) {
      let next = directory.entries.get(name);
      if (next === undefined) {
        next = new SimDirectory(this.#inodes++, birthMs);
        this.#change([{ directory, name, before: undefined, after: next, synced: false }]);
      }
      if (next.kind !== 'directory') throw failure('already-exists', 'The name is a file', path);
      directory = next;
    }
  }

  rename(from: string, to: string): void {
    const source = this.#parent(from);
    const target = this.#parent(to);
    const node = source.directory.entries.get(source.name);
    if (node === undefined) throw failure('not-found', 'There is nothing to rename', from);
    const replaced = target.directory.entries.get(target.name);
    if (replaced === node) return;
    if (replaced?.kind === 'directory' && replaced.entries.size > 0) {
      throw failure('already-exists', 'The directory is not empty', to);
    }
    this.#change([
      { ...source, before: node, after: undefined, synced: false },
      { ...target, before: replaced, after: node, synced: false },
    ]);
  }

  remove(path: string): void {
    const node = this.find(path);
    if (node === undefined) return;
    if (node.kind === 'directory' && node.entries.size > 0) {
      throw failure('already-exists', 'The directory is not empty', path);
    }
    const { directory, name } = this.#parent(path);
    this.#change([{ directory, name, before: node, after: undefined, synced: false }]);
  }

  /** Puts a whole tree in place of whatever is there, as durable as if it had always been so. */
  replace(path: string, node: SimNode | undefined): void {
    const { directory, name } = this.#parent(path);
    for (const names of [directory.entries, directory.stable]) {
      if (node === undefined) names.delete(name);
      else names.set(name, node);
    }
  }

  sync(path: string): void {
    const directory = this.getDirectory(path);
    this.#pending = this.#pending.filter((changes) => {
      for (const change of changes) if (change.directory === directory) change.synced = true;
      if (!changes.every((change) => change.synced)) return true;
      applyStable(changes);
      return false;
    });
  }

  /**
   * Changes of names that were not synced survive each by chance: in some crashes a prefix of them.
   */
  losePower(rng: SimRng, keep: number): void {
    const prefix = rng.chance(0.5) ? rng.below(this.#pending.length + 1) : undefined;
    for (const [at, changes] of this.#pending.entries()) {
      if (prefix === undefined ? rng.chance(keep) : at < prefix) applyStable(changes);
    }
    this.#pending = [];
    forget(this.root);
  }

  *files(from: SimDirectory = this.root): Generator<SimFile> {
    for (const node of from.entries.values()) {
      if (node.kind === 'file') yield node;
      else yield* this.files(node);
    }
  }

  /** A copy that shares nothing. New inodes and birth times unless `sameInodes`. */
  copy(
    node: SimNode,
    birthMs: number,
    contents: 'visible' | 'durable',
    sameInodes: boolean,
  ): SimNode {
    const inode = sameInodes ? node.inode : this.#inodes++;
    const birth = sameInodes ? node.birthMs : birthMs;
    if (node.kind === 'file') return node.copy(inode, birth, contents);
    const directory = new SimDirectory(inode, birth);
    for (const [name, child] of contents === 'durable' ? node.stable : node.entries) {
      const copied = this.copy(child, birthMs, contents, sameInodes);
      directory.entries.set(name, copied);
      directory.stable.set(name, copied);
    }
    return directory;
  }

  #parent(path: string): { directory: SimDirectory; name: string } {
    const names = splitPath(path);
    const name = names.pop();
    if (name === undefined) throw failure('permission-denied', 'The root stays as it is', path);
    const directory = this.getDirectory(`/${names.join('/')}`);
    return { directory, name };
  }

  #change(changes: PendingChange): void {
    for (const { directory, name, after } of changes) {
      if (after === undefined) directory.entries.delete(name);
      else directory.entries.set(name, after);
    }
    this.#pending.push(changes);
  }
}

function applyStable(changes: PendingChange): void {
  for (const { directory, name, before, after } of changes) {
    if (after !== undefined) directory.stable.set(name, after);
    // A later change of this name may have become durable first.
    else if (directory.stable.get(name) === before) directory.stable.delete(name);
  }
}

function forget(directory: SimDirectory): void {
  directory.entries.clear();
  for (const [name, node] of directory.stable) {
    directory.entries.set(name, node);
    if (node.kind === 'directory') forget(node);
  }
}

function splitPath(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

function failure(
  code: 'not-found' | 'already-exists' | 'permission-denied',
  message: string,
  path: string,
): HoldfastError {
  return new HoldfastError(code, message, { details: { path } });
}
