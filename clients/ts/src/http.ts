import type { BaseEvent } from "@ag-ui/client";
import { AgloopError, fault } from "./errors.js";
import { served } from "./events.js";
import type { ConnectionOptions } from "./options.js";
import { isTerminal, type Sequence } from "./sequence.js";

/** What is known over requests, see AgloopConnection. */
export interface Owner {
  secret?: string;
  /** The state of a run is another one. */
  changed(): void;
  /** A sequence is over. */
  done(s: Sequence, error?: Error): void;
}

const minute = 60_000;
const settleWithin = 10_000; // for credentials, and a server without comments to say something
const nothing = () => {};

/** How long to wait after so many failures, in ms: full jitter, and what the server has asked for. */
export const backoff = (failures: number, after = 0) =>
  Math.min(after, 5 * minute) + Math.random() * Math.min(30_000, 100 * 2 ** failures);

const unnamed = "a server without a name";

/** A failure that is worth another request. */
class Again extends Error {
  constructor(message: string, readonly after: number) {
    super(message);
  }
}

/** The requests of a connection. */
export class Http {
  /** A server has answered, ever. */
  known = false;
  /** Names the process that answered last, "" if it has no name. */
  boot = "";
  private answers = false; // one has, and no request has failed since
  private met = false; // its session is known, if there is one
  private meeting?: Promise<unknown>;

  constructor(
    readonly options: ConnectionOptions,
    readonly owner: Owner,
  ) {}

  /** Makes a request with credentials of its own. sends is called when the server may begin to see it. */
  async request(method: string, path: string, signal: AbortSignal, more?: RequestInit, sends = nothing) {
    const { url, http = "/agui", credentials, fetch = globalThis.fetch } = this.options;
    const { query, token, headers } = (await (credentials && unless(signal, credentials))) ?? {};
    const target = new URL(http, new URL(url, globalThis.location?.href));
    target.protocol = target.protocol.replace(/^ws/, "http");
    target.pathname = target.pathname.replace(/\/$/, "") + path;
    for (const [name, value] of Object.entries(query ?? {})) target.searchParams.set(name, value);
    const { secret } = this.owner;
    sends();
    try {
      const response = await fetch(target.href, {
        method, signal, cache: "no-store", credentials: "include", ...more, // cookies, as a WebSocket has them
        headers: {
          ...(token && { Authorization: `Bearer ${token}` }), ...(secret && { "Agloop-Secret": secret }), ...headers, ...more?.headers,
        } as Record<string, string>,
      });
      this.known = this.answers = true;
      this.boot = response.headers.get("Agloop-Boot") ?? "";
      this.owner.secret ??= response.headers.get("Agloop-Secret") ?? undefined;
      return response;
    } catch (error) {
      this.answers = false;
      throw error;
    }
  }

  /** Reports whether a server speaks AG-UI there, and has a session of it. It throws when none answers. */
  async probe() {
    const headers: Record<string, string> = this.owner.secret ? {} : { "Agloop-Secret": "new" };
    const response = await this.request("GET", "/capabilities", AbortSignal.timeout(settleWithin / 2), { headers });
    const text = await response.text();
    this.met = true;
    return response.ok && /json/.test(response.headers.get("Content-Type") ?? "") && text[0] === "{";
  }

  /** Has a server answer before something is begun there that is not to be begun twice. */
  async meet(signal: AbortSignal) {
    if (!this.answers || !this.met) await unless(signal, () => (this.meeting ??= this.probe().finally(() => (this.meeting = undefined))));
  }

  /** Forgets a session that is no more. */
  forget() {
    this.owner.secret = undefined;
    this.met = false;
  }
}

/** A run over HTTP: a response after another, each behind the last event that was received. */
export class HttpRun {
  phase: "connecting" | "open" | "waiting" = "connecting";
  /** Requests that failed, one after another. */
  attempt = 0;
  retryAt?: number;
  error?: Error;
  private outage = 0;
  private cut = new AbortController();
  private watch?: ReturnType<typeof setTimeout>;
  private wake = nothing;
  private renewed = false; // another token was asked for
  private plain = false; // the server says no places

  constructor(
    private http: Http,
    private s: Sequence,
  ) {}

  /** Asks now, if that is waited for. */
  retry() {
    this.wake();
  }

  /** Gives the response up, to ask for the rest. */
  lose() {
    this.cut.abort(new Error("the page is offline"));
  }

  /** Ends it. The run goes on at the server. */
  stop() {
    this.lose();
    this.wake();
  }

  /** Has the server end the run, now or when it is there again. */
  cancel() {
    if (this.phase === "open") this.http.request("DELETE", this.path, AbortSignal.timeout(settleWithin)).then((r) => r.text()).catch(nothing);
    else this.wake();
  }

  private get path() {
    return `/${encodeURIComponent(this.s.threadId)}/${encodeURIComponent(this.s.runId)}`;
  }

  /** Makes requests until it is over. */
  async go() {
    const { s } = this;
    while (!s.over) {
      let why: unknown;
      this.cut = new AbortController();
      this.show("connecting");
      try {
        await this.serve(this.cut.signal);
        why = this.plain ? s.truncated("the response ended") : new Error("the response ended before the run did");
      } catch (error) {
        why = error;
      }
      clearTimeout(this.watch);
      this.cut.abort();
      s.lost();
      if (s.over) break;
      if (why instanceof AgloopError) this.http.owner.done(s, why.code === "protocol" ? s.unfinished(why) : why);
      else await this.pause(why instanceof Error ? why : new Error(String(why)));
    }
  }

  /** Makes one request, and takes what it is answered. */
  private async serve(signal: AbortSignal) {
    const { http, s } = this;
    const { silence = 20_000 } = http.options;
    this.expect(2 * settleWithin, "no credentials, or no answer");
    const again = s.sentTo !== "";
    const posts = s.starts && s.sentTo !== unnamed;
    if (posts && !again) await http.meet(signal);
    const offset = s.begin();
    const headers: Record<string, string> = { Accept: "text/event-stream" };
    if (offset) headers["Last-Event-ID"] = `${s.epoch}-${offset}`;
    if (posts) Object.assign(headers, { "Content-Type": "application/json", "Agloop-Disconnect": "continue" });
    const boot = s.sentTo || http.boot; // another one refuses it
    if (posts && boot) headers["Agloop-Boot"] = boot;
    const response = await (posts
      ? http.request("POST", "", signal, { body: s.input as string, headers }, () => (s.sentTo = boot || unnamed))
      : http.request("GET", this.path, signal, { headers }));
    const streams = /^text\/event-stream/.test(response.headers.get("Content-Type") ?? "");
    if (!response.ok || !streams || !response.body) throw await this.refused(response, posts, again);
    this.show("open");
    if (s.cancelled) this.cancel();
    const last = Number(response.headers.get("Agloop-Last")) || 0;
    const beat = () => (silence ? this.expect(silence + settleWithin, "nothing came any more") : clearTimeout(this.watch));
    beat();
    for await (const { id, data } of served(response.body, () => s.over || beat())) {
      if (s.over) continue; // the response ends as well, so that its connection serves others
      const over = this.take(id, data, last);
      this.attempt = this.outage = 0;
      if (!over) continue;
      this.expect(1000, "the response did not end");
      http.owner.done(s, s.follows ? needsSocket() : undefined);
    }
  }

  private expect(within: number, why: string) {
    clearTimeout(this.watch);
    const { cut } = this;
    this.watch = setTimeout(() => cut.abort(new Error(why)), within);
  }

  /** Takes an event. It reports whether that ends the run. */
  private take(id: string, data: string, last: number) {
    const { s } = this;
    const [, epoch, through] = /^([0-9a-f]{16})-(\d{1,16})$/.exec(id) ?? [];
    const offset = s.received + 1;
    if (!epoch) return s.number ? s.take(data, offset, s.received) : this.takePlain(data);
    const selector = { run: 1, offset, epoch };
    if (!s.number) s.announce({ ...selector, threadId: s.threadId, runId: s.runId, last });
    else if (epoch !== s.epoch) s.select(selector);
    if (Number(through) < offset) throw fault(`offset ${through} behind ${s.received}`);
    return s.take(data, offset, Number(through));
  }

  /** Takes an event of a server that keeps no log: what is cut there is lost. */
  private takePlain(data: string) {
    const { s } = this;
    this.plain = s.seen = true;
    let event: BaseEvent;
    try {
      event = JSON.parse(data);
    } catch {
      throw fault("an event that is no JSON");
    }
    s.sink.event(event, { runId: s.runId, epoch: "", from: 0, to: 0, last: 0 });
    return isTerminal(event);
  }

  /** Returns why a response is none of events. */
  private async refused(response: Response, posts: boolean, before: boolean) {
    const { s, http } = this;
    const { status, headers } = response;
    const text = await response.text();
    let answer: { code?: string; reason?: string; field?: string; message?: string } = {};
    try {
      answer = JSON.parse(text) ?? answer;
    } catch {
      // said by somebody else, such as a proxy
    }
    const { code, reason, field, message = `HTTP ${status}` } = answer;
    const again = () => new Again(message, 1000 * Number(headers.get("Retry-After")) || 0);
    const why =
      code === "gone" || code === "conflict"
        ? new AgloopError(code, `${code}: ${reason ?? message}`, reason)
        : new AgloopError("rejected", `rejected: ${message}${field ? ` (${field})` : ""}`, code ?? `http_${status}`);
    const unknown = status === 401 || code === "refused"; // who it is, which another token may say
    const later = unknown || status === 408 || status === 429 || status >= 500;
    if (posts && before && later) return again();
    if (!posts) return later ? again() : s.starts ? s.unfinished(why) : s.epoch ? s.truncated(reason, why) : why;
    // Nobody knows what became of it.
    if (before ? code === "gone" || code === "other_server" : !code && (status >= 500 || response.ok)) return s.unfinished(why);
    s.sentTo = "";
    if (code === "gone" && reason === "session" && http.owner.secret) {
      http.forget(); // the session is no more: another one begins
      return again();
    }
    const renews = unknown && http.options.credentials && !this.renewed;
    this.renewed ||= !!renews;
    return renews || code === "shutting_down" || code === "other_server" ? again() : why;
  }

  /** Waits before the next request, or gives up. */
  private async pause(why: Error) {
    this.outage ||= Date.now();
    const wait = backoff(this.attempt++, why instanceof Again ? why.after : 0);
    const { retryFor = this.http.known ? 10 * minute : 0 } = this.http.options;
    if (Date.now() - this.outage + wait > retryFor) {
      const error = new AgloopError("connection", why.message, undefined, { cause: why });
      return this.http.owner.done(this.s, this.s.unfinished(error));
    }
    this.error = why;
    this.retryAt = Date.now() + wait;
    this.show("waiting");
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, wait);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = nothing;
  }

  private show(phase: HttpRun["phase"]) {
    this.phase = phase;
    this.http.owner.changed();
  }
}

/** What a follow and a steer end with where there is no WebSocket. */
export const needsSocket = () => new AgloopError("rejected", "rejected: that needs a WebSocket, and runs go over HTTP here", "http");

/** Is what a call gives, unless the signal comes before. */
function unless<T>(signal: AbortSignal, call: () => T | Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const left = () => reject(signal.reason);
    if (signal.aborted) return left();
    signal.addEventListener("abort", left);
    Promise.resolve()
      .then(call)
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", left));
  });
}
