import { AgloopError, fault } from "./errors.js";
import { maxOffset, type Answer, type Hello, type Selector } from "./protocol.js";
import { Sequence } from "./sequence.js";

/** A request for one answer. It is asked again on the next wire, under the same id. */
export class Question {
  constructor(
    readonly name: string,
    readonly body: object,
    readonly answer: (ok: boolean) => void,
    readonly end: (error?: Error) => void,
  ) {}
  lost() {}
}

export type Request = Sequence | Question;

/** What is known over connections, see AgloopConnection. */
export interface Mux {
  readonly requests: Set<Request>;
  secret?: string;
  boot?: string;
  token?: string;
  /** A ref that was not used before. */
  nextRef(): string;
  owns(threadId: string, runId: string): boolean;
  settle(): void;
}

/** A request that was left before the server answered, or may go on answering. */
const leftRun = { left: true, follows: false };
const leftFollow = { left: true, follows: true };

/** A question to the connection itself. */
interface Probe {
  answered(): void;
}

/** One connection that speaks agloop.v1.json: what its frames belong to. */
export class Wire {
  hello?: Hello;
  /** Seconds to stay away from a server that is going; undefined while it is not. */
  going?: number;
  /** An event has come. */
  useful = false;
  private refs = new Map<string, Request | Probe | typeof leftRun>();
  private numbers = new Map<number, Sequence | undefined>();
  private at?: { number: number; next: number; through?: number };
  private waiting: Sequence[] = [];
  private unanswered = new Set<string>();
  private binding = "";

  constructor(
    private mux: Mux,
    private write: (text: string) => void,
  ) {}

  /** Takes a frame. It throws what the server did wrong. */
  receive(data: unknown) {
    if (typeof data !== "string") throw fault("a binary frame");
    if (data[0] === "{") return this.event(data);
    let control: unknown;
    try {
      control = JSON.parse(data);
    } catch {
      // said below
    }
    if (!Array.isArray(control) || typeof control[1] !== "object") throw fault("neither an event nor control");
    const [name, body] = control as [string, never];
    if (!this.hello) this.greet(name, body);
    else if (name === "hello") throw fault("a second hello");
    else if (name === "run") this.select(body);
    else this.answer(name, body);
  }

  private greet(name: string, hello: Hello) {
    if (name !== "hello" || hello.version !== 1 || !hello.boot) throw fault("no hello of version 1");
    this.hello = hello;
    const { mux } = this;
    if (mux.token) this.send("auth", { ref: this.mux.nextRef(), token: mux.token });
    if (hello.secret && mux.secret !== hello.secret) {
      // Another server cannot have the session, and to ask for it would be a guess.
      if (!mux.secret || (mux.boot && mux.boot !== hello.boot)) mux.secret = hello.secret;
      else this.send("bind", { ref: (this.binding = this.mux.nextRef()), secret: mux.secret });
    }
    mux.boot = hello.boot;
    const [first, starts]: [Request[], Sequence[]] = [[], []];
    for (const r of mux.requests) r instanceof Sequence && r.starts ? starts.push(r) : first.push(r);
    for (const r of first) this.ask(r);
    // In another session a run would begin once more.
    const unsure = starts.filter((s) => s.sentTo);
    if (this.binding && unsure.length) {
      this.probe(() => {
        const lost = !this.binding;
        this.binding = "";
        for (const s of unsure) if (!s.over) lost ? this.end(s, this.unknown(s)) : this.ask(s);
      });
    }
    for (const s of starts) if (!this.binding || !s.sentTo) this.ask(s);
    for (const r of mux.requests) if (r instanceof Sequence && r.cancelled) this.cancel(r.threadId, r.current);
    mux.settle();
  }

  /** Asks for r, now or when fewer requests are unanswered. */
  ask(r: Request) {
    const hello = this.hello as Hello;
    if (r instanceof Question) {
      const ref = this.mux.nextRef();
      this.refs.set(ref, r);
      return this.send(r.name, { ref, ...r.body });
    }
    if (r.starts && this.going !== undefined) return; // the next server is asked
    const most = hello.limits?.controls >> 1;
    if (most && this.unanswered.size >= most) return void this.waiting.push(r);
    if (r.starts && r.sentTo && r.sentTo !== hello.boot) return this.end(r, this.unknown(r));
    const [name, body] = r.request(hello);
    const ref = (r.ref = this.mux.nextRef());
    let text = JSON.stringify([name, { ref, ...body }]);
    if (name === "start") {
      text = `${text.slice(0, -2)},"input":${r.input}}]`;
      const size = new TextEncoder().encode(text).length;
      if (hello.limits?.message && size > hello.limits.message) {
        const why = `the input takes ${size} bytes, and the server takes ${hello.limits.message}`;
        return this.end(r, new AgloopError("rejected", why, "input_too_large"));
      }
    }
    this.refs.set(ref, r);
    this.unanswered.add(ref);
    this.write(text);
  }

  /** Asks for what no server has, which is answered and stands for nothing else. */
  probe(answered: () => void) {
    const ref = this.mux.nextRef();
    this.refs.set(ref, { answered });
    this.send("attach", { ref, threadId: "-", runId: "-", epoch: "0".repeat(16), offset: maxOffset });
  }

  cancel(threadId: string, runId: string) {
    if (runId) this.send("cancel", { threadId, runId });
  }

  /** Ends what a sequence has here. The run goes on. */
  leave(s: Sequence) {
    if (!s.ref) return;
    if (s.follows) {
      this.refs.set(s.ref, leftFollow);
      this.send("leave", { ref: s.ref });
      this.answered(s.ref);
    } else if (!s.number) this.refs.set(s.ref, leftRun);
    else {
      this.refs.delete(s.ref);
      this.send("leave", { run: s.number });
    }
    if (this.numbers.has(s.number)) this.numbers.set(s.number, undefined);
    s.lost();
  }

  private send(name: string, body: object) {
    this.write(JSON.stringify([name, body]));
  }

  private answered(ref: string) {
    if (!this.unanswered.delete(ref)) return;
    const { waiting } = this;
    this.waiting = []; // of which those that find no place wait again
    for (const s of waiting) if (!s.over && !s.ref) this.ask(s);
  }

  private unknown(s: Sequence) {
    return s.unfinished(new AgloopError("connection", "the server is another one"));
  }

  /** Takes a sequence off the list. */
  private end(s: Sequence, error?: Error) {
    this.refs.delete(s.ref);
    this.answered(s.ref);
    this.numbers.delete(s.number);
    this.mux.requests.delete(s);
    s.lost();
    s.end(error);
    this.mux.settle();
  }

  private select(s: Selector) {
    const ok =
      s.run > 0 && s.offset > 0 && s.offset <= maxOffset &&
      (s.through === undefined || (s.through >= s.offset - 1 && s.through <= maxOffset));
    if (!ok) throw fault(`selector ${JSON.stringify(s).slice(0, 99)}`);
    if (!this.numbers.has(s.run)) this.announce(s);
    else {
      const known = this.numbers.get(s.run);
      if (known && s.ref && s.ref !== known.ref) throw fault(`attachment ${s.run} has another ref`);
      known?.select(s);
    }
    this.at = { number: s.run, next: s.offset, through: s.through };
  }

  private announce(s: Selector) {
    const ref = s.ref ?? "";
    const r = this.refs.get(ref);
    const leave = () => {
      this.numbers.set(s.run, undefined);
      this.send("leave", { run: s.run });
    };
    if (r && "left" in r) {
      if (r.follows) this.numbers.set(s.run, undefined); // it was left by its ref
      else {
        this.refs.delete(ref);
        leave();
        this.answered(ref);
      }
      return;
    }
    if (!(r instanceof Sequence)) throw fault(`attachment ${s.run} was never announced`);
    if (r.follows && this.mux.owns(r.threadId, s.runId ?? "")) leave();
    else {
      if (r.follows) this.numbers.delete(r.number);
      try {
        r.announce(s);
        this.numbers.set(s.run, r);
      } catch (e) {
        if ((e as AgloopError).code !== "truncated") throw e;
        leave();
        this.end(r, e as AgloopError);
      }
    }
    this.answered(ref);
  }

  /** An event is counted before anybody looks into it. */
  private event(text: string) {
    const { at } = this;
    if (!at) throw fault("an event without a selector");
    const from = at.next++;
    if (at.through !== undefined) this.at = undefined;
    this.useful = true;
    const s = this.numbers.get(at.number);
    if (!s?.take(text, from, at.through ?? from)) return;
    this.at = undefined;
    if (s.follows) this.mux.settle();
    else this.end(s);
  }

  private answer(name: string, a: Answer) {
    const ref = a.ref ?? "";
    const r = this.refs.get(ref);
    switch (name) {
      case "going":
        this.going = a.retryAfter ?? 0;
        return this.mux.settle();
      case "idle":
        this.answered(ref);
        if (r instanceof Sequence) r.sink.idle?.();
        return;
      case "steered":
        if (r instanceof Question) {
          this.refs.delete(ref);
          this.mux.requests.delete(r);
          r.answer(!!a.ok);
        }
        return;
      case "gone":
      case "conflict":
      case "rejected":
        break;
      default:
        return; // a name that nobody knows
    }
    if (name === "gone" && ref === this.binding) {
      // The session is no more: this one goes on.
      this.binding = "";
      this.mux.secret = this.hello?.secret;
      return;
    }
    if (!r) return; // answers and leaves cross each other
    if ("answered" in r) {
      this.refs.delete(ref);
      return r.answered();
    }
    const reason = name === "rejected" ? a.code : a.reason;
    const why = new AgloopError(name, `${name}${reason ? `: ${reason}` : ""}${a.field ? ` (${a.field})` : ""}`, reason);
    if (!(r instanceof Sequence)) {
      this.refs.delete(ref);
      this.answered(ref);
      if (r instanceof Question) {
        this.mux.requests.delete(r);
        r.end(why);
      }
    } else if (name === "gone" && r.follows && a.runId) {
      this.answered(ref);
      if (a.runId !== r.current) return; // one that was not begun, or whose end is here
      this.leave(r);
      this.end(r, r.truncated(reason));
    } else if (r.starts && reason === "shutting_down") {
      // It has not begun: the next server is asked.
      this.refs.delete(ref);
      this.answered(ref);
      r.lost();
      r.sentTo = "";
      this.going ??= 0;
      this.mux.settle();
    } else this.end(r, r.epoch && !r.follows ? r.truncated(reason, why) : why);
  }
}
