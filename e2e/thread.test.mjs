// agui.Thread beside the official client: both reduce the same streams, and nothing may differ.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { reference } from "./lib/reference.mjs";
import { streams } from "./lib/streams.mjs";

const seed = Number(process.env.THREAD_SEED ?? 1); // another one makes other streams
const count = 5000;
process.env.SUPPRESS_TRANSFORMATION_WARNINGS = "1";
console.warn = console.error = () => {}; // the client tells of every event that it skips

// reduced is what agui.Thread makes of streams.
function reduced(list) {
  const out = execFileSync("go", ["run", "./reduce"], {
    cwd: new URL(".", import.meta.url), input: list.map((s) => JSON.stringify(s)).join("\n"), encoding: "utf8", maxBuffer: 1 << 30,
  });
  return out.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

function compare(list, expected) {
  const got = reduced(list);
  assert.equal(got.length, list.length);
  for (const [i, own] of got.entries()) {
    delete own.skipped; // the client only warns
    assert.deepEqual(own, expected[i], `stream ${i}: ${JSON.stringify(list[i])}`);
  }
}

const lines = (file) =>
  readFileSync(new URL(`../agui/testdata/${file}`, import.meta.url), "utf8").split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));

test("the streams of the sample data", async () => {
  // A stream that begins with RUN_ERROR tells no thread, which the official client knows by itself.
  const valid = lines("sequences.ndjson").filter((s) => s.valid && s.events[0].type === "RUN_STARTED");
  assert.ok(valid.length > 15);
  compare(valid.map(({ events }) => ({ events })), await Promise.all(valid.map(reference)));
});

test("each event of the sample data", async () => {
  const list = [], expected = [];
  for (const event of lines("events.ndjson")) {
    if (event.type === "RUN_STARTED") event.threadId = "t";
    delete event.futureField; // which the decoder strips as well
    const stream = { events: [{ type: "RUN_STARTED", threadId: "t", runId: "r" }, event] };
    try {
      expected.push(await reference(stream, { ordered: false }));
      list.push(stream);
    } catch (err) {
      assert.match(event.type, /_CHUNK$/, err.message); // that continues nothing
    }
  }
  assert.ok(list.length > 60);
  compare(list, expected);
});

test("the unit tests of agui want what the official client makes", async () => {
  for (const { name, want, ...stream } of lines("threads.ndjson")) {
    const { input, ...made } = await reference(stream);
    assert.deepEqual(want, made, name);
  }
  for (const { name, doc, patch, want } of lines("patches.ndjson")) {
    const { state } = await reference({
      events: [
        { type: "RUN_STARTED", threadId: "t", runId: "r" },
        { type: "STATE_SNAPSHOT", snapshot: doc },
        { type: "STATE_DELTA", delta: patch },
      ],
    });
    assert.deepEqual(state, want === undefined ? doc : want, name);
  }
});

test(`${count} random streams of all event types`, async () => {
  const list = [], expected = [], refused = [];
  for (const stream of streams(seed)) {
    if (list.length === count) break;
    try {
      expected.push(await reference(stream));
      list.push(stream);
    } catch (err) {
      refused.push(err.message);
    }
  }
  assert.deepEqual(refused, [], "streams that are not valid");
  assert.equal(new Set(list.flatMap((s) => s.events.map((e) => e.type))).size, 31);
  compare(list, expected);
});
