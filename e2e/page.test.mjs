// The parts of the demo page that are plain functions.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { bundle, file } from "../clients/ts/page/build.mjs";
import { stopPlan } from "../cmd/agloop/page/conversation.mjs";
import { Frames, isFold, matches } from "../cmd/agloop/page/frames.mjs";
import { Measured, figures } from "../cmd/agloop/page/live.mjs";
import { makeLink, readLink } from "../cmd/agloop/page/session.mjs";
import { describe } from "../cmd/agloop/page/tuning.mjs";

test("the committed bundle is what npm run page makes", async () => {
  const [committed, made] = [await readFile(file, "utf8"), await bundle()];
  assert.ok(committed === made, "cmd/agloop/page/agloop.mjs is not current: npm --prefix clients/ts run page");
  for (const name of ["@ag-ui/client", "rxjs", "zod", "uqr"]) assert.match(made, new RegExp(`^/\\*!\n${name} \\d`, "m"), `the licence of ${name}`);
});

test("a link has thread and secret in its fragment", () => {
  const link = makeLink("http://host:8080/", "a&b=c #d", "0f/+");
  assert.equal(new URL(link).search, "");
  assert.deepEqual(readLink(new URL(link).hash), { threadId: "a&b=c #d", secret: "0f/+" });
  for (const other of ["", "#", "#log", "#thread=t", "#secret=s"]) assert.equal(readLink(other), undefined, other);
});

test("a plan that was stopped says at which step", () => {
  const plan = { title: "t", done: 1, steps: [{ label: "a", status: "done" }, { label: "b", status: "active" }, { label: "c", status: "waiting" }] };
  const state = { other: 1, plan };
  assert.deepEqual(stopPlan(state), {
    other: 1,
    plan: { ...plan, stopped: true, steps: [plan.steps[0], { label: "b", status: "stopped" }, plan.steps[2]] },
  });
  assert.equal(plan.steps[1].status, "active", "the state itself is as it was");
  for (const none of [undefined, {}, { plan: {} }, { plan: { steps: [{ label: "a", status: "done" }] } }]) assert.equal(stopPlan(none), none);
});

test("each frame has the offsets that it stands for", () => {
  const frames = new Frames();
  const run = (body) => frames.take("in", JSON.stringify(["run", body]));
  const event = (type) => frames.take("in", JSON.stringify({ type }));
  frames.take("open", "");
  frames.take("in", '["hello",{"secret":"s3cret"}]');
  frames.take("out", '["bind",{"ref":"1","secret":"s3cret"}]');
  run({ run: 1, offset: 1 });
  event("A");
  event("B");
  run({ run: 1, offset: 3, through: 6 });
  const fold = event("C");
  run({ run: 1, offset: 7, through: 6 });
  event("D");
  run({ run: 2, offset: 9 });
  const last = event("E");
  const events = frames.list.filter((f) => f.kind === "event");
  assert.deepEqual(events.map((f) => [f.name, f.place, f.run]), [["A", "1", 1], ["B", "2", 1], ["C", "3–6", 1], ["D", "no offset", 1], ["E", "9", 2]]);
  assert.deepEqual(events.map(isFold), [false, false, true, false, false]);
  assert.ok(!JSON.stringify(frames.list.map((f) => f.text)).includes("s3cret"), "nobody reads the secret over a shoulder");

  const count = (kind, words) => frames.list.filter((f) => matches(f, kind, words)).length;
  assert.deepEqual([count("", ""), count("event", ""), count("fold", ""), count("control", ""), count("sent", "")], [12, 5, 1, 5, 1]);
  assert.ok(matches(fold, "", "3–6") && matches(last, "event", '"e"') && !matches(last, "", "3–6"));

  frames.take("open", "");
  assert.equal(event("F").place, "", "a new connection has no selector yet");
});

test("what a profile came to is measured while it holds", () => {
  const m = new Measured();
  const busy = { eventsPerSecond: 100, framesPerWrite: 4, writesPerSecond: 25 };
  m.take(busy, "balanced");
  assert.deepEqual(m.byProfile, {}, "the first reading may belong to what held before");
  m.take(busy, "balanced");
  m.take({ ...busy, framesPerWrite: 1 }, "latency");
  m.take({ ...busy, eventsPerSecond: 2, framesPerWrite: 1 }, "latency");
  m.take(undefined, undefined);
  assert.deepEqual(m.byProfile, { balanced: { framesPerWrite: 4, writesPerSecond: 25 } });
});

test("figures are rates between two readings", () => {
  const before = { at: 1000, connections: 1, viewers: 0, logBytes: 10, framesOut: 100, writes: 50 };
  const now = { at: 3000, connections: 2, viewers: 1, logBytes: 20, framesOut: 160, writes: 80 };
  assert.deepEqual(figures(now, before), {
    connections: 2, viewers: 1, logs: 20, eventsPerSecond: 30, writesPerSecond: 15, framesPerWrite: 2,
  });
  assert.equal(figures({ ...now, writes: 50, framesOut: 100 }, before).framesPerWrite, undefined, "nothing was written");
  assert.equal(figures(now, undefined).eventsPerSecond, undefined, "the first reading has no rate");
  assert.equal(figures({ ...now, framesOut: 3 }, before).eventsPerSecond, undefined, "the server began anew");
});

test("a tuning in words", () => {
  const rest = { profile: "balanced", adaptive: false, batchSize: 10, batchTimeoutMs: 5, batchBytes: 16384, softLimit: 262144, bufferPool: 1000, memoryTier: "normal", memoryPressure: 0.2, lastDecision: null };
  assert.deepEqual(describe(rest), {
    memory: "normal, <1 %",
    profile: "balanced",
    window: "10 in 5 ms",
    batchBytes: "16 KiB",
    queue: "256 KiB",
    buffers: "1,000",
    decision: "none yet. Adaptive optimization is off until you switch it on.",
  });
  assert.match(describe({ ...rest, adaptive: true }).decision, /^none yet\. A step needs/);
  for (const none of [{ batchSize: 1 }, { batchTimeoutMs: 0 }]) assert.equal(describe({ ...rest, ...none }).window, "none");
  assert.equal(describe({ ...rest, batchSize: 34, batchTimeoutMs: 7.94 }).window, "34 in 7.94 ms");
  assert.equal(describe({ ...rest, memoryTier: "high", memoryPressure: 86.4 }).memory, "high, 86 %");
  const decided = { adaptive: true, lastDecision: { toward: "memory", reason: "memory at 83 %", secondsAgo: 59.9 } };
  assert.equal(describe({ ...rest, ...decided }).decision, "toward memory, 59 s ago: memory at 83 %");
  assert.equal(describe({ ...rest, ...decided, adaptive: false }).decision, "toward memory, 59 s ago: memory at 83 % (now off)");
});
