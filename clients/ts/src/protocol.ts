// What agloop.v1.json says, see docs/protocol.md of agloop.

/** The WebSocket subprotocol. */
export const protocol = "agloop.v1.json";

/** Offsets are integers up to 2^53-1. */
export const maxOffset = Number.MAX_SAFE_INTEGER;

/** A place in the log of a run: behind the event of that offset. Offset 0 is the start. */
export interface Cursor {
  /** 16 hex digits that name the log. */
  epoch: string;
  offset: number;
}

/** The first frame of a server. */
export interface Hello {
  version: number;
  /** Names the process, or the store that outlives it. */
  boot: string;
  /** Names the session of a client without a principal. */
  secret?: string;
  resumable: "process" | "durable";
  limits: { message: number; attachments: number; controls: number; steer: number };
}

/** Says what the event frames behind it are. */
export interface Selector {
  run: number;
  offset: number;
  ref?: string;
  threadId?: string;
  runId?: string;
  epoch?: string;
  through?: number;
  last?: number;
}

/** Other controls of a server, with the members that any of them has. */
export interface Answer {
  ref?: string;
  runId?: string;
  reason?: string;
  code?: string;
  field?: string;
  id?: string;
  ok?: boolean;
  retryAfter?: number;
}
