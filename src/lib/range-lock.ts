import { assert } from './assert.ts';

/**
 * Gives overlapping requests an order (protocol.md rule 7): a ticket is granted once no earlier
 * ticket that overlaps it is left, two shared tickets not counting as a conflict. So conflicting
 * tickets are served first come, first served, and writers do not starve.
 *
 * Tickets are owned, allocated and used again by the caller; the lock links them and allocates
 * nothing. One pass over the tickets in flight to acquire and one to release: meant for some
 * hundreds of them.
 */
export class RangeLock {
  #first: RangeTicket | null = null;
  #last: RangeTicket | null = null;
  #size = 0;

  /** Tickets held or waiting. */
  get size(): number {
    return this.#size;
  }

  /** True: granted at once, and `granted` will not be called. False: `granted` is called later. */
  acquire(ticket: RangeTicket): boolean {
    assert(!ticket.linked, 'a ticket is used once at a time');
    let waitsFor = 0;
    for (let other = this.#first; other !== null; other = other.next) {
      if (conflict(ticket, other)) waitsFor++;
    }
    ticket.waitsFor = waitsFor;
    this.#link(ticket);
    return waitsFor === 0;
  }

  /**
   * Gives the range back, or withdraws a ticket that still waits. Calls `granted` of those behind.
   */
  release(ticket: RangeTicket): void {
    assert(ticket.linked, 'a released ticket was acquired');
    let readyFirst: RangeTicket | null = null;
    let readyLast: RangeTicket | null = null;
    for (let other = ticket.next; other !== null; other = other.next) {
      if (!conflict(ticket, other)) continue;
      if (--other.waitsFor > 0) continue;
      if (readyLast === null) readyFirst = other;
      else readyLast.nextReady = other;
      readyLast = other;
    }
    this.#unlink(ticket);
    // Only now, when the list is whole again: a callback may acquire and release.
    while (readyFirst !== null) {
      const ready: RangeTicket = readyFirst;
      readyFirst = ready.nextReady;
      ready.nextReady = null;
      ready.granted();
    }
  }

  #link(ticket: RangeTicket): void {
    ticket.linked = true;
    ticket.before = this.#last;
    ticket.next = null;
    if (this.#last === null) this.#first = ticket;
    else this.#last.next = ticket;
    this.#last = ticket;
    this.#size++;
  }

  #unlink(ticket: RangeTicket): void {
    if (ticket.before === null) this.#first = ticket.next;
    else ticket.before.next = ticket.next;
    if (ticket.next === null) this.#last = ticket.before;
    else ticket.next.before = ticket.before;
    ticket.linked = false;
    ticket.before = null;
    ticket.next = null;
    this.#size--;
  }
}

/** The caller sets the first four; the rest belongs to the lock. */
export class RangeTicket {
  offset = 0;
  length = 0;
  /** Shared tickets exclude exclusive ones, not each other. */
  exclusive = true;
  granted: () => void;

  linked = false;
  waitsFor = 0;
  before: RangeTicket | null = null;
  next: RangeTicket | null = null;
  nextReady: RangeTicket | null = null;

  constructor(granted: () => void) {
    this.granted = granted;
  }
}

function conflict(a: RangeTicket, b: RangeTicket): boolean {
  return (
    a.offset < b.offset + b.length && b.offset < a.offset + a.length && (a.exclusive || b.exclusive)
  );
}
