// The parts of the demo page that are plain functions.
import assert from "node:assert/strict";
import { test } from "node:test";
import { patch } from "../cmd/agloop/page/patch.mjs";
import { backoff } from "../cmd/agloop/page/socket.mjs";
import { figures } from "../cmd/agloop/page/live.mjs";
import { describe } from "../cmd/agloop/page/tuning.mjs";

test("JSON Patch applies as RFC 6902 asks", () => {
  for (const [doc, operations, want] of [
    [{}, [], {}],
    [{ a: 1 }, [{ op: "add", path: "/b", value: null }], { a: 1, b: null }],
    [{ a: [1, 3] }, [{ op: "add", path: "/a/1", value: 2 }], { a: [1, 2, 3] }],
    [{ a: [1] }, [{ op: "add", path: "/a/-", value: 2 }], { a: [1, 2] }],
    [{ a: [1] }, [{ op: "add", path: "/a/1", value: 2 }], { a: [1, 2] }],
    [{ a: 1 }, [{ op: "replace", path: "/a", value: { b: 2 } }], { a: { b: 2 } }],
    [{ a: 1 }, [{ op: "replace", path: "", value: 7 }], 7],
    [{ a: [1, 2] }, [{ op: "remove", path: "/a/0" }], { a: [2] }],
    [{ "a/b": { "~": 1 } }, [{ op: "replace", path: "/a~1b/~0", value: 2 }], { "a/b": { "~": 2 } }],
    [{ a: { b: 1 } }, [{ op: "copy", from: "/a", path: "/c" }, { op: "replace", path: "/c/b", value: 2 }], { a: { b: 1 }, c: { b: 2 } }],
    [{ a: [1, 2, 3] }, [{ op: "move", from: "/a/0", path: "/a/2" }], { a: [2, 3, 1] }],
    [{ a: { x: 1, y: [2] } }, [{ op: "test", path: "/a", value: { y: [2], x: 1 } }], { a: { x: 1, y: [2] } }],
    [{}, [{ op: "add", path: "/toString", value: 1 }], { toString: 1 }],
  ]) {
    assert.deepEqual(patch(doc, operations), want, JSON.stringify(operations));
  }
});

test("a JSON Patch that does not fit changes nothing", () => {
  for (const op of [
    { op: "replace", path: "/b", value: 1 },
    { op: "remove", path: "/b" },
    { op: "remove", path: "/list/1" },
    { op: "replace", path: "/list/-", value: 1 },
    { op: "add", path: "/list/2", value: 1 },
    { op: "add", path: "/list/01", value: 1 },
    { op: "add", path: "/b/c", value: 1 },
    { op: "add", path: "b", value: 1 },
    { op: "add", path: "/a/b", value: 1 },
    { op: "test", path: "/a", value: 2 },
    { op: "move", from: "/list", path: "/list/0" },
    { op: "copy", from: "/toString", path: "/b" },
    { op: "invent", path: "/a" },
  ]) {
    const doc = { a: 1, list: [1] };
    assert.throws(() => patch(doc, [{ op: "replace", path: "/a", value: 9 }, op]), JSON.stringify(op));
    assert.deepEqual(doc, { a: 1, list: [1] });
  }
});

test("a patch cannot reach the prototype", () => {
  const doc = patch({}, [{ op: "add", path: "/__proto__", value: { polluted: true } }]);
  assert.equal(Object.getPrototypeOf(doc), Object.prototype);
  assert.equal({}.polluted, undefined);
  assert.throws(() => patch({}, [{ op: "add", path: "/constructor/prototype/polluted", value: true }]));
});

test("back-off is full jitter under a doubling, capped bound", () => {
  for (const [attempt, bound] of [[0, 500], [1, 1000], [5, 16_000], [6, 30_000], [2000, 30_000]]) {
    assert.equal(backoff(attempt, () => 0), 0);
    assert.equal(backoff(attempt, () => 1), bound);
  }
});

test("figures are rates between two readings", () => {
  const before = { at: 1000, connections: 1, framesOut: 100, writes: 50 };
  const now = { at: 3000, connections: 2, framesOut: 160, writes: 80 };
  assert.deepEqual(figures(now, before), { connections: 2, eventsPerSecond: 30, framesPerWrite: 2 });
  assert.equal(figures({ ...now, writes: 50, framesOut: 100 }, before).framesPerWrite, undefined, "nothing was written");
  assert.equal(figures(now, undefined).eventsPerSecond, undefined, "the first reading has no rate");
  assert.equal(figures({ ...now, framesOut: 3 }, before).eventsPerSecond, undefined, "the server began anew");
});

test("a tuning in words", () => {
  const rest = { profile: "balanced", adaptive: false, batchSize: 10, batchTimeoutMs: 5, memoryTier: "normal", memoryPressure: 0.2, lastDecision: null };
  assert.deepEqual(describe(rest), {
    memory: "normal, <1 %",
    profile: "balanced",
    window: "10 in 5 ms",
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
