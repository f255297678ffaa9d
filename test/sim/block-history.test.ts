import { equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { BlockHistory } from './block-history.ts';

const eight = (value: number): number[] => new Array<number>(8).fill(value);

function write(history: BlockHistory, value: number, from: number, to: number): void {
  history.invoke(value, from).completedAt = to;
}

test('BlockHistory accepts reads of the last write and of a write in flight', () => {
  const history = new BlockHistory();
  history.read(eight(0), 1, 2);
  write(history, 1, 3, 6);
  history.read(eight(0), 3, 5);
  history.read(eight(1), 5, 7);
  history.read(eight(1), 8, 9);
  equal(history.check(), null);
});

test('BlockHistory finds a stale read', () => {
  const history = new BlockHistory();
  write(history, 1, 1, 2);
  write(history, 2, 3, 4);
  history.read(eight(1), 5, 6);
  match(history.check() ?? '', /lost write|stale read/);
});

test('BlockHistory finds a value that comes back', () => {
  const history = new BlockHistory();
  write(history, 1, 1, 2);
  history.invoke(2, 3);
  history.read(eight(2), 4, 5);
  history.read(eight(1), 6, 7);
  match(history.check() ?? '', /lost write|stale read/);
});

test('BlockHistory finds a value that nobody wrote', () => {
  const history = new BlockHistory();
  history.read(eight(9), 1, 2);
  match(history.check() ?? '', /may be left/);
});

test('BlockHistory finds a lost write that was flushed before all power went', () => {
  const history = new BlockHistory();
  write(history, 1, 1, 2);
  write(history, 2, 3, 4);
  history.lose(10, 5);
  history.read(eight(1), 11, 12);
  match(history.check() ?? '', /may be left/);
});

test('BlockHistory lets unflushed sectors be old or new after a loss, but only once', () => {
  const history = new BlockHistory();
  write(history, 1, 1, 2);
  write(history, 2, 6, 7);
  history.lose(10, 5);
  history.read([1, 1, 2, 2, 2, 2, 2, 2], 11, 12);
  equal(history.check(), null);
  history.read(eight(2), 13, 14);
  match(history.check() ?? '', /disagree/);
});

test('BlockHistory refuses a torn block while a replica had power', () => {
  const history = new BlockHistory();
  write(history, 1, 1, 2);
  history.read([0, 1, 1, 1, 1, 1, 1, 1], 1, 3);
  match(history.check() ?? '', /torn|stale|lost/);
});

test('BlockHistory lets sectors be old or new after a write that failed half-way, but only once', () => {
  const history = new BlockHistory();
  write(history, 1, 1, 2);
  history.invoke(2, 3);
  history.read([2, 2, 2, 2, 1, 1, 1, 1], 4, 5);
  history.read([2, 2, 2, 2, 1, 1, 1, 1], 6, 7);
  equal(history.check(), null);
  write(history, 3, 8, 9);
  history.read(eight(3), 10, 11);
  equal(history.check(), null);
  history.read([3, 3, 3, 3, 1, 1, 1, 1], 12, 13);
  match(history.check() ?? '', /lost write|stale read/);
});

test('BlockHistory finds a sector that changes back after a write that failed half-way', () => {
  const history = new BlockHistory();
  write(history, 1, 1, 2);
  history.invoke(2, 3);
  history.read([2, 2, 2, 2, 1, 1, 1, 1], 4, 5);
  history.read([2, 2, 2, 1, 1, 1, 1, 1], 6, 7);
  match(history.check() ?? '', /lost write|stale read/);
});

test('BlockHistory refuses a block torn between two writes that were acknowledged', () => {
  const history = new BlockHistory();
  write(history, 1, 1, 8);
  write(history, 2, 2, 9);
  history.invoke(3, 3);
  history.read([1, 1, 1, 1, 2, 2, 3, 3], 4, 5);
  match(history.check() ?? '', /torn block/);
});

test('BlockHistory refuses a block torn by a write that had no effect', () => {
  const history = new BlockHistory();
  write(history, 1, 1, 2);
  history.invoke(2, 3).applied = false;
  history.read([2, 2, 2, 2, 1, 1, 1, 1], 4, 5);
  match(history.check() ?? '', /nobody wrote it|may be left/);
});

test('BlockHistory accepts zeroes of any trim, and finds data that outlives one', () => {
  const history = new BlockHistory();
  write(history, 1, 1, 2);
  write(history, 0, 3, 4);
  history.read(eight(0), 5, 6);
  write(history, 2, 7, 8);
  write(history, 0, 9, 12);
  history.read(eight(2), 10, 11);
  history.read(eight(0), 13, 14);
  equal(history.check(), null);
  history.read(eight(2), 15, 16);
  match(history.check() ?? '', /lost write|stale read/);
});

test('BlockHistory finds zeroes where a write was', () => {
  const history = new BlockHistory();
  write(history, 0, 1, 2);
  write(history, 1, 3, 4);
  history.read(eight(0), 5, 6);
  match(history.check() ?? '', /long overwritten/);
});

test('BlockHistory holds a snapshot against the era in which it was taken', () => {
  const history = new BlockHistory();
  write(history, 1, 1, 2);
  write(history, 2, 5, 6);
  history.lose(10, 7);
  write(history, 3, 11, 12);
  history.readSnapshot(eight(1), 3, 4);
  equal(history.check(), null);
  history.readSnapshot(eight(3), 3, 4);
  match(history.check() ?? '', /nobody wrote it/);
});

test('BlockHistory finds a snapshot without a write that was acknowledged before it', () => {
  const history = new BlockHistory();
  write(history, 1, 1, 2);
  history.readSnapshot(eight(0), 3, 4);
  match(history.check() ?? '', /long overwritten/);
});
