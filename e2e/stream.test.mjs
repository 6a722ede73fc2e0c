// The official client against "agloop stream".
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { SocketAgent, spoken, types } from "./lib/agent.mjs";
import { serve } from "./lib/program.mjs";

let stream;
let agent;
before(async () => {
  stream = await serve("stream", "--loops", "1");
  agent = new SocketAgent({ url: stream.ws, threadId: "thread-stream" });
});
after(async () => {
  agent.close();
  await stream.stop();
});

test("the stream is what was asked for, run after run on one socket", async () => {
  for (const props of [
    { rate: 50, burst: 4, delta: 24, seconds: 0.5 },
    { rate: 10, burst: 1, delta: 1, seconds: 0.3 },
    { rate: 200, burst: 10, delta: 300, seconds: 0.25 },
  ]) {
    agent.wire = [];
    const before = Date.now();
    const { newMessages } = await agent.runAgent({ forwardedProps: props });
    const took = Date.now() - before;

    const tokens = agent.wire.filter((e) => e.type === "TEXT_MESSAGE_CONTENT");
    const count = Math.round(props.rate * props.seconds) * props.burst;
    assert.deepEqual(types(agent.wire), [
      "RUN_STARTED",
      "TEXT_MESSAGE_START",
      ...Array(count).fill("TEXT_MESSAGE_CONTENT"),
      "TEXT_MESSAGE_END",
      "RUN_FINISHED",
    ]);
    assert.ok(tokens.every((t) => Buffer.byteLength(t.delta) === props.delta));
    assert.equal(newMessages.length, 1);
    assert.equal(newMessages[0].content, spoken(agent.wire));

    const stamps = tokens.map((t) => t.timestamp);
    assert.ok(stamps.every((s, i) => Number.isInteger(s) && s >= before && (i === 0 || s >= stamps[i - 1])));
    // The last burst leaves one interval before the end; a late machine makes it later, never earlier.
    const least = 1000 * (props.seconds - 1 / props.rate);
    assert.ok(took >= least - 5, `took ${took} ms, at least ${least} expected`);
  }
  assert.equal(agent.sockets, 1);
});

test("props out of bounds end the run with RUN_ERROR, and the socket stays good", async () => {
  for (const [props, about] of [
    [{ rate: 0 }, /rate/],
    [{ rate: 1e9 }, /rate/],
    [{ burst: 0 }, /burst/],
    [{ burst: 1.5 }, /burst/],
    [{ delta: -1 }, /delta/],
    [{ seconds: 0 }, /seconds/],
    [{ seconds: "long" }, /seconds/],
    [[], /forwardedProps/],
  ]) {
    agent.wire = [];
    // The official client resolves a run that ends with RUN_ERROR; the event tells.
    await agent.runAgent({ forwardedProps: props }).catch(() => {});
    assert.deepEqual(types(agent.wire), ["RUN_STARTED", "RUN_ERROR"], JSON.stringify(props));
    assert.match(agent.wire[1].message, about);
    assert.equal(agent.wire[1].code, "bad_props");
  }
  await agent.runAgent({ forwardedProps: { seconds: 0.1, unknown: true } });
  assert.equal(agent.wire.at(-1).type, "RUN_FINISHED");
  assert.equal(agent.sockets, 1);
});
