import {
  AbstractAgent, enforceOutgoingInput,
  type AgentConfig, type AgentStateMutation, type AgentSubscriber, type BaseEvent, type RunAgentInput, type RunAgentParameters,
  type RunAgentResult, type RunStartedEvent,
} from "@ag-ui/client";
import { catchError, concat, defer, EMPTY, Observable, tap, throwError, type Subscriber } from "rxjs";
import { abortError, AgloopConnection } from "./connection.js";
import { AgloopError } from "./errors.js";
import { beforeReplay } from "./history.js";
import type { ConnectionOptions } from "./options.js";
import { isTerminal, type Place, type RunCursor, type Sequence, type Sink } from "./sequence.js";

export type AgloopAgentConfig = AgentConfig & {
  /** connectAgent stays and follows later runs, until detachActiveRun. */
  live?: boolean;
} & (ConnectionOptions | {
  /** A connection that other agents use as well, each with another thread. */
  connection: AgloopConnection;
});

/** Parameters of connectAgent. */
export interface ConnectParameters extends RunAgentParameters {
  /** Overrides AgloopAgentConfig.live. */
  live?: boolean;
}

/** How long abortRun waits for the end of a run, in ms. */
const abortWithin = 10_000;

/** A connectAgent that goes on. */
interface Following {
  live: boolean;
  /** It was left. */
  over?: boolean;
  /** A run of this agent goes on meanwhile, and behind it the follow again. */
  paused?: Promise<void>;
  again?: boolean;
  connected?: Promise<RunAgentResult>;
  ended: Promise<void>;
}

let lastFollow = 0;

/** An agent that is reached over agloop, or over any other WebSocket that speaks AG-UI. */
export class AgloopAgent extends AbstractAgent {
  /** The connection. Closing it is left to its owner. */
  connection: AgloopConnection;
  live: boolean;
  /**
   * Behind the last event that messages and state hold. It is worth something only to who stores it
   * together with them, in one write.
   */
  cursor?: RunCursor;
  private active?: Sequence;
  private abortsEarly = false; // a run that has not been started
  private following?: Following;
  private follows = new Map<string, Following>(); // by the id of the input that connect gets
  private followed?: RunCursor; // the last run that was followed to its end
  private done = new Set<string>(); // runs of its own whose end has come
  private place?: Place; // of the event that is being delivered
  private replays = new Map<string, ReturnType<typeof beforeReplay>>();

  constructor(config: AgloopAgentConfig) {
    super(config);
    this.connection = "connection" in config ? config.connection : new AgloopConnection(config);
    this.live = config.live ?? false;
  }

  /** Starts a run. Leaving it, by detachActiveRun or by unsubscribing, does not stop it. */
  run(input: RunAgentInput): Observable<BaseEvent> {
    return new Observable((out) => {
      const text = JSON.stringify(enforceOutgoingInput(input));
      const leave = this.observe(
        this.connection.start(input.threadId, input.runId, text, {
          event: (event, place) => {
            if (isTerminal(event)) this.done.add(input.runId);
            this.deliver(event, place, out);
          },
          end: (error) => (error ? out.error(error) : out.complete()),
        }),
      );
      if (this.abortsEarly) this.abortRun();
      return leave;
    });
  }

  /**
   * Joins what goes on in the thread: the runs that the server still has, each from its start, one
   * after another. It ends when all have been sent and none is live; with `live` it stays.
   */
  protected override connect(input: RunAgentInput): Observable<BaseEvent> {
    return new Observable((out) => {
      const { connection } = this;
      const { threadId } = input;
      const following = this.follows.get(input.runId);
      if (following?.over || following?.paused) return out.complete(); // it was left before it began
      // A follow leaves out what this connection has started itself.
      const own = connection.ownRuns(threadId).filter((run) => !this.done.has(run));
      let leave = () => {};
      let joined = false;
      const join = () => {
        const run = own.shift();
        let history: [BaseEvent, Place][] = [];
        const sink: Sink = {
          event: (event, place) => {
            this.isRunning = joined = true;
            if (place.from === 1 || history.length) {
              history.push([event, place]);
              if (place.to < place.last) return;
              this.replays.set(place.runId, beforeReplay(history.map(([e]) => e)));
            }
            const list = history.length ? history : [[event, place] as const];
            history = [];
            for (const [e, p] of list) this.deliver(e, p, out);
            if (isTerminal(event)) {
              if (run) this.done.add(run);
              else this.followed = { runId: place.runId, epoch: place.epoch, offset: place.to };
            }
          },
          idle: () => {
            this.isRunning = false;
            if (!following?.live) out.complete();
          },
          end: (error) => {
            const { code, reason } = (error ?? {}) as Partial<AgloopError>;
            if (run && (!error || code === "gone")) join();
            // Over HTTP these are all that it knows of.
            else if (error && !(reason === "http" && joined && !following?.live)) out.error(error);
            else out.complete();
          },
        };
        leave = this.observe(run ? connection.attach(threadId, run, sink) : connection.follow(threadId, sink, this.followed));
      };
      join();
      return () => leave();
    });
  }

  /** Follows the thread, see connect. A pending interrupt is no hindrance. */
  override async connectAgent(parameters?: ConnectParameters, subscriber?: AgentSubscriber): Promise<RunAgentResult> {
    const { following: before } = this;
    let ended = () => {};
    const following: Following = { live: parameters?.live ?? this.live, ended: new Promise((resolve) => (ended = resolve)) };
    this.following = following;
    if (before) {
      before.over = true;
      await super.detachActiveRun();
      await before.ended;
    }
    let result: RunAgentResult = { result: undefined, newMessages: [] };
    try {
      do {
        following.again = false;
        while (following.paused) await following.paused;
        if (following.over) break;
        const runId = `follow-${++lastFollow}`;
        this.follows.set(runId, following);
        const pending = this.pendingInterrupts;
        this.pendingInterrupts = [];
        following.connected = super.connectAgent({ ...parameters, runId }, subscriber);
        this.pendingInterrupts = pending; // the base has looked at them by now
        result = await following.connected.finally(() => this.follows.delete(runId));
      } while (following.again);
      await following.paused;
      return result;
    } finally {
      if (this.following === following) this.following = undefined;
      ended();
    }
  }

  /**
   * Makes a run. A connectAgent under way is left meanwhile; one with `live` goes on afterwards. The
   * result comes with the terminal event.
   */
  override async runAgent(parameters?: RunAgentParameters, subscriber?: AgentSubscriber): Promise<RunAgentResult> {
    const { following } = this;
    let done = () => {};
    if (following) {
      following.again = following.live;
      following.paused = new Promise<void>((resolve) => (done = resolve));
      await super.detachActiveRun();
      await following.connected?.catch(() => {}); // it tells who has called it
    }
    this.abortsEarly = false;
    try {
      return await super.runAgent(parameters, subscriber);
    } finally {
      if (following) following.paused = undefined;
      done();
    }
  }

  /** Leaves the run or the follow under way, which goes on at the server. */
  override async detachActiveRun(): Promise<void> {
    if (this.following) this.following.over = true;
    await super.detachActiveRun();
  }

  /**
   * Has the server end the run that is made or followed. It returns at once; the promise of runAgent
   * resolves with the terminal event, or after 10 s without one.
   */
  override abortRun() {
    const { active } = this;
    this.abortsEarly = !active && this.isRunning;
    if (!active) return;
    this.connection.cancel(active);
    if (active.follows || active.over) return;
    active.deadline ??= setTimeout(() => {
      this.connection.leave(active);
      active.sink.end(abortError());
    }, abortWithin);
  }

  /**
   * Says something to the run that goes on, as the user. True: the agent has taken it, and the run
   * emits it as a message of the user, so that every viewer sees it.
   */
  async steer(text: string): Promise<boolean> {
    const run = this.active?.current;
    if (!run) throw new AgloopError("gone", "no run goes on here");
    return this.connection.steer(this.threadId, run, text);
  }

  override clone(): this {
    const cloned = super.clone() as this;
    cloned.connection = this.connection;
    cloned.live = this.live;
    cloned.cursor = this.cursor;
    cloned.followed = this.followed;
    cloned.done = new Set(this.done);
    cloned.replays = new Map();
    cloned.follows = new Map();
    return cloned;
  }

  /** An error and an end pass only when all that came before is applied. */
  protected override apply(input: RunAgentInput, events: Observable<BaseEvent>, subscribers: AgentSubscriber[]) {
    const places = new WeakMap<BaseEvent, Place>();
    let failed: { error: unknown } | undefined;
    let last: Place | undefined; // of the event that is being applied
    const applied = (next?: Place) => {
      if (last?.epoch && last !== next && !(next && next.to < next.from)) {
        this.cursor = { runId: last.runId, epoch: last.epoch, offset: Math.max(last.to, last.from - 1) };
      }
      last = next;
    };
    const keeper: AgentSubscriber = {
      onEvent: ({ event }) => {
        const place = places.get(event);
        if (place && place !== last) applied(place);
      },
      onRunStartedEvent: ({ event, messages, state }) => {
        const { runId, input: given } = event as RunStartedEvent;
        const ready = this.replays.get(runId);
        this.replays.delete(runId);
        return ready?.(messages, state, given?.messages);
      },
    };
    return concat(
      super.apply(
        input,
        events.pipe(
          tap((event) => this.place && places.set(event, this.place)),
          catchError((error) => {
            failed = { error };
            return EMPTY;
          }),
        ),
        [keeper, ...subscribers],
      ),
      defer((): Observable<AgentStateMutation> => {
        if (failed) return throwError(() => failed?.error);
        applied();
        return EMPTY;
      }),
    );
  }

  private deliver(event: BaseEvent, place: Place, out: Subscriber<BaseEvent>) {
    this.place = place;
    out.next(event);
    this.place = undefined;
  }

  /** Has a sequence be the one that abortRun and steer mean. It returns what leaves it. */
  private observe(s: Sequence) {
    this.active = s;
    return () => {
      this.connection.leave(s);
      if (this.active === s) this.active = undefined;
    };
  }
}
