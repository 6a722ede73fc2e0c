// The package under test, in Node: each event that it delivers is judged.
import { AgloopAgent, AgloopConnection } from "@agloop/client";
import { tap } from "rxjs";
import { WebSocket } from "ws";
import { judge } from "./judge.mjs";
import { within } from "./program.mjs";

class JudgedAgent extends AgloopAgent {
  run(input) {
    return super.run(input).pipe(tap(judged));
  }
  connect(input) {
    return super.connect(input).pipe(tap(judged));
  }
}

// Of the input there are the messages alone, and the schema fills in the rest.
const judged = (event) => judge(event.input ? { ...event, input: { tools: [], context: [], ...event.input } } : event);

// connection is one that ends with its test.
export function connection(t, url, options) {
  const c = new AgloopConnection({ url, WebSocket, ...options });
  t.after(() => c.close());
  return c;
}

// agent is one with a connection of its own, or with the one that is given.
export function agent(t, url, { threadId = thread(), live, initialMessages, initialState, unjudged, ...options } = {}) {
  const config = { threadId, live, initialMessages, initialState };
  const a = new (unjudged ? AgloopAgent : JudgedAgent)({ ...config, connection: options.connection ?? connection(t, url, options) });
  const look = () => watchers.get(a)?.forEach((w) => w());
  watchers.set(a, new Set());
  // Behind the call: what an event changes is there then.
  const later = () => void setImmediate(look);
  a.subscribe({ onMessagesChanged: later, onStateChanged: later, onEvent: later, onRunFinalized: later });
  return a;
}

const watchers = new WeakMap();

let names = 0;
export const thread = () => `thread-${process.pid}-${++names}`;
export const say = (a, text) => a.addMessage({ id: `user-${++names}`, role: "user", content: text });
export const texts = (a) => a.messages.map((m) => `${m.role}: ${m.content ?? JSON.stringify(m.toolCalls.map((c) => c.function))}`);

// when resolves as soon as so is true of an agent, which is looked at when something changes.
export function when(a, what, so) {
  const list = watchers.get(a);
  let look;
  const seen = new Promise((resolve) => {
    look = () => so(a) && resolve();
    list.add(look);
    look();
  });
  return within(30_000, what, seen).finally(() => list.delete(look));
}

// state resolves with the first state of a connection that is so.
export function state(c, what, so) {
  let subscription;
  const seen = new Promise((resolve) => {
    queueMicrotask(() => (subscription = c.state.subscribe((s) => so(s) && resolve(s))));
  });
  return within(30_000, what, seen).finally(() => subscription.unsubscribe());
}
