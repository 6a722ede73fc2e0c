import { AGUIConnectNotImplementedError, type BaseEvent } from "@ag-ui/client";
import { BehaviorSubject, Observable } from "rxjs";
import { runBare } from "./bare.js";
import { AgloopError } from "./errors.js";
import { backoff, Http, HttpRun, needsSocket } from "./http.js";
import type { ConnectionOptions, ConnectionState, Credentials } from "./options.js";
import { type Cursor, protocol } from "./protocol.js";
import { type Place, type RunCursor, Sequence, type Sink } from "./sequence.js";
import { Question, type Request, Wire } from "./wire.js";

const minute = 60_000;
const settleWithin = 10_000; // for a socket to open, a hello, an answer to a probe
const stableAfter = 10_000; // a connection that lasts so long is no failure
const tryAgainAfter = minute; // before a WebSocket that could not be had is tried again
const maxOwn = 1024; // as many runs of its own as a connection remembers
const nothing = () => {};
const nameOf = (threadId: string, runId: string) => JSON.stringify([threadId, runId]);

/**
 * A connection to an agent that is made when it is needed, and again when it ends. Any number of
 * agents may share one, each with a thread of its own.
 */
export class AgloopConnection {
  /** What the connection is doing. It begins with the state of now. */
  readonly state: Observable<ConnectionState>;
  /** @internal */
  readonly requests = new Set<Request>();
  /** @internal */
  boot?: string;
  /** @internal */
  token?: string;
  /** Names the session of a client without a principal. Whoever has it may do what this one may. */
  secret?: string;
  private states = new BehaviorSubject<ConnectionState>({ phase: "idle", attempt: 0 });
  private own = new Set<string>();
  private sockets = new Map<Sequence, WebSocket>(); // of bare runs
  private streams = new Map<Sequence, HttpRun>(); // of runs over HTTP
  private http: Http;
  private answered = false; // HTTP was, before this attempt
  private blocked = 0; // since then no WebSocket can be had
  private socket?: WebSocket;
  private wire?: Wire;
  private timer?: ReturnType<typeof setTimeout>;
  private watch?: ReturnType<typeof setTimeout>;
  private failures = 0;
  private wasOpen = false;
  private openedAt = 0;
  private outage = 0;
  private dialling = false;
  private pausing = false; // before the next attempt
  private plain = 0; // how often the server was there without agloop.v1: once may be a handshake that was cut
  private refs = 0;

  constructor(private options: ConnectionOptions) {
    this.state = this.states.asObservable();
    this.secret = options.secret;
    this.http = new Http(options, this);
    globalThis.addEventListener?.("online", this.online);
    globalThis.addEventListener?.("offline", this.offline);
  }

  /** Ends everything. Runs go on at the server. */
  close() {
    this.set("closed");
    globalThis.removeEventListener?.("online", this.online);
    globalThis.removeEventListener?.("offline", this.offline);
    clearTimeout(this.timer);
    this.drop(1000);
    for (const socket of this.sockets.values()) socket.close(1000);
    for (const [s, run] of this.streams) {
      this.requests.add(s); // which fails below
      run.stop();
    }
    this.streams.clear();
    this.fail(new AgloopError("closed", "the connection was closed"));
    this.states.complete();
  }

  /** Tries to connect now, if that is waited for. */
  retry() {
    if (this.pausing) void this.dial();
    for (const run of this.streams.values()) run.retry();
  }

  /** @internal */
  start(threadId: string, runId: string, input: string, sink: Sink) {
    if (this.own.size >= maxOwn) this.own.delete(this.own.values().next().value as string); // a server forgets as well
    this.own.add(nameOf(threadId, runId));
    return this.add(new Sequence(threadId, sink, input, { runId }));
  }

  /** @internal The runs of a thread that were started here and that nobody sees now. */
  ownRuns(threadId: string) {
    const seen = [...this.requests, ...this.streams.keys()].map((r) => r instanceof Sequence && nameOf(r.threadId, r.runId));
    const runs = [...this.own].filter((name) => !seen.includes(name)).map((name): [string, string] => JSON.parse(name));
    return runs.filter(([thread]) => thread === threadId).map(([, run]) => run);
  }

  /**
   * The events of a run behind a cursor, or from its start, as they come: for who keeps what they make
   * by itself, with the cursor behind them in the same write. It ends with the run.
   */
  events(threadId: string, runId: string, after?: Cursor): Observable<{ event: BaseEvent; place: Place }> {
    return new Observable((out) => {
      const end = (error?: Error) => (error ? out.error(error) : out.complete());
      const s = this.attach(threadId, runId, { event: (event, place) => out.next({ event, place }), end }, after);
      return () => this.leave(s);
    });
  }

  /** @internal Joins a run. */
  attach(threadId: string, runId: string, sink: Sink, after?: Cursor) {
    const s = new Sequence(threadId, sink, "", { runId, ...after });
    s.seen = true;
    return this.add(s);
  }

  /** @internal */
  follow(threadId: string, sink: Sink, after?: RunCursor) {
    const s = new Sequence(threadId, sink, undefined, after);
    for (const r of this.requests) {
      if (!(r instanceof Sequence && r.follows && r.threadId === threadId)) continue;
      s.end(new AgloopError("rejected", `thread ${threadId} is followed on this connection already`, "followed"));
      return s;
    }
    return this.add(s);
  }

  /** @internal */
  leave(s: Sequence) {
    const socket = this.sockets.get(s);
    this.sockets.delete(s);
    if (s.over) return;
    s.close();
    this.wire?.leave(s);
    this.requests.delete(s);
    socket?.close(1000);
    const run = this.streams.get(s);
    if (this.streams.delete(s)) this.changed();
    run?.stop();
    this.settle();
  }

  /** @internal Has the server end the run of a sequence. */
  cancel(s: Sequence) {
    const socket = this.sockets.get(s);
    if (socket) {
      this.leave(s); // on a bare wire that stops the run
      return s.sink.end(abortError());
    }
    s.cancelled = true;
    const run = this.streams.get(s);
    if (run) run.cancel();
    else if (this.wire?.hello) this.wire.cancel(s.threadId, s.current);
  }

  /** @internal Says something to a run. */
  steer(threadId: string, runId: string, text: string) {
    const id = `steer-${Math.random().toString(36).slice(2)}${Date.now().toString(36)}`;
    return new Promise<boolean>((resolve, reject) => {
      this.add(new Question("steer", { threadId, runId, id, text }, resolve, reject));
    });
  }

  /** @internal */
  nextRef() {
    return String(++this.refs);
  }

  /** @internal */
  owns(threadId: string, runId: string) {
    return this.own.has(nameOf(threadId, runId));
  }

  /** @internal Leaves a server that is going as soon as nothing needs it. */
  settle() {
    const { wire } = this;
    if (wire?.going === undefined) return;
    const needed = wire.hello?.resumable === "process" && [...this.requests].some((r) => r instanceof Sequence && r.live);
    if (!needed) this.socket?.close(1000);
  }

  /** @internal */
  changed() {
    if (!this.wire?.hello) this.set("idle");
  }

  /** @internal */
  done(s: Sequence, error?: Error) {
    this.streams.delete(s);
    s.end(error);
    this.changed();
  }

  private add<R extends Request>(r: R): R {
    if (this.states.value.phase === "closed") r.end(new AgloopError("closed", "the connection was closed"));
    else {
      this.requests.add(r);
      if (this.wire?.hello) this.wire.ask(r);
      else this.need();
    }
    return r;
  }

  /** Connects if there is something to connect for. */
  private need() {
    if (this.states.value.phase === "closed") return;
    if (this.blocked || this.options.transport === "sse") this.carry();
    if (this.pausing || this.socket || this.dialling) return;
    if (this.requests.size) void this.dial();
    else this.set("idle");
  }

  private set(phase: ConnectionState["phase"], more?: Partial<ConnectionState>) {
    if (this.states.value.phase === "closed") return;
    const runs = [...this.streams.values()];
    const run = runs.find((r) => r.phase === "open") ?? runs.find((r) => r.phase === "connecting") ?? runs[0];
    if (!run || phase === "open" || phase === "closed") return this.states.next({ phase, attempt: this.failures, ...more });
    const { attempt, error } = run;
    const [transport, retryAt] = [run.phase === "open" ? "sse" as const : undefined, run.phase === "waiting" ? run.retryAt : undefined];
    this.states.next({ phase: run.phase, attempt, transport, retryAt, error: run.phase === "open" ? undefined : error });
  }

  /** Has runs over HTTP. What began over a WebSocket goes on where it was. */
  private carry() {
    const requests = [...this.requests];
    this.requests.clear();
    for (const r of requests) {
      if (!(r instanceof Sequence && (!r.follows || r.current))) {
        r.end(needsSocket());
        continue;
      }
      const run = new HttpRun(this.http, r);
      this.streams.set(r, run);
      void run.go();
    }
    // Beside a run, so that none waits for it.
    if (!requests.length || !this.blocked || Date.now() - this.blocked < tryAgainAfter || this.socket || this.dialling) return;
    this.blocked = Date.now();
    void this.dial();
  }

  private online = () => {
    if (this.blocked) this.blocked = 1; // perhaps another network
    this.retry();
  };
  private offline = () => {
    if (this.socket) this.lost(1006);
    for (const run of this.streams.values()) run.lose();
  };

  /** A browser takes no socket from a server that does not choose a subprotocol, so `bare` offers none. */
  private async dial(bare = this.options.bare || this.plain > 1) {
    clearTimeout(this.timer);
    this.pausing = false;
    this.dialling = true;
    this.set("connecting", { error: this.states.value.error });
    let asked = false;
    let failure: { error: unknown } | undefined;
    try {
      const { url, credentials } = this.options;
      const { query, protocols = [], token } = (credentials && (await this.ask(credentials))) ?? {};
      asked = true;
      const target = new URL(url, globalThis.location?.href);
      target.protocol = target.protocol.replace(/^http/, "ws");
      for (const [name, value] of Object.entries(query ?? {})) target.searchParams.set(name, value);
      this.token = token;
      const Socket = (this.options.WebSocket ?? globalThis.WebSocket) as typeof WebSocket;
      if (!Socket) throw new TypeError("there is no WebSocket here: give one in the options, such as that of the package ws");
      if (this.states.value.phase !== "closed") this.take(new Socket(target.href, bare ? protocols : [protocol, ...protocols]), bare);
    } catch (error) {
      failure = { error };
    }
    this.dialling = false;
    if (!failure) return;
    const error = failure.error instanceof Error ? failure.error : new Error(String(failure.error));
    if (asked) this.refused(error);
    else this.failed(error);
  }

  /** Asks for credentials, and not for ever. */
  private ask(credentials: NonNullable<ConnectionOptions["credentials"]>) {
    return new Promise<Credentials | undefined>((resolve, reject) => {
      clearTimeout(this.watch);
      this.watch = setTimeout(() => reject(new Error("no credentials within 10 s")), settleWithin);
      resolve(credentials());
    }).finally(() => clearTimeout(this.watch));
  }

  /** Has a socket that is being opened. */
  private take(socket: WebSocket, bare?: boolean) {
    socket.binaryType = "arraybuffer"; // before anything can arrive
    this.socket = socket;
    this.outage ||= Date.now();
    this.expect(this.answered ? settleWithin / 2 : settleWithin);
    socket.onerror = nothing; // close follows
    socket.onclose = ({ code }) => {
      if (bare) this.plain = 0;
      if (bare || this.wasOpen || this.answered) return this.lost(code);
      this.drop(code); // perhaps the server is one without agloop.v1
      void this.dial(true);
    };
    socket.onopen = () => {
      socket.onclose = ({ code }) => this.lost(code);
      if (socket.protocol === protocol) return this.opened(socket);
      if (bare && !this.options.bare && !this.plain++) {
        this.drop(1000);
        return void this.dial(false);
      }
      this.plain = 2;
      this.openedBare(socket);
    };
  }

  private opened(socket: WebSocket) {
    const wire = (this.wire = new Wire(this, (text) => socket.readyState === 1 && socket.send(text)));
    socket.onmessage = ({ data }) => {
      const greeted = wire.hello;
      if (this.wire !== wire) return;
      this.listen();
      try {
        wire.receive(data);
      } catch (error) {
        socket.onmessage = null;
        this.drop(1002);
        return this.failed(error as Error, true);
      }
      if (!greeted) {
        this.wasOpen = true;
        this.openedAt = Date.now();
        this.blocked = 0;
        this.answered = false;
        this.set("open", { transport: "websocket" });
      }
    };
  }

  /** Gives a socket without a subprotocol to a run; each has one of its own. */
  private openedBare(socket: WebSocket) {
    clearTimeout(this.watch);
    this.socket = undefined;
    this.failures = this.outage = 0;
    this.set("open", { transport: "websocket" });
    socket.onclose = nothing;
    let taken = false;
    for (const r of [...this.requests]) {
      if (!(r instanceof Sequence)) r.end(new AgloopError("rejected", "the server has no agloop.v1", "bare"));
      else if (r.sentTo) r.end(r.unfinished(new AgloopError("connection", "the server has no agloop.v1")));
      else if (!r.starts) r.end(new AGUIConnectNotImplementedError());
      else if (taken) continue;
      else {
        taken = true;
        this.sockets.set(r, socket);
        runBare(socket, r);
      }
      this.requests.delete(r);
    }
    if (!taken) socket.close(1000);
    this.need();
  }

  /** Expects a frame, or asks for one. */
  private listen() {
    const { silence = 20_000 } = this.options;
    clearTimeout(this.watch);
    if (!silence) return;
    this.watch = setTimeout(() => {
      this.expect(settleWithin);
      this.wire?.probe(nothing);
    }, silence);
  }

  /** Gives the connection up if nothing comes. */
  private expect(within: number) {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => this.lost(1006), within);
  }

  /** Lets go of the socket, whatever becomes of it. */
  private drop(code: number) {
    clearTimeout(this.watch);
    const { socket } = this;
    if (socket) {
      socket.onopen = socket.onmessage = null;
      socket.onclose = nothing;
      try {
        socket.close(code === 1000 ? code : 3000 + (code % 1000)); // which a page may use
      } catch {
        // it was never open
      }
    }
    this.socket = this.wire = undefined;
    for (const r of this.requests) r.lost();
  }

  /** The connection has ended. */
  private lost(code: number) {
    const { wire } = this;
    this.drop(code);
    const useful = wire?.useful || (this.openedAt > 0 && Date.now() - this.openedAt > stableAfter);
    if (useful) this.failures = this.outage = 0;
    this.openedAt = 0;
    if (wire?.going !== undefined && !this.requests.size) return this.set("idle");
    this.refused(new AgloopError("connection", `the connection ended with ${code}`), wire?.going);
  }

  /** No connection was made, or it was of no use. When that happens once more behind an answer over HTTP, there can be none. */
  private refused(error: Error, retryAfter = 0) {
    const { transport = "auto", bare } = this.options;
    const asks = transport === "auto" && !bare && !retryAfter && !this.blocked && this.requests.size > 0;
    if (!asks || (this.wasOpen && !this.failures)) return this.failed(error, false, retryAfter);
    this.outage ||= Date.now();
    if (this.answered) {
      this.failures = this.outage = 0;
      this.answered = false;
      this.blocked = Date.now();
      return this.need();
    }
    this.dialling = true;
    void this.http
      .probe()
      .catch(() => false)
      .then((answered) => {
        this.dialling = false;
        this.answered = answered;
        if (this.states.value.phase === "closed") return;
        if (answered) void this.dial();
        else this.failed(error);
      });
  }

  /** Waits and connects again, or gives up. */
  private failed(error: Error, broken = false, retryAfter = 0) {
    this.outage ||= Date.now();
    if (broken) this.fail(error);
    const wait = backoff(this.failures++, retryAfter * 1000);
    const { retryFor = this.wasOpen ? 10 * minute : 0 } = this.options;
    if (!broken && Date.now() - this.outage + wait > retryFor) {
      this.fail(new AgloopError("connection", error.message, undefined, { cause: error }));
    }
    if (!this.requests.size) {
      this.failures = this.outage = 0;
      return this.set("idle", { error });
    }
    this.pausing = true;
    this.set("waiting", { retryAt: Date.now() + wait, error });
    this.timer = setTimeout(() => {
      this.pausing = false;
      if (this.requests.size) void this.dial();
      else this.set("idle");
    }, wait);
  }

  /** Ends what was asked for. */
  private fail(why: Error) {
    const { dialling } = this;
    const failed = [...this.requests];
    this.requests.clear();
    this.dialling = true; // what asks again at once waits for the next attempt
    for (const r of failed) r.end(r instanceof Sequence ? r.unfinished(why) : why);
    this.dialling = dialling;
  }
}

/** What the official client takes for an end that was asked for. */
export function abortError() {
  const e = new Error("the run was aborted");
  e.name = "AbortError";
  return e;
}
