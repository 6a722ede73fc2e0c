import type { BaseEvent } from "@ag-ui/client";
import { AgloopError, fault } from "./errors.js";
import type { Cursor, Hello, Selector } from "./protocol.js";

/** Where an event stands in the log of its run. */
export interface Place {
  runId: string;
  epoch: string;
  /** It stands for the offsets from `from` to `to`; for none if `to` is less. */
  from: number;
  to: number;
  /** The end of the log when it was joined: what comes up to there is history. */
  last: number;
}

/** Takes what a sequence delivers. */
export interface Sink {
  event(event: BaseEvent, place: Place): void;
  /** Of a follow: all runs that there are have been sent, and none is live. */
  idle?(): void;
  /** The last call. Without an error the sequence is complete. */
  end(error?: Error): void;
}

/** A run, and a cursor in its log. */
export interface RunCursor extends Cursor {
  runId: string;
}

/** The run of an event ends with it. */
export const isTerminal = ({ type }: BaseEvent) => type === "RUN_FINISHED" || type === "RUN_ERROR";

/**
 * The events of a run that is started, or of a thread's runs one after another. It outlives
 * connections.
 */
export class Sequence {
  runId = "";
  epoch = "";
  /** Offset of the last event that was delivered. */
  position = 0;
  /** A server has answered: the run is never started again. */
  seen = false;
  /** Boot of the server that the start was sent to. */
  sentTo = "";
  /** Its run is to end, and the server may not know. */
  cancelled = false;
  over = false;
  /** It is given up then. */
  deadline?: ReturnType<typeof setTimeout>;

  /** The wire's: the request, the attachment, and where that stands. */
  ref = "";
  number = 0;
  received = 0;
  private base = 0;
  private last = 0;
  private underWay = false;
  /** What comes before offset 2 without an offset of its own. */
  private prelude = false;
  private joined = false;

  constructor(
    readonly threadId: string,
    readonly sink: Sink,
    /** The exact bytes of the input of a start; undefined for a follow. */
    readonly input?: string,
    /** Of a start the run, of a follow the one behind whose cursor it begins. */
    at?: { runId: string } & Partial<RunCursor>,
  ) {
    if (at) {
      this.runId = at.runId;
      this.epoch = at.epoch ?? "";
      this.position = at.offset ?? 0;
    }
  }

  get follows() {
    return this.input === undefined;
  }

  /** It is still to be started. */
  get starts() {
    return !this.follows && !this.seen;
  }

  /** It keeps a client on a server that is going. */
  get live() {
    return this.follows ? this.underWay : this.ref !== "";
  }

  /** The run that goes on here, "" if none does. */
  get current() {
    return this.follows && !this.underWay ? "" : this.runId;
  }

  /** Begins to ask for it, and returns behind which offset. */
  begin() {
    // The prelude of a run that was joined may not have come whole.
    const offset = this.position === 1 && this.joined && !this.prelude ? 0 : this.position;
    return (this.base = this.received = offset);
  }

  /** Returns the name and the body of the control that asks for it. */
  request(hello: Hello): [string, object] {
    const { threadId, runId, epoch } = this;
    const offset = this.begin();
    if (this.follows) return ["follow", { threadId, ...(runId && { after: { runId, epoch, offset } }) }];
    if (this.seen) return ["attach", { threadId, runId, ...(offset && { epoch, offset }) }];
    this.sentTo = hello.boot;
    return ["start", {}]; // the input is added as it is
  }

  /** Takes the first selector of an attachment. */
  announce(s: Selector) {
    if (!/^[0-9a-f]{16}$/.test(s.epoch ?? "")) throw fault(`epoch ${s.epoch}`);
    if (s.threadId !== this.threadId || !s.runId) throw fault("a selector for another thread");
    const goesOn = s.runId === this.runId && !this.number;
    if (this.follows && (!goesOn || !this.underWay)) {
      if (this.underWay) throw fault("two runs of a follow at once");
      // `after` may name a run whose end was not seen.
      if (!goesOn) this.position = this.received = this.base = 0;
      this.prelude = this.cancelled = false;
      this.joined = this.base === 0;
      this.underWay = true;
    } else if (!goesOn) throw fault("a selector for another run");
    else if (!this.base) this.joined = this.seen;
    if (goesOn && this.base < this.position && s.epoch !== this.epoch) throw this.truncated("epoch");
    this.runId = s.runId;
    this.seen = true;
    this.last = Math.max(this.base && this.last, s.last ?? 0);
    this.select(s);
  }

  /** Takes any selector. */
  select(s: Selector) {
    if (s.offset !== this.received + 1) throw fault(`offset ${s.offset} behind ${this.received}`);
    this.number = s.run;
    if (s.epoch) this.epoch = s.epoch;
  }

  /** Takes an event, which was counted already. */
  take(text: string, from: number, to: number) {
    this.received = to;
    const none = to < from;
    if (!none && to <= this.position) return; // it is here: only the prelude was to come again
    if (from <= this.position && !none) throw fault(`a fold from ${from} behind ${this.position}`);
    this.position = Math.max(to, this.position);
    this.prelude ||= none || to > 1;
    let event: BaseEvent;
    try {
      event = JSON.parse(text);
    } catch {
      throw fault("an event that is no JSON");
    }
    const over = isTerminal(event);
    if (over) this.underWay = false;
    const { runId, epoch, last } = this;
    this.sink.event(event, { runId, epoch, from, to, last });
    return over;
  }

  /** Its wire is gone. */
  lost() {
    this.ref = "";
    this.number = 0;
  }

  end(error?: Error) {
    if (this.over) return;
    this.close();
    this.sink.end(error);
  }

  close() {
    this.over = true;
    clearTimeout(this.deadline);
  }

  /** The run was seen, and the rest of it cannot be had. */
  truncated(reason?: string, cause?: unknown) {
    return new AgloopError("truncated", `run ${this.runId} is truncated${reason ? `: ${reason}` : ""}`, reason, { cause });
  }

  /** What it ends with when there will be no connection any more. */
  unfinished(why: Error) {
    if (this.current && this.seen) return this.truncated("no connection", why);
    if (this.sentTo) return new AgloopError("start_unknown", `nobody knows whether run ${this.runId} began`, undefined, { cause: why });
    return why;
  }
}
