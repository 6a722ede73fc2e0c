// The official client against "agloop demo".
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { SocketAgent, ask, spoken, types } from "./lib/agent.mjs";
import { serve, within } from "./lib/program.mjs";
import { relay } from "./lib/wire.mjs";

let demo;
before(async () => {
  demo = await serve("demo");
});
after(() => demo.stop());

function newAgent(t, url = demo.ws) {
  const agent = new SocketAgent({ url, threadId: `thread-${t.name.replaceAll(" ", "-")}` });
  t.after(() => agent.close());
  return agent;
}

test("a run streams text, a tool call and state", async (t) => {
  const agent = newAgent(t);
  const words = "What does <b>streaming</b> change?";
  const { newMessages } = await ask(agent, words);

  const seen = types(agent.wire);
  assert.equal(seen[0], "RUN_STARTED");
  assert.equal(agent.wire[0].protocolVersion, "1.0");
  assert.equal(seen.at(-1), "RUN_FINISHED");
  assert.ok(seen.filter((x) => x === "TEXT_MESSAGE_CONTENT").length > 40, "the text comes in many pieces");

  const [callMessage, result, reply] = newMessages;
  assert.equal(callMessage.toolCalls[0].function.name, "measure_text");
  assert.deepEqual(JSON.parse(callMessage.toolCalls[0].function.arguments), { text: words });
  assert.equal(result.role, "tool");
  assert.equal(result.toolCallId, callMessage.toolCalls[0].id);
  assert.equal(JSON.parse(result.content).words, 4);
  assert.equal(reply.role, "assistant");
  assert.equal(reply.content, spoken(agent.wire), "the message is the sum of its pieces");
  assert.ok(reply.content.includes(words), "the answer echoes the words");

  assert.deepEqual(agent.state.plan, {
    title: "Answer you",
    done: 3,
    steps: ["Read your message", "Measure it with a tool", "Write the answer"].map((label) => ({ label, status: "done" })),
  });
});

test("runs follow one another on one socket", async (t) => {
  const agent = newAgent(t);
  for (const words of ["one", "two", "three"]) {
    const { newMessages } = await ask(agent, words);
    assert.ok(newMessages.at(-1).content.includes(`“${words}”`));
  }
  assert.equal(agent.sockets, 1);
  const runs = agent.wire.filter((e) => e.type === "RUN_STARTED").map((e) => e.runId);
  assert.equal(new Set(runs).size, 3);
  assert.deepEqual(
    agent.wire.filter((e) => e.type === "RUN_FINISHED").map((e) => e.runId),
    runs,
  );
  assert.equal(agent.messages.filter((m) => m.role === "user").length, 3);
});

for (const [approved, said, status] of [
  [true, /^Done: a table for 4 on Thursday/, "done"],
  [false, /nothing is booked/, "skipped"],
]) {
  test(`an interrupt that is ${approved ? "approved" : "declined"} resumes`, async (t) => {
    const agent = newAgent(t);
    await ask(agent, "Book a table for four on Thursday, but ask me first.");
    assert.equal(agent.pendingInterrupts.length, 1);
    const [interrupt] = agent.pendingInterrupts;
    assert.match(interrupt.message, /table for 4 on Thursday/);
    assert.equal(agent.state.plan.steps[2].status, "active");
    assert.match(agent.state.plan.note, /Thursday/);

    const { newMessages } = await agent.runAgent({
      resume: [{ interruptId: interrupt.id, status: "resolved", payload: { approved } }],
    });
    assert.match(newMessages.at(-1).content, said);
    assert.equal(newMessages.some((m) => m.role === "tool"), approved, "the tool is called only when allowed");
    assert.equal(agent.state.plan.steps[3].status, status);
    assert.equal(agent.pendingInterrupts.length, 0);
    assert.equal(agent.sockets, 1);
  });
}

test("an interrupt that is abandoned gives way to what the person says instead", async (t) => {
  const agent = newAgent(t);
  await ask(agent, "Reserve a table tomorrow");
  const [interrupt] = agent.pendingInterrupts;
  const { newMessages } = await ask(agent, "Never mind", { resume: [{ interruptId: interrupt.id, status: "cancelled" }] });
  assert.match(newMessages.at(-1).content, /“Never mind”/);
});

test("a burst arrives whole", async (t) => {
  const agent = newAgent(t);
  const { newMessages } = await ask(agent, "Show me a burst");
  assert.equal(agent.wire.filter((e) => e.type === "TEXT_MESSAGE_CONTENT").length, 1 + 60 * 12);
  assert.equal(newMessages[0].content, spoken(agent.wire));
});

test("a connection cut in the middle of a run is an error, and the next run works", async (t) => {
  const between = await relay(demo.host);
  t.after(() => between.close());
  const agent = newAgent(t, between.ws);
  let pieces = 0;
  const cutAtThird = { onTextMessageContentEvent: () => void (++pieces === 3 && between.cut()) };
  await assert.rejects(ask(agent, "Cut me off", {}, cutAtThird), /truncated/);
  assert.ok(pieces >= 3);
  assert.ok(!types(agent.wire).includes("RUN_FINISHED"));

  const { newMessages } = await ask(agent, "Again");
  assert.match(newMessages.at(-1).content, /“Again”/);
  assert.equal(agent.sockets, 2);
});

test("leaving a run ends it on the server", async (t) => {
  const runs = async () => (await (await fetch(`${demo.http}/stats`)).json()).runs;
  const agent = newAgent(t);
  const begun = new Promise((resolve, reject) => {
    ask(agent, "I will leave", {}, { onToolCallStartEvent: () => resolve() }).catch(reject);
  });
  await begun;
  assert.equal(await runs(), 1);
  await agent.detachActiveRun();
  const gone = async () => {
    while ((await runs()) > 0);
  };
  await within(1_000, "end of the run on the server", gone());
});

test("/metrics speaks Prometheus", async () => {
  const response = await fetch(`${demo.http}/metrics`);
  assert.equal(response.status, 200);
  const text = await response.text();
  for (const name of ["agloop_connections_opened_total", "agloop_memory_pressure_ratio", "go_goroutines"]) {
    assert.match(text, new RegExp(`^${name}(\\{| )`, "m"));
  }
});
