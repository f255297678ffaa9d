/** HTTP in both directions. What a request means is decided above. */

export interface HttpRequest {
  readonly method: string;
  /** As sent: path and query, percent-encoded. */
  readonly target: string;
  /** Names in lower case; repeated ones joined by a comma. */
  readonly headers: Readonly<Record<string, string>>;
  /** Once. `out-of-range` when there is more: the rest is not read. `disconnected`. */
  readBody(bytesMax: number): Promise<Uint8Array>;
  /** Fires when the peer went away before the response was complete. */
  readonly signal: AbortSignal;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** A stream is pulled as fast as the peer takes it, and returned when the peer goes away. */
  readonly body: Uint8Array | AsyncIterable<Uint8Array>;
}

/** PEM. */
export interface TlsIdentity {
  readonly certificate: string;
  readonly key: string;
}

/** An address of the machine, or a unix socket that only its owner may open. */
export type HttpPlace =
  | {
      readonly host: string;
      /** 0 chooses one. */
      readonly port: number;
    }
  | {
      /** A socket that nobody listens at any more is replaced. */
      readonly socketPath: string;
    };

export interface HttpServeOptions {
  readonly at: HttpPlace;
  readonly tls?: TlsIdentity;
  /** Further connections are closed at once. */
  readonly connectionsMax: number;
  /** Never rejects. */
  readonly handle: (request: HttpRequest) => Promise<HttpResponse>;
}

export interface HttpListener {
  /** 0 at a unix socket. */
  readonly port: number;
  /** For connections from now on. */
  setTls(tls: TlsIdentity): void;
  /** Open connections are dropped. */
  close(): Promise<void>;
}

export interface HttpCall {
  readonly method: string;
  readonly url: string;
  /** The unix socket that leads there; the host of `url` is only a name then. */
  readonly socketPath?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** PEM of the authorities to believe; the machine's own when absent. */
  readonly authority?: string | undefined;
  /** Until the head of the answer is there. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface Http {
  /** `address-in-use`, `permission-denied`. */
  serve(options: HttpServeOptions): Promise<HttpListener>;
  /**
   * The body is a stream when `wantsStream`, else gathered. `refused`, `disconnected`, `timed-out`,
   * `wrong-identity` (certificate), `aborted`.
   */
  request(call: HttpCall, wantsStream: boolean): Promise<HttpResponse>;
}
