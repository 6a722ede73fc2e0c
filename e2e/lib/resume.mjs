// A client of agloop.v1.json, written from docs/protocol.md alone: it counts, checks and resumes.
import assert from "node:assert/strict";
import { once } from "node:events";
import { WebSocket } from "ws";
import { judge } from "./judge.mjs";
import { within } from "./program.mjs";

export const protocol = "agloop.v1.json";

// open connects, and resolves with the connection when its hello has come.
export async function open(url, options) {
  const socket = new WebSocket(url, protocol, options);
  const wire = new Wire(socket);
  await within(15_000, `open of ${url}`, once(socket, "open"));
  assert.equal(socket.protocol, protocol, "the server does not speak it");
  wire.hello = await wire.control("hello");
  return wire;
}

// Wire is one connection. What comes waits in one list: controls as {control, body}, events as {event, of, offset,
// through}, where of is their attachment.
class Wire {
  #socket;
  #refs = 0;
  #asked = new Map(); // by ref: where the attachments asked for begin
  #numbers = new Map(); // attachments by number
  #at = null; // what the next event belongs to
  #waiting = [];
  #wake = () => {};

  constructor(socket) {
    this.#socket = socket;
    socket.on("error", () => {}); // close follows
    socket.on("message", (data, isBinary) => {
      try {
        assert.ok(!isBinary, "a binary frame");
        this.#frame(data.toString());
      } catch (err) {
        this.#waiting.push({ broken: err });
        socket.close(1002);
      }
      this.#wake();
    });
    this.closed = once(socket, "close").then(([code]) => {
      this.#waiting.push({ broken: new Error(`the connection has ended with ${code}`) });
      this.#wake();
      return code;
    });
  }

  #frame(text) {
    if (text.startsWith("[")) {
      const [name, body, ...more] = JSON.parse(text);
      assert.equal(more.length, 0);
      if (name === "run") this.#select(body);
      else {
        if (name === "gone" && body.runId === undefined) this.#over(body.ref);
        this.#waiting.push({ control: name, body });
      }
      return;
    }
    assert.ok(text.startsWith("{"), `neither an event nor control: ${text}`);
    assert.ok(this.#at, `an event without a selector: ${text}`);
    // Counted before it is looked into.
    const { of, next, through } = this.#at;
    if (through === undefined) this.#at.next++;
    else this.#at = null;
    const last = through ?? next;
    of.received = Math.max(of.received, last);
    const event = JSON.parse(text);
    // Of the input there are the messages alone, and the schema fills in the rest.
    const filled = event.input ? { ...event, input: { tools: [], context: [], ...event.input } } : event;
    judge(filled, `event ${next} of run ${of.runId}`);
    if (event.type === "RUN_FINISHED" || event.type === "RUN_ERROR") of.ended = true;
    if (!of.left) this.#waiting.push({ event, of, offset: next, through: last });
  }

  // select acts on a selector.
  #select(s) {
    let of = this.#numbers.get(s.run);
    if (of === undefined) {
      const asked = this.#asked.get(s.ref);
      assert.ok(asked, `run ${s.run} was never announced`);
      assert.match(s.epoch, /^[0-9a-f]{16}$/);
      assert.equal(typeof s.last, "number");
      // The cursor of a follow is one of the run that it names.
      const first = asked.runId === undefined || asked.runId === s.runId;
      of = { run: s.run, ref: s.ref, threadId: s.threadId, runId: s.runId, last: s.last, received: first ? asked.offset : 0 };
      if (asked.follow) asked.offset = 0;
      this.#numbers.set(s.run, of);
    } else assert.ok(!of.ended, `run ${s.run} is over`);
    if (s.epoch !== undefined) of.epoch = s.epoch;
    assert.equal(s.offset, of.received + 1, `a selector of run ${of.runId}`);
    if (s.through !== undefined) assert.ok(s.through >= s.offset - 1, "through");
    this.#at = { of, next: s.offset, through: s.through };
  }

  #over(ref) {
    for (const of of this.#numbers.values()) if (of.ref === ref) of.ended = true;
    if (this.#at?.of.ended) this.#at = null;
  }

  #send(name, body) {
    this.#socket.send(JSON.stringify([name, body]));
  }

  // ask sends a request under a fresh ref, which it returns.
  ask(name, body) {
    const ref = String(++this.#refs);
    this.#asked.set(ref, {
      follow: name === "follow", offset: (name === "follow" ? body.after?.offset : body.offset) ?? 0,
      runId: name === "follow" ? body.after?.runId : undefined,
    });
    this.#send(name, { ref, ...body });
    return ref;
  }

  start(input) {
    return this.ask("start", { input });
  }

  // attach asks for a run behind a cursor.
  attach(threadId, runId, { epoch, offset } = {}) {
    return this.ask("attach", { threadId, runId, ...(offset > 0 && { epoch, offset }) });
  }

  cancel(threadId, runId) {
    this.#send("cancel", { threadId, runId });
  }

  leave(of, back) {
    of.left = true;
    this.#send("leave", { run: of.run, ...(back && { back }) });
  }

  unfollow(ref) {
    this.#send("leave", { ref });
  }

  // startBare is start without a ref.
  startBare(input) {
    this.#asked.set("", { offset: 0 });
    this.raw(JSON.stringify(input));
  }

  // raw sends a frame as it is.
  raw(text) {
    this.#socket.send(text);
  }

  // next is what has come.
  next() {
    const come = async () => {
      while (this.#waiting.length === 0) await new Promise((resolve) => (this.#wake = resolve));
      const first = this.#waiting[0];
      if (first.broken) throw first.broken; // and nothing follows
      return this.#waiting.shift();
    };
    return within(30_000, "a frame", come());
  }

  // control is the next frame, which must be that control.
  async control(name) {
    const { control, body, event } = await this.next();
    assert.equal(control ?? event.type, name);
    return body;
  }

  // until returns the events of a run up to one that is so, and drops what else comes.
  async until(so, list = []) {
    for (;;) {
      const frame = await this.next();
      if (frame.event === undefined) continue;
      list.push(frame);
      if (so(frame)) return list;
    }
  }

  // rest adds what came before the connection ended.
  async rest(list) {
    await this.closed;
    for (const frame of this.#waiting) if (frame.event !== undefined) list.push(frame);
  }

  terminate() {
    this.#socket.terminate();
  }

  close() {
    this.#socket.close(1000);
  }
}

// terminal says that a frame ends its run.
export const terminal = ({ event }) => event.type === "RUN_FINISHED" || event.type === "RUN_ERROR";

// cursor is where an attachment stands.
export const cursor = (of) => ({ epoch: of.epoch, offset: of.received });
