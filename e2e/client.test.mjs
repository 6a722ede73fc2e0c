// The package @agloop/client in Node, against the real server: what a run is for its user.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connection, agent, say, state, texts, thread, when } from "./lib/agloop.mjs";
import { within } from "./lib/program.mjs";
import { asks, calls, event, gate, play, says, scripted } from "./lib/scripted.mjs";
import { relay } from "./lib/wire.mjs";

let server;
before(async () => (server = await scripted()));
after(() => server.stop());

let gates = 0;
const named = () => `gate-${++gates}`;
const assistants = (a) => texts(a).filter((m) => m.startsWith("assistant"));
const has = (text) => (a) => assistants(a).some((m) => m.includes(text));

test("a run makes of messages and state what its events say", async (t) => {
  const a = agent(t, server.ws, { initialState: { n: 1 } });
  say(a, "hello");
  const { newMessages, result } = await a.runAgent(
    play(
      says("m1", "good ", "day"),
      calls("c1", "look", { at: "x" }, "m1"),
      event("TOOL_CALL_RESULT", { messageId: "r1", toolCallId: "c1", content: "seen" }),
      event("STATE_DELTA", { delta: [{ op: "add", path: "/seen", value: true }] }),
    ),
  );
  assert.equal(result, undefined);
  assert.deepEqual(a.state, { n: 1, seen: true });
  assert.deepEqual(newMessages.map((m) => m.id), ["m1", "r1"]);
  assert.equal(a.messages.at(1).content, "good day");
  assert.equal(a.messages.at(1).toolCalls[0].function.arguments, '{"at":"x"}');
});

test("R40 an event counts as applied when apply begins the next one", async (t) => {
  const a = agent(t, server.ws);
  const seen = [];
  a.subscribe({ onEvent: ({ event: e }) => void seen.push([e.type, a.cursor?.offset, a.cursor?.epoch]) });
  await a.runAgent(play(says("m1", "a", "b"), event("CUSTOM", { name: "x", value: 1 })));
  assert.deepEqual(
    seen.map(([type, offset]) => [type, offset]),
    [
      ["RUN_STARTED", undefined], ["TEXT_MESSAGE_START", 1], ["TEXT_MESSAGE_CONTENT", 2], ["TEXT_MESSAGE_CONTENT", 3],
      ["TEXT_MESSAGE_END", 4], ["CUSTOM", 5], ["RUN_FINISHED", 6],
    ],
  );
  assert.equal(a.cursor.offset, 7, "all of it is applied");
  assert.match(a.cursor.epoch, /^[0-9a-f]{16}$/);
});

test("R41 a run goes on over connections that are cut, and a token is asked for at each of them", async (t) => {
  const between = await relay(server.host);
  t.after(() => between.close());
  let asked = 0;
  const a = agent(t, between.ws, { credentials: () => ({ query: { user: "ann", n: String(++asked) } }) });
  const [one, two] = [named(), named()];
  const run = a.runAgent(play(says("m1", "one "), gate(one), says("m2", "two "), gate(two), says("m3", "three")));
  await when(a, "m1", has("one"));
  between.cut();
  await server.open(one);
  await when(a, "m2", has("two"));
  between.cut();
  await server.open(two);
  await run;
  assert.deepEqual(assistants(a), ["assistant: one ", "assistant: two ", "assistant: three"]);
  assert.equal(asked, 3);
});

test("R41 an anonymous client comes back to its session", async (t) => {
  const between = await relay(server.host);
  t.after(() => between.close());
  const a = agent(t, between.ws);
  const one = named();
  const run = a.runAgent(play(says("m1", "one "), gate(one), says("m2", "two")));
  await when(a, "m1", has("one"));
  const { secret } = a.connection;
  assert.ok(secret);
  between.cut();
  await server.open(one);
  await run;
  assert.deepEqual(assistants(a), ["assistant: one ", "assistant: two"]);
  assert.equal(a.connection.secret, secret);
});

test("who a client is comes from the query, a subprotocol or a token, as it likes", async (t) => {
  for (const credentials of [
    () => ({ query: { user: "bob" } }), async () => ({ protocols: ["user.bob"] }), () => ({ query: { later: "1" }, token: "bob" }),
  ]) {
    const a = agent(t, server.ws, { credentials });
    await a.runAgent(play(says("m1", "in")));
    assert.equal(a.connection.secret, undefined, "it is known to the server");
  }
  const refused = agent(t, server.ws, { credentials: () => ({ query: { user: "nobody" } }) });
  await assert.rejects(refused.runAgent(play()), { code: "connection" });
});

test("R42 what came before an error is applied", async (t) => {
  const a = agent(t, server.ws);
  const errors = [];
  a.subscribe({ onRunErrorEvent: ({ event: e }) => void errors.push(e.message) });
  await a.runAgent(play(says("m1", ...Array.from({ length: 200 }, (_, i) => `${i} `)), { fail: "the model is gone" }));
  assert.ok(a.messages.at(-1).content.endsWith("199 "));
  assert.equal(errors.length, 1);
});

test("R42 abortRun stops the run on the server, and runAgent resolves with its end", async (t) => {
  const a = agent(t, server.ws);
  const outcomes = [];
  a.subscribe({ onRunFinishedEvent: ({ outcome }) => void outcomes.push(outcome) });
  const run = a.runAgent({ ...play(says("m1", "on and on"), { wait: true }), runId: `abort-${a.threadId}` });
  await when(a, "m1", has("on and on"));
  a.abortRun();
  await within(5_000, "the end", run);
  assert.deepEqual(outcomes, ["cancelled"]);
  assert.match(await server.stopped(`abort-${a.threadId}`), /cancelled/);
});

test("R42 a run that is aborted before it begins ends as well", async (t) => {
  for (const pause of [() => {}, () => new Promise((resolve) => setImmediate(resolve))]) {
    const a = agent(t, server.ws);
    const run = a.runAgent(play(says("m1", "x"), { wait: true }));
    await pause();
    a.abortRun();
    await within(5_000, "the end", run);
    await a.runAgent(play(says("m2", "y")));
    assert.ok(has("y")(a), "and the next one does not");
  }
});

test("R42 detachActiveRun leaves the run, which goes on, and connectAgent joins it again", async (t) => {
  const a = agent(t, server.ws);
  const [one, id] = [named(), `detached-${a.threadId}`];
  say(a, "go");
  const run = a.runAgent({ ...play(says("m1", "one "), gate(one), says("m2", "two")), runId: id });
  await when(a, "m1", has("one"));
  await a.detachActiveRun();
  await run;
  assert.deepEqual(assistants(a), ["assistant: one "]);
  await server.open(one);
  await a.connectAgent();
  assert.deepEqual(texts(a), ["user: go", "assistant: one ", "assistant: two"]);
  assert.equal(await server.stopped(id), "", "it was not stopped");
});

test("R42 clone keeps what an agent has, and shares its connection", async (t) => {
  const a = agent(t, server.ws, { live: true });
  await a.runAgent(play(says("m1", "one")));
  const b = a.clone();
  assert.deepEqual([b.threadId, b.live, b.connection, b.cursor], [a.threadId, true, a.connection, a.cursor]);
  assert.deepEqual(b.messages, a.messages);
  await b.runAgent(play(says("m2", "two")));
  assert.deepEqual(assistants(b), ["assistant: one", "assistant: two"]);
  assert.deepEqual(assistants(a), ["assistant: one"]);
});

test("R43 a reload in the middle of an answer has it once, and in its place", async (t) => {
  const a = agent(t, server.ws);
  const [one, two] = [named(), named()];
  say(a, "first");
  await a.runAgent(play(says("m0", "before"), event("STATE_DELTA", { delta: [{ op: "add", path: "/list", value: [1] }] })));
  say(a, "second");
  const lost = a.runAgent(
    play(
      event("STATE_DELTA", { delta: [{ op: "add", path: "/list/-", value: 2 }] }), says("m1", "hel"), calls("c1", "look", { x: 1 }, "m1"), gate(one),
      event("TEXT_MESSAGE_START", { messageId: "m2", role: "assistant" }), event("TEXT_MESSAGE_CONTENT", { messageId: "m2", delta: "hello " }),
      gate(two), event("TEXT_MESSAGE_CONTENT", { messageId: "m2", delta: "world" }), event("TEXT_MESSAGE_END", { messageId: "m2" }),
    ),
  );
  await server.open(one);
  await when(a, "m2", has("hello"));
  const held = structuredClone({ initialMessages: a.messages, initialState: a.state });
  a.connection.close(); // the page is gone
  await assert.rejects(lost, { code: "truncated" });
  for (const kept of [held, {}]) {
    const b = agent(t, server.ws, { threadId: a.threadId, secret: a.connection.secret, ...kept });
    const joined = b.connectAgent();
    await when(b, "m2", has("hello"));
    await server.open(two).catch(() => {});
    await joined;
    assert.deepEqual(texts(b).map((m) => m.split(":")[0]), ["user", "assistant", "user", "assistant", "assistant"]);
    assert.deepEqual([b.messages[3].content, b.messages[4].content], ["hel", "hello world"]);
    assert.equal(b.messages[3].toolCalls.length, 1);
    assert.equal(b.messages[3].toolCalls[0].function.arguments, '{"x":1}');
    assert.deepEqual(b.state, { list: [1, 2] });
  }
});

test("R43 a reload keeps calls in their place that belong to no other message, with their results", async (t) => {
  const a = agent(t, server.ws);
  const turn = (n) => [
    calls(`c${n}`, "look", { n }), event("TOOL_CALL_RESULT", { messageId: `r${n}`, toolCallId: `c${n}`, content: "seen" }), says(`m${n}`, "done"),
  ];
  for (const n of [1, 2]) {
    say(a, `turn ${n}`);
    await a.runAgent(play(...turn(n)));
  }
  const held = { initialMessages: a.messages, initialState: a.state };
  const b = agent(t, server.ws, { threadId: a.threadId, secret: a.connection.secret, ...held });
  await b.connectAgent();
  assert.deepEqual(b.messages, a.messages);
});

test("R44 connect ends when there is nothing live, and stays with live", async (t) => {
  const a = agent(t, server.ws, { credentials: () => ({ query: { user: "carl" } }) });
  await a.runAgent(play(says("m1", "one")));
  const b = agent(t, server.ws, { threadId: a.threadId, credentials: () => ({ query: { user: "carl" } }) });
  await b.connectAgent();
  assert.deepEqual(assistants(b), ["assistant: one"]);
  const c = agent(t, server.ws, { threadId: a.threadId, live: true, credentials: () => ({ query: { user: "carl" } }) });
  let over = false;
  const following = c.connectAgent().then(() => (over = true));
  await when(c, "m1", has("one"));
  await a.runAgent(play(says("m2", "two")));
  await when(c, "m2", has("two"));
  assert.equal(over, false);
  await c.detachActiveRun();
  await following;
  assert.deepEqual(assistants(c), ["assistant: one", "assistant: two"]);
});

test("R44 follow and run on one agent keep the user's question, and the follow goes on", async (t) => {
  const credentials = () => ({ query: { user: "dora" } });
  const a = agent(t, server.ws, { live: true, credentials });
  const other = agent(t, server.ws, { threadId: a.threadId, credentials });
  const following = a.connectAgent();
  say(a, "mine");
  await a.runAgent(play(says("m1", "answer")));
  assert.deepEqual(texts(a), ["user: mine", "assistant: answer"]);
  say(other, "theirs");
  await other.runAgent(play(says("m2", "other answer")));
  await when(a, "m2", has("other answer"));
  assert.deepEqual(texts(a), ["user: mine", "assistant: answer", "user: theirs", "assistant: other answer"]);
  await a.detachActiveRun();
  await following;
});

test("R44 a pending interrupt is no hindrance for connect, and stays until it is answered", async (t) => {
  const credentials = () => ({ query: { user: "eve" } });
  const [desktop, phone] = [agent(t, server.ws, { credentials }), agent(t, server.ws, { credentials, live: true })];
  phone.threadId = desktop.threadId;
  await desktop.runAgent(play(says("m1", "may I?"), asks("i1")));
  assert.deepEqual(desktop.pendingInterrupts.map((i) => i.id), ["i1"]);
  await desktop.connectAgent();
  assert.deepEqual(desktop.pendingInterrupts.map((i) => i.id), ["i1"]);
  const following = phone.connectAgent();
  await when(phone, "the question", (p) => p.pendingInterrupts.length === 1);
  await desktop.runAgent({ ...play(says("m2", "done")), resume: [{ interruptId: "i1", status: "resolved", payload: {} }] });
  await when(phone, "what the desktop answered", has("done"));
  await when(phone, "no question", (p) => p.pendingInterrupts.length === 0);
  assert.deepEqual(desktop.pendingInterrupts, []);
  await phone.detachActiveRun();
  await following;
});

test("a viewer may stop a run, and steer it", async (t) => {
  const credentials = () => ({ query: { user: "fay" } });
  const a = agent(t, server.ws, { credentials });
  const b = agent(t, server.ws, { threadId: a.threadId, live: true, credentials });
  const run = a.runAgent(play(says("m1", "start"), { steer: true }, { wait: true }));
  const following = b.connectAgent();
  await when(b, "m1", has("start"));
  assert.equal(await b.steer("faster"), true);
  for (const each of [a, b]) await when(each, "what was said", (x) => texts(x).includes("user: faster"));
  b.abortRun();
  await run;
  await assert.rejects(a.steer("late"), { code: "gone" });
  await b.detachActiveRun();
  await following;
});

test("two agents on one connection have their runs at once", async (t) => {
  const shared = connection(t, server.ws);
  const [a, b] = [agent(t, "", { connection: shared }), agent(t, "", { connection: shared })];
  const [one, two] = [named(), named()];
  const runs = [a.runAgent(play(says("m1", "a1"), gate(one), says("m2", "a2"))), b.runAgent(play(says("m1", "b1"), gate(two), says("m2", "b2")))];
  await when(a, "a1", has("a1"));
  await when(b, "b1", has("b1"));
  await server.open(two);
  await runs[1];
  await server.open(one);
  await runs[0];
  assert.deepEqual([assistants(a), assistants(b)], [["assistant: a1", "assistant: a2"], ["assistant: b1", "assistant: b2"]]);
});

test("bare mode makes runs as any AG-UI server has them, and a truncated one is an error", async (t) => {
  const between = await relay(server.host);
  t.after(() => between.close());
  const a = agent(t, between.ws, { bare: true });
  await a.runAgent(play(says("m1", "one")));
  await a.runAgent(play(says("m2", "two")));
  assert.deepEqual(assistants(a), ["assistant: one", "assistant: two"]);
  await a.connectAgent(); // there is nothing to join
  const run = a.runAgent(play(says("m3", "three"), { wait: true }));
  await when(a, "m3", has("three"));
  between.cut();
  await assert.rejects(run, { code: "truncated" });
  assert.equal(a.messages.at(-1).content, "three", "what came is there");
  await a.connectAgent(); // nor what was truncated
  const stopped = a.runAgent({ ...play(says("m4", "four"), { wait: true }), runId: `bare-${a.threadId}` });
  await when(a, "m4", has("four"));
  a.abortRun();
  await stopped;
});

test("a server that is gone takes its runs along, and says so", async (t) => {
  const first = await scripted();
  const a = agent(t, first.ws);
  const states = [];
  a.connection.state.subscribe((s) => states.push(s));
  const run = a.runAgent(play(says("m1", "one"), { wait: true }));
  await when(a, "m1", has("one"));
  await first.kill();
  const waiting = await state(a.connection, "waiting", (s) => s.phase === "waiting" && s.attempt > 1);
  assert.ok(waiting.retryAt > Date.now() - 1000 && waiting.error);
  const second = await scripted(first.host);
  t.after(() => second.stop());
  a.connection.retry();
  await assert.rejects(run, { code: "truncated" });
  assert.equal(a.messages.at(-1).content, "one");
  await a.runAgent(play(says("m2", "two")));
  assert.deepEqual(assistants(a), ["assistant: one", "assistant: two"]);
});

test("without a server the first attempt fails at once, and one may be more patient", async (t) => {
  const gone = "ws://127.0.0.1:9/ws";
  await assert.rejects(agent(t, gone).runAgent(play()), { code: "connection" });
  const a = agent(t, gone, { retryFor: Infinity });
  const run = a.runAgent(play());
  await state(a.connection, "an attempt that failed", (s) => s.attempt > 2);
  a.connection.close();
  await assert.rejects(run, { code: "closed" });
  await assert.rejects(a.runAgent(play()), { code: "closed" });
});
