/** What one attempt to connect takes along. */
export interface Credentials {
  /** Members to add to the query of the URL, such as a ticket. */
  query?: Record<string, string>;
  /** Subprotocols to offer besides agloop.v1.json, such as one that holds a token. */
  protocols?: string[];
  /** A token that is sent as the first control, for a server that waits for it; over HTTP as Authorization: Bearer. */
  token?: string;
  /** Fields of requests over HTTP. A page cannot set any for a WebSocket. */
  headers?: Record<string, string>;
}

export interface ConnectionOptions {
  /** Of the agent's WebSocket: ws, wss, http, https, or relative to the page. */
  url: string | URL;
  /** Where the agent is over HTTP, also relative to url. By default /agui there. */
  http?: string | URL;
  /**
   * How runs come. `auto`, the default: over the WebSocket, and over HTTP while that cannot be had and HTTP is
   * answered. Over HTTP there are no follows and no steers.
   */
  transport?: "auto" | "websocket" | "sse";
  /**
   * Asked before each attempt to connect, so that a token is never an old one. A cookie is set by it
   * as well, with a request of its own.
   */
  credentials?: () => Credentials | undefined | Promise<Credentials | undefined>;
  /** Offer no subprotocol: a run ends with its connection. */
  bare?: boolean;
  /** The secret of another connection, whose runs without a principal this one is to find. */
  secret?: string;
  /**
   * How long to go on trying to connect before what waits for that fails, in ms. By default 10 min
   * once there was a connection, and one attempt before.
   */
  retryFor?: number;
  /** After so long without a frame, in ms, the server is asked whether it is there. 20 s by default, 0 is never. */
  silence?: number;
  /** The class to use; by default the global one, which Node has from 22 on. */
  WebSocket?: new (url: string, protocols?: string[]) => Socket;
  /** What requests over HTTP are made with, by default the global one. */
  fetch?: typeof globalThis.fetch;
}

/** Enough of a WebSocket that one of the package ws is one, whose other members have other types. */
type Socket = Pick<WebSocket, "readyState" | "protocol" | "send"> & { close(code?: number): void };

export interface ConnectionState {
  /** `idle`: nothing needs a connection; `waiting`: for the next attempt. */
  phase: "idle" | "connecting" | "open" | "waiting" | "closed";
  /** Attempts that failed, one after another. */
  attempt: number;
  /** Of `waiting`: when the next attempt begins, as Date.now(). */
  retryAt?: number;
  /** Why there is no connection. */
  error?: Error;
  /** Of `open`: over what. */
  transport?: "websocket" | "sse";
}
