// agui.Thread beside the official client: both reduce the same streams, and nothing may differ.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { AbstractAgent } from "@ag-ui/client";
import { from } from "rxjs";
import { streams } from "./lib/streams.mjs";

const seed = Number(process.env.THREAD_SEED ?? 1);
const count = 5000;
process.env.SUPPRESS_TRANSFORMATION_WARNINGS = "1";
console.warn = console.error = () => {}; // the client tells of every event that it skips

class Replay extends AbstractAgent {
  constructor({ input, events }) {
    super({ threadId: "t", initialMessages: input?.messages, initialState: input?.state });
    this.events = events;
  }

  run() {
    return from(plain(this.events));
  }
}

// reference is what the official client makes of a stream. An order that it refuses is an error.
async function reference(stream) {
  const agent = new Replay(stream);
  const ends = [];
  await agent.runAgent({}, {
    onRunFinishedEvent({ event, outcome, result, pendingToolCallIds, interrupts }) {
      ends.push({
        outcome, result, interrupts, usage: event.usage,
        pendingToolCallIds: pendingToolCallIds?.length > 0 ? pendingToolCallIds : undefined,
      });
    },
  });
  const { messages, state, pendingInterrupts } = agent;
  const { tools, context, forwardedProps, ...input } = agent.prepareRunAgentInput({
    runId: "next",
    ...(pendingInterrupts.length > 0 && { resume: pendingInterrupts.map((i) => ({ interruptId: i.id, status: "cancelled" })) }),
  });
  if (input.state === null) delete input.state; // reads the same, and only this is legal
  return plain({ messages, state, pendingInterrupts, ends, input });
}

// plain is value as it comes off the wire.
const plain = (value) => JSON.parse(JSON.stringify(value));

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
  for (const [i, { skipped, ...own }] of got.entries()) {
    own.pendingInterrupts ??= [];
    own.ends ??= [];
    if (expected[i].ends.length + expected[i].messages.length === 0) delete own.input, delete expected[i].input;
    assert.deepEqual(own, expected[i], `stream ${i}: ${JSON.stringify(list[i])}`);
  }
  return got;
}

test("the streams of the sample data", async () => {
  const text = readFileSync(new URL("../agui/testdata/sequences.ndjson", import.meta.url), "utf8");
  const valid = text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line)).filter((s) => s.valid);
  assert.ok(valid.length > 15);
  compare(valid.map(({ events }) => ({ events })), await Promise.all(valid.map(reference)));
});

test(`${count} random streams of all event types`, async () => {
  const list = [], expected = [];
  let refused = 0;
  for (const stream of streams(seed)) {
    if (list.length === count) break;
    try {
      expected.push(await reference(stream));
      list.push(stream);
    } catch (err) {
      refused++;
      if (process.env.THREAD_DEBUG) console.log(err.message);
    }
  }
  assert.ok(refused < count / 50, `${refused} streams are not valid`);
  const types = new Set(list.flatMap((s) => s.events.map((e) => e.type)));
  assert.equal(types.size, 31, [...types].join(" "));
  compare(list, expected);
});
