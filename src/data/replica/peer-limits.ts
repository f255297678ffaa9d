/** Deadlines and bounds of both ends. Times are of the monotonic clock. */
export interface PeerLimits {
  /** From the accepted connection to a good hello. */
  readonly helloMs: number;
  /** Connections of a server, and how many of them may be without a good hello. */
  readonly connectionsMax: number;
  readonly strangersMax: number;
  /** Bytes of requests of one connection that are not answered; then its socket is left alone. */
  readonly inFlightBytesMax: number;
  /** One look at all connections of the process at the same moment: few wake-ups. */
  readonly tickMs: number;
  /**
   * Ticks without a byte after which the nexus's side pings: with and without something
   * outstanding.
   */
  readonly busyPingTicks: number;
  readonly idlePingTicks: number;
  /** Ticks without a byte after which the session is lost: 4 of 2 s are 8 to 10 s. */
  readonly lostTicks: number;
  /** The server's side only listens: it gives up later than any client. */
  readonly serverTickMs: number;
  readonly serverLostTicks: number;
}

export const DEFAULT_PEER_LIMITS: PeerLimits = {
  helloMs: 5_000,
  connectionsMax: 1024,
  strangersMax: 64,
  inFlightBytesMax: 8 * 1024 * 1024,
  tickMs: 2_000,
  busyPingTicks: 1,
  idlePingTicks: 2,
  lostTicks: 4,
  serverTickMs: 5_000,
  serverLostTicks: 4,
};

/** Until the next multiple of `tickMs`, so that all connections tick in one wake-up. */
export function untilTickMs(nowMs: number, tickMs: number): number {
  return tickMs - (nowMs % tickMs);
}
