import { test } from 'node:test';
import { deepEqual, equal } from 'node:assert/strict';
import fc from 'fast-check';
import { RangeLock, RangeTicket } from './range-lock.ts';

function ticketFor(
  granted: string[],
  name: string,
  offset: number,
  length: number,
  exclusive: boolean,
): RangeTicket {
  const ticket = new RangeTicket(() => granted.push(name));
  ticket.offset = offset;
  ticket.length = length;
  ticket.exclusive = exclusive;
  return ticket;
}

test('RangeLock serves overlapping tickets first come, first served', () => {
  const granted: string[] = [];
  const lock = new RangeLock();
  const first = ticketFor(granted, 'first', 0, 10, true);
  const wide = ticketFor(granted, 'wide', 5, 10, true);
  const behind = ticketFor(granted, 'behind', 12, 4, true);
  const apart = ticketFor(granted, 'apart', 20, 4, true);
  equal(lock.acquire(first), true);
  equal(lock.acquire(wide), false);
  // Overlaps nothing that is held, but would overtake `wide`.
  equal(lock.acquire(behind), false);
  equal(lock.acquire(apart), true);
  lock.release(first);
  deepEqual(granted, ['wide']);
  lock.release(wide);
  deepEqual(granted, ['wide', 'behind']);
  lock.release(behind);
  lock.release(apart);
  equal(lock.size, 0);
});

test('RangeLock lets reads share and makes them wait for a write', () => {
  const granted: string[] = [];
  const lock = new RangeLock();
  const read = ticketFor(granted, 'read', 0, 4, false);
  const readToo = ticketFor(granted, 'readToo', 0, 4, false);
  const write = ticketFor(granted, 'write', 2, 4, true);
  const late = ticketFor(granted, 'late', 3, 1, false);
  equal(lock.acquire(read), true);
  equal(lock.acquire(readToo), true);
  equal(lock.acquire(write), false);
  equal(lock.acquire(late), false);
  lock.release(read);
  deepEqual(granted, []);
  lock.release(readToo);
  deepEqual(granted, ['write']);
  lock.release(write);
  deepEqual(granted, ['write', 'late']);
});

test('RangeLock frees those behind a waiting ticket that is withdrawn', () => {
  const granted: string[] = [];
  const lock = new RangeLock();
  const held = ticketFor(granted, 'held', 0, 4, true);
  const waits = ticketFor(granted, 'waits', 2, 4, true);
  const behind = ticketFor(granted, 'behind', 5, 2, true);
  lock.acquire(held);
  lock.acquire(waits);
  equal(lock.acquire(behind), false);
  lock.release(waits);
  deepEqual(granted, ['behind']);
});

test('RangeLock can be used again from within a grant', () => {
  const lock = new RangeLock();
  const order: number[] = [];
  const tickets = Array.from({ length: 50 }, (_, i) => {
    const ticket: RangeTicket = new RangeTicket(() => {
      order.push(i);
      lock.release(ticket);
    });
    ticket.length = 1;
    return ticket;
  });
  for (const ticket of tickets) lock.acquire(ticket);
  lock.release(tickets[0]!);
  deepEqual(
    order,
    Array.from({ length: 49 }, (_, i) => i + 1),
  );
  equal(lock.size, 0);
});

test('RangeLock never grants conflicting tickets together and grants all in the end', () => {
  const step = fc.record({
    offset: fc.nat(30),
    length: fc.integer({ min: 1, max: 10 }),
    exclusive: fc.boolean(),
    releases: fc.nat(3),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const lock = new RangeLock();
      const held: RangeTicket[] = [];
      const grant = (ticket: RangeTicket): void => {
        for (const other of held) {
          const apart =
            other.offset >= ticket.offset + ticket.length ||
            ticket.offset >= other.offset + other.length;
          equal(apart || (!other.exclusive && !ticket.exclusive), true);
        }
        held.push(ticket);
      };
      for (const { offset, length, exclusive, releases } of steps) {
        const ticket: RangeTicket = new RangeTicket(() => grant(ticket));
        Object.assign(ticket, { offset, length, exclusive });
        if (lock.acquire(ticket)) grant(ticket);
        for (let i = 0; i < releases && held.length > 0; i++) lock.release(held.shift()!);
      }
      while (held.length > 0) lock.release(held.shift()!);
      equal(lock.size, 0);
    }),
  );
});
