// agloop.v1.json as docs/protocol.md says, spoken by a client that was written from that page.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, serve, within } from "./lib/program.mjs";
import { reference } from "./lib/reference.mjs";
import { cursor, open, terminal } from "./lib/resume.mjs";
import { relay } from "./lib/wire.mjs";

let demo, stream;
before(async () => {
  demo = await serve("demo");
  stream = await serve("stream");
});
after(() => Promise.all([demo.stop(), stream.stop()]));

let names = 0;
// named is an input under names of its own.
const named = (extra = {}) => ({ threadId: `thread-${++names}`, runId: `run-${names}`, messages: [], ...extra });
const saying = (text, extra) => named({ messages: [{ id: `user-${names + 1}`, role: "user", content: text }], ...extra });
const brief = " "; // to which the agent has least to say

async function connected(t, url, options) {
  const wire = await open(url, options);
  t.after(() => wire.terminate());
  return wire;
}

const events = (frames) => frames.map((f) => f.event);
const text = (frames) => frames.map((f) => f.event.delta ?? "").join("");

// counted fails unless frames stand for every offset behind a cursor, each once.
function counted(frames, from = 0) {
  for (const { offset, through } of frames) {
    assert.equal(offset, from + 1);
    assert.ok(through >= offset - 1);
    from = Math.max(from, through);
  }
  return from;
}

test("hello is the first frame of both servers, and says what the page says", async (t) => {
  for (const server of [demo, stream]) {
    const { hello } = await connected(t, server.ws);
    assert.deepEqual(Object.keys(hello).sort(), ["boot", "limits", "resumable", "secret", "version"]);
    assert.equal(hello.version, 1);
    assert.equal(hello.resumable, "process");
    assert.ok(hello.boot.length > 0 && hello.secret.length > 0);
    for (const limit of ["message", "attachments", "controls", "steer"]) assert.ok(hello.limits[limit] >= 1, limit);
  }
  const [a, b] = [await connected(t, demo.ws), await connected(t, demo.ws)];
  assert.equal(a.hello.boot, b.hello.boot);
  assert.notEqual(a.hello.secret, b.hello.secret);
});

test("a start is answered by a selector, and every event has its offset", async (t) => {
  const wire = await connected(t, demo.ws);
  const input = saying(brief);
  const ref = wire.start(input);
  const frames = await wire.until(terminal);
  const { of } = frames[0];
  assert.deepEqual([of.ref, of.threadId, of.runId, of.run], [ref, input.threadId, input.runId, 1]);
  assert.ok(frames.every((f) => f.of === of && f.offset === f.through), "an event that comes live stands for one offset");
  assert.equal(counted(frames), frames.length);
  assert.equal(frames[0].event.type, "RUN_STARTED");
  assert.equal(frames.at(-1).event.type, "RUN_FINISHED");
  wire.raw(JSON.stringify(["nobody-knows", { x: 1 }]));
  wire.startBare(saying(brief));
  const { of: bare } = (await wire.until(terminal))[0];
  assert.deepEqual([bare.ref, bare.run], ["", 2], "control that nobody knows is ignored");
});

test("the same start attaches, another input is a conflict", async (t) => {
  const wire = await connected(t, demo.ws);
  const input = saying(brief);
  wire.start(input);
  const first = await wire.until(terminal);
  wire.start(input);
  const again = await wire.until(terminal);
  assert.notEqual(again[0].of.run, first[0].of.run);
  assert.equal(again[0].of.epoch, first[0].of.epoch);
  assert.equal(again[0].of.last, first.length, "all of it is history");
  assert.equal(counted(again), first.length);
  assert.equal(text(again), text(first));
  const ref = wire.start({ ...input, state: { other: true } });
  assert.deepEqual(await wire.control("conflict"), { ref });
  const wrong = wire.ask("attach", { threadId: input.threadId, runId: input.runId, epoch: 7 });
  const refused = await wire.control("rejected");
  assert.deepEqual([refused.ref, refused.code, refused.field], [wrong, "malformed", "epoch"]);
});

// resumed reads a run over connections that are cut each time so is true, and returns its frames as one list.
async function resumed(t, server, input, cuts) {
  const between = await relay(server.host);
  t.after(() => between.close());
  let wire = await open(between.ws);
  const { secret, boot } = wire.hello;
  wire.start(input);
  const all = [];
  for (const cut of cuts) {
    const before = all.length;
    await wire.until((f) => cut(f, all.length - before), all);
    between.cut();
    await wire.rest(all);
    const of = all.at(-1).of;
    wire = await open(between.ws);
    assert.equal(wire.hello.boot, boot);
    wire.ask("bind", { secret });
    wire.attach(input.threadId, input.runId, cursor(of)); // and no answer to bind comes
  }
  await wire.until(terminal, all);
  wire.attach(input.threadId, input.runId);
  const whole = await wire.until(terminal);
  wire.close();
  return { all, whole, secret };
}

test("a run goes on behind its cursor, and the official client makes the same of it", async (t) => {
  const input = saying("Book a table for four on Thursday, but ask me first.", { state: { kept: 1 } });
  const { all, whole } = await resumed(t, demo, input, [
    (f) => f.event.type === "RUN_STARTED", (f) => f.event.type === "TEXT_MESSAGE_START", (f) => f.event.type === "TEXT_MESSAGE_CONTENT",
    (f, n) => n >= 5, (f, n) => n >= 2,
  ]);
  const last = counted(all);
  assert.equal(counted(whole), last);
  // From the start come the messages and the state of the input.
  assert.deepEqual(whole[0].event.input.messages, input.messages);
  assert.deepEqual([whole[1].event.type, whole[1].offset, whole[1].through], ["STATE_SNAPSHOT", 2, 1]);
  assert.deepEqual(whole[1].event.snapshot, input.state);
  const [own, other] = [await reference({ input, events: events(all) }), await reference({ events: events(whole) })];
  for (const of of [own, other]) delete of.ends;
  assert.deepEqual(own, other);
  assert.ok(own.messages.length > 1 && own.pendingInterrupts.length === 1);
});

test("a long run is folded, and every cursor of it is good", async (t) => {
  const input = named({ forwardedProps: { rate: 1000, burst: 10, delta: 3, seconds: 0.4 } }); // 4,000 tokens
  const { all, whole, secret } = await resumed(t, stream, input, [(f) => f.offset >= 100, (f) => f.through >= 2000]);
  const last = counted(all);
  assert.equal(last, 4000 + 4);
  assert.equal(counted(whole), last);
  const fold = whole.find((f) => f.through > f.offset + 100);
  assert.ok(fold, "nothing was folded");
  assert.equal(text(all), text(whole));
  const wire = await connected(t, stream.ws);
  wire.ask("bind", { secret });
  for (const offset of [1, 2, fold.offset, fold.offset + 1, fold.through - 1, fold.through, last - 1]) {
    wire.attach(input.threadId, input.runId, { epoch: fold.of.epoch, offset });
    const rest = await wire.until(terminal);
    assert.equal(counted(rest, offset), last, `behind ${offset}`);
    assert.equal(text(rest), text(whole).slice(3 * Math.max(0, offset - 2)), `behind ${offset}`); // 3 bytes a token, from offset 3 on
  }
  for (const [at, reason] of [
    [{ epoch: fold.of.epoch, offset: last + 1 }, "future"],
    [{ epoch: fold.of.epoch, offset: last }, "ended"],
    [{ epoch: "0123456789abcdef", offset: 1 }, "epoch"],
  ]) {
    const ref = wire.attach(input.threadId, input.runId, at);
    const gone = await wire.control("gone");
    assert.deepEqual([gone.ref, gone.reason], [ref, reason]);
  }
});

test("who is not of the session has none of its runs", async (t) => {
  const [owner, stranger] = [await connected(t, demo.ws), await connected(t, demo.ws)];
  const input = saying(brief);
  owner.start(input);
  await owner.until(terminal);
  const ref = stranger.attach(input.threadId, input.runId);
  assert.equal((await stranger.control("gone")).ref, ref);
  const late = stranger.ask("bind", { secret: owner.hello.secret });
  assert.deepEqual(await stranger.control("rejected"), { ref: late, code: "too_late" });
  const nobody = await connected(t, demo.ws);
  const bind = nobody.ask("bind", { secret: "nobody's" });
  assert.equal((await nobody.control("gone")).ref, bind);
  nobody.start(saying(brief)); // in the session of its hello
  await nobody.until(terminal);
});

test("a follow has one run after another, and says when there is none", async (t) => {
  const [owner, viewer] = [await connected(t, demo.ws), await connected(t, demo.ws)];
  const inputs = [saying(brief), saying(brief), saying(brief)];
  for (const input of inputs) input.threadId = inputs[0].threadId;
  viewer.ask("bind", { secret: owner.hello.secret });
  const ref = viewer.ask("follow", { threadId: inputs[0].threadId });
  assert.deepEqual(await viewer.control("idle"), { ref });
  const seen = [];
  for (const input of inputs.slice(0, 2)) {
    owner.start(input);
    await owner.until(terminal);
    const frames = await viewer.until(terminal);
    counted(frames);
    assert.deepEqual([frames[0].of.ref, frames[0].of.runId], [ref, input.runId]);
    assert.deepEqual(await viewer.control("idle"), { ref });
    seen.push(frames[0].of);
  }
  assert.notEqual(seen[0].run, seen[1].run);
  viewer.terminate();
  owner.start(inputs[2]);
  await owner.until(terminal);
  const next = await connected(t, demo.ws);
  next.ask("bind", { secret: owner.hello.secret });
  const later = next.ask("follow", { threadId: inputs[0].threadId, after: { runId: seen[1].runId, ...cursor(seen[1]) } });
  const frames = await next.until(terminal);
  assert.deepEqual([frames[0].of.ref, frames[0].of.runId], [later, inputs[2].runId], "what it has had is left out");
  assert.deepEqual(await next.control("idle"), { ref: later });
  next.unfollow(later);
  const own = saying(brief, { threadId: inputs[0].threadId });
  next.start(own);
  assert.equal((await next.until(terminal))[0].of.runId, own.runId);
});

test("cancel ends a run, also one that is to come", async (t) => {
  const wire = await connected(t, stream.ws);
  const input = named(); // a minute
  wire.start(input);
  await wire.until((f) => f.event.type === "TEXT_MESSAGE_CONTENT");
  for (let i = 0; i < 2; i++) wire.cancel(input.threadId, input.runId);
  const frames = await wire.until(terminal);
  assert.deepEqual(events(frames).slice(-2).map((e) => e.type), ["TEXT_MESSAGE_END", "RUN_FINISHED"]);
  assert.deepEqual(frames.at(-1).event.outcome, { type: "cancelled" });
  const later = named();
  wire.cancel(later.threadId, later.runId);
  wire.start(later);
  const none = await wire.until(terminal);
  assert.deepEqual(events(none).map((e) => e.type), ["RUN_STARTED", "RUN_FINISHED"]);
  assert.deepEqual(none[1].event.outcome, { type: "cancelled" });
});

test("steer tells whether the agent listens", async (t) => {
  const wire = await connected(t, stream.ws);
  const input = named();
  const { threadId, runId } = input;
  wire.start(input);
  await wire.until((f) => f.event.type === "TEXT_MESSAGE_CONTENT");
  const ref = wire.ask("steer", { threadId, runId, id: "steer-1", text: "in French, please" });
  let answer;
  do answer = await wire.next();
  while (answer.control === undefined);
  assert.deepEqual([answer.control, answer.body], ["steered", { ref, id: "steer-1", ok: false }]);
  wire.cancel(threadId, runId);
  await wire.until(terminal);
  const unknown = wire.ask("steer", { threadId, runId: "unknown", id: "steer-2", text: "x" });
  assert.equal((await wire.control("gone")).ref, unknown);
});

test("leaving stops nothing, with back and without", async (t) => {
  const wire = await connected(t, stream.ws);
  const input = named({ forwardedProps: { rate: 100, burst: 4, delta: 3, seconds: 0.5 } });
  wire.start(input);
  const all = await wire.until((f) => f.offset >= 20);
  for (const back of [true, false]) {
    const { of } = all.at(-1);
    const at = cursor(of);
    wire.leave(of, back);
    wire.attach(input.threadId, input.runId, at);
    await wire.until((f) => f.of !== of && f.offset >= at.offset + 20, all);
  }
  await wire.until(terminal, all);
  assert.equal(counted(all), 200 + 4);
});

test("many runs at once have each their own events", async (t) => {
  const wire = await connected(t, stream.ws);
  const inputs = Array.from({ length: 30 }, () => named({ forwardedProps: { rate: 200, burst: 3, delta: 5, seconds: 0.2 } }));
  const frames = new Map(inputs.map((i) => [wire.start(i), []]));
  for (let ended = 0; ended < inputs.length; ) {
    const frame = await wire.next();
    frames.get(frame.of.ref).push(frame);
    if (terminal(frame)) ended++;
  }
  for (const list of frames.values()) {
    assert.equal(counted(list), 120 + 4);
    assert.equal(list.length, 124);
    assert.equal(list[0].event.runId, list[0].of.runId);
    assert.equal(list.at(-1).event.type, "RUN_FINISHED");
  }
});

test("a server that goes says so, and ends its runs before its connections", async () => {
  const own = await serve("stream");
  const wire = await open(own.ws);
  wire.start(named());
  await wire.until((f) => f.event.type === "TEXT_MESSAGE_CONTENT");
  const ended = own.stop();
  let going;
  do going = await wire.next();
  while (going.control === undefined);
  assert.equal(going.control, "going");
  assert.equal(typeof going.body.retryAfter, "number");
  const frames = await wire.until(terminal);
  assert.deepEqual(frames.at(-1).event.outcome, { type: "cancelled" });
  assert.equal(await wire.closed, 1001);
  assert.equal((await ended).code, 0);
});

test("agloop run outlives its connection", async (t) => {
  const between = await relay(stream.host);
  t.after(() => between.close());
  const props = JSON.stringify({ rate: 40, burst: 2, delta: 4, seconds: 1 });
  const run = launch("run", "--url", between.ws, "--props", props);
  for (const n of [5, 20, 50]) {
    await run.printed(n);
    between.cut();
  }
  const { code, stdout, stderr } = await run.end();
  assert.equal(code, 0, stderr);
  const lines = stdout.trimEnd().split("\n").map((l) => JSON.parse(l));
  assert.equal(lines.filter((e) => e.type === "RUN_STARTED").length, 1);
  assert.equal(lines.map((e) => e.delta ?? "").join("").length, 80 * 4);
  assert.equal(lines.at(-1).type, "RUN_FINISHED");
});

test("Ctrl-C of agloop run stops the run on the server", async () => {
  const runs = async () => (await (await fetch(`${demo.http}/stats`)).json()).runs;
  const run = launch("run", "--url", demo.ws, "--message", "I will leave you in the middle of this");
  await run.printed(3);
  assert.equal(await runs(), 1);
  run.signal("SIGINT");
  const { code, stdout, stderr } = await run.end();
  assert.equal(code, 1);
  assert.match(stderr, /canceled/);
  assert.doesNotMatch(stdout, /RUN_FINISHED/);
  const none = async () => {
    while ((await runs()) > 0);
  };
  await within(2_000, "the end of the run", none()); // it would go on for two minutes
});
