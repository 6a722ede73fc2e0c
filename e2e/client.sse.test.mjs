// The package @agloop/client in Node where no WebSocket can be had: its runs go over HTTP, and on at their cursor.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { agent, connection, say, state, texts, when } from "./lib/agloop.mjs";
import { front } from "./lib/front.mjs";
import { within } from "./lib/program.mjs";
import { calls, event, gate, play, says, scripted } from "./lib/scripted.mjs";

let server;
before(async () => (server = await scripted()));
after(() => server.stop());

let gates = 0;
const named = () => `sse-gate-${++gates}`;
const assistants = (a) => texts(a).filter((m) => m.startsWith("assistant"));
const has = (text) => (a) => assistants(a).some((m) => m.includes(text));
const byHTTP = (c) => state(c, "HTTP", (s) => s.phase === "open" && s.transport === "sse");
const user = (name) => ({ credentials: () => ({ query: { user: name } }) });

test("where upgrades are refused, or cut, runs go over HTTP", async (t) => {
  for (const [upgrades, dials] of [["refused", 3], ["broken", 2]]) {
    const between = await front(t, server.host, { upgrades });
    const a = agent(t, between.ws, { initialState: { n: 1 } });
    const seen = [];
    a.subscribe({ onEvent: ({ event: e }) => void seen.push([e.type, a.cursor?.offset]) });
    for (const n of [1, 2]) {
      say(a, "hello");
      const gone = byHTTP(a.connection);
      await a.runAgent(play(says(`m${n}`, "good ", "day"), event("STATE_DELTA", { delta: [{ op: "add", path: `/seen${n}`, value: true }] })));
      await gone;
    }
    assert.deepEqual(assistants(a), ["assistant: good day", "assistant: good day"]);
    assert.deepEqual(a.state, { n: 1, seen1: true, seen2: true });
    assert.deepEqual(seen.slice(0, 3), [["RUN_STARTED", undefined], ["TEXT_MESSAGE_START", 1], ["TEXT_MESSAGE_CONTENT", 2]]);
    assert.equal(a.cursor.offset, 7, "all of it is applied");
    assert.ok(a.connection.secret);
    assert.deepEqual([between.count("POST"), between.count("GET")], [2, 0]);
    assert.equal(between.dials, dials, "for the first run alone");
    assert.equal((await state(a.connection, "idle", (s) => s.phase === "idle")).error, undefined);
  }
});

test("where upgrades hang, runs go over HTTP", async (t) => {
  const between = await front(t, server.host, { upgrades: "hanging" });
  const a = agent(t, between.ws);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const run = a.runAgent(play(says("m1", "one")));
  while (between.dials === 0) await new Promise((resolve) => setImmediate(resolve));
  t.mock.timers.tick(10_000);
  while (between.dials === 1) await new Promise((resolve) => setImmediate(resolve));
  t.mock.timers.tick(5_000);
  t.mock.timers.reset();
  await run;
  assert.deepEqual(assistants(a), ["assistant: one"]);
});

test("R41 a response that is cut at every event goes on behind it: nothing is lost, and nothing comes twice", async (t) => {
  for (const cutAfter of [1, 2]) {
    const between = await front(t, server.host, { cutAfter });
    const a = agent(t, between.ws, { ...user("ann"), transport: "sse", initialState: { list: [] } });
    a.connection.state.subscribe(({ phase }) => phase === "waiting" && setImmediate(() => a.connection.retry()));
    const deltas = Array.from({ length: 20 }, (_, i) => `${i} `);
    const adds = (n) => event("STATE_DELTA", { delta: [{ op: "add", path: "/list/-", value: n }] });
    say(a, "go");
    await a.runAgent(play(adds(1), says("m1", ...deltas), calls("c1", "look", { x: 1 }, "m1"), adds(2), says("m2", "end")));
    assert.deepEqual(texts(a), ["user: go", `assistant: ${deltas.join("")}`, "assistant: end"]);
    assert.deepEqual(a.state, { list: [1, 2] });
    assert.equal(a.messages[1].toolCalls[0].function.arguments, '{"x":1}');
    assert.equal(between.count("POST"), 1);
    const ids = between.requests.filter((r) => r.method === "GET" && r.headers["last-event-id"]).map((r) => Number(r.headers["last-event-id"].split("-")[1]));
    assert.ok(ids.length > 10 && ids.every((id, i) => i === 0 || id > ids[i - 1]), `${ids}`);
  }
});

test("R41 a run whose WebSocket dies, and cannot come back, goes on over HTTP at its cursor", async (t) => {
  const between = await front(t, server.host, { upgrades: "through" });
  const a = agent(t, between.ws);
  const one = named();
  const run = a.runAgent(play(says("m1", "one "), gate(one), says("m2", "two")));
  await when(a, "m1", has("one"));
  const { secret } = a.connection;
  between.upgrades = "refused";
  between.cut();
  await byHTTP(a.connection);
  await server.open(one);
  await run;
  assert.deepEqual(assistants(a), ["assistant: one ", "assistant: two"]);
  assert.equal(a.connection.secret, secret, "the session is the same");
  assert.deepEqual([between.count("POST"), between.count("GET")], [0, 1]);
  assert.match(between.requests.at(-1).headers["last-event-id"], /^[0-9a-f]{16}-4$/);
});

test("R42 abortRun stops the run on the server, also before it begins and while its response is cut", async (t) => {
  const between = await front(t, server.host);
  for (const cut of [false, true]) {
    const a = agent(t, between.ws, { transport: "sse" });
    const runId = `sse-abort-${a.threadId}`;
    const outcomes = [];
    a.subscribe({ onRunFinishedEvent: ({ outcome }) => void outcomes.push(outcome) });
    const run = a.runAgent({ ...play(says("m1", "on and on"), { wait: true }), runId });
    await when(a, "m1", has("on and on"));
    if (cut) between.cut();
    a.abortRun();
    await within(5_000, "the end", run);
    assert.deepEqual(outcomes, ["cancelled"]);
    assert.match(await server.stopped(runId), /cancelled/);
  }
  const early = agent(t, between.ws, { transport: "sse" });
  const run = early.runAgent(play(says("m1", "x"), { wait: true }));
  early.abortRun();
  await within(5_000, "the end", run);
});

test("R43 a run that was left goes on, and is joined again without saying anything twice", async (t) => {
  const between = await front(t, server.host);
  const a = agent(t, between.ws, { transport: "sse" });
  const [one, runId] = [named(), `sse-left-${a.threadId}`];
  say(a, "go");
  const run = a.runAgent({ ...play(says("m1", "one "), gate(one), says("m2", "two")), runId });
  await when(a, "m1", has("one"));
  await a.detachActiveRun();
  await run;
  const joined = a.connectAgent();
  await when(a, "the run", () => between.count("GET") === 1);
  await server.open(one);
  await joined;
  assert.deepEqual(texts(a), ["user: go", "assistant: one ", "assistant: two"]);
  assert.equal(await server.stopped(runId), "", "it was not stopped");

  const events = [];
  await new Promise((complete, error) =>
    a.connection.events(a.threadId, runId, { ...a.cursor, offset: 4 }).subscribe({ next: ({ event: e, place }) => events.push([e.type, place.from, place.to]), complete, error }));
  assert.deepEqual(events.map(([type]) => type), ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "RUN_FINISHED"]);
  assert.deepEqual(events.at(-1).slice(1), [8, 8]);
});

test("what needs a WebSocket says so, and runs go on", async (t) => {
  const between = await front(t, server.host);
  const a = agent(t, between.ws, { transport: "sse" });
  await assert.rejects(a.connectAgent(), { code: "rejected", reason: "http" }, "it knows no run");
  const run = a.runAgent(play(says("m1", "one"), { wait: true }));
  await when(a, "m1", has("one"));
  await assert.rejects(a.steer("faster"), { code: "rejected", reason: "http" });
  a.abortRun();
  await run;
  await assert.rejects(a.connectAgent({ live: true }), { code: "rejected", reason: "http" });
  await a.runAgent(play(says("m2", "two")));
  assert.deepEqual(assistants(a), ["assistant: one", "assistant: two"]);
});

test("a follow whose WebSocket cannot come back sees its run to the end, and says then that it is over", async (t) => {
  const between = await front(t, server.host, { upgrades: "through" });
  const writer = agent(t, server.ws, user("gil"));
  const [one, two] = [named(), named()];
  const run = writer.runAgent(play(says("m1", "one "), gate(one), says("m2", "two"), gate(two)));
  const viewers = [false, true].map((live) => agent(t, between.ws, { ...user("gil"), threadId: writer.threadId, live }));
  const ends = viewers.map((v) => v.connectAgent().then(() => "over", (e) => e.reason));
  for (const v of viewers) await when(v, "m1", has("one"));
  between.upgrades = "refused";
  between.cut();
  await server.open(one);
  for (const v of viewers) await when(v, "m2", has("two"));
  await server.open(two);
  await run;
  assert.deepEqual(await within(5_000, "ends", Promise.all(ends)), ["over", "http"]);
  for (const v of viewers) assert.deepEqual(assistants(v), ["assistant: one ", "assistant: two"]);
});

test("a server that was restarted has no runs of the one before, and says so", async (t) => {
  const first = await scripted();
  const between = await front(t, first.host);
  const a = agent(t, between.ws, { transport: "sse" });
  const run = a.runAgent(play(says("m1", "one"), { wait: true }));
  await when(a, "m1", has("one"));
  await first.kill();
  await state(a.connection, "waiting", (s) => s.phase === "waiting" && s.attempt > 1);
  const second = await scripted(first.host);
  t.after(() => second.stop());
  a.connection.retry();
  await assert.rejects(run, { code: "truncated" });
  assert.deepEqual(assistants(a), ["assistant: one"]);
  await a.runAgent(play(says("m2", "two"))); // in a new session
  assert.deepEqual(assistants(a), ["assistant: one", "assistant: two"]);
});

test("R41 credentials are asked at each request, and a token that has expired is replaced", async (t) => {
  const between = await front(t, server.host);
  const asked = [];
  const tokens = ["nobody", "nobody", "hal", "nobody", "hal"]; // the first answers what asks whether a server is there
  const credentials = () => {
    asked.push(tokens[asked.length] ?? "hal");
    return { token: asked.at(-1), query: { n: String(asked.length) }, headers: { "X-Page": "p" } };
  };
  const a = agent(t, between.ws, { transport: "sse", credentials });
  const one = named();
  const run = a.runAgent(play(says("m1", "one "), gate(one), says("m2", "two")));
  await when(a, "m1", has("one"));
  between.cut();
  await server.open(one);
  await run;
  assert.deepEqual(assistants(a), ["assistant: one ", "assistant: two"]);
  assert.deepEqual(asked, ["nobody", "nobody", "hal", "nobody", "hal"]);
  assert.deepEqual(between.requests.map(({ method, url, headers }) => [method, url.split("?")[1], headers.authorization, headers["x-page"]]),
    asked.map((token, i) => [["GET", "POST", "POST", "GET", "GET"][i], `n=${i + 1}`, `Bearer ${token}`, "p"]));
  assert.equal(a.connection.secret, undefined, "it is known to the server");
  const refused = agent(t, between.ws, { transport: "sse", ...user("nobody") });
  await assert.rejects(refused.runAgent(play()), { code: "rejected", reason: "refused" });
  const socket = agent(t, between.ws, user("nobody")); // which is refused by the server, not on the way to it
  await assert.rejects(socket.runAgent(play()), { code: "connection" });
});

test("R17 a start whose answer was lost is sent again to the same server, and to no other", async (t) => {
  const between = await front(t, server.host);
  const c = connection(t, between.ws, { transport: "sse" });
  await assert.rejects(new Promise((_, error) => c.events("no", "run").subscribe({ error })), { code: "gone" }); // which asks for no session
  const a = agent(t, "", { connection: c });
  for (const [id, content] of [["m1", "one"], ["m2", "two"]]) {
    between.loses.POST = 2;
    await a.runAgent({ ...play(says(id, content)), runId: `sse-lost-${id}` });
    assert.equal(await server.started(`sse-lost-${id}`), 1);
  }
  assert.deepEqual(assistants(a), ["assistant: one", "assistant: two"]);
  const posts = between.requests.filter((r) => r.method === "POST");
  assert.equal(posts.length, 6);
  assert.ok(posts.every((r) => r.headers["agloop-boot"] === posts[0].headers["agloop-boot"] && r.headers["agloop-boot"]));
  const other = { status: 412, body: '{"code":"other_server","message":"another"}' };
  between.answer = ({ method }) => method === "POST" && !between.loses.POST && other;
  between.loses.POST = 1;
  await assert.rejects(a.runAgent(play(says("m3", "three"))), { code: "start_unknown" });
});

test("a WebSocket is tried again beside a later run, and has the next one", async (t) => {
  const between = await front(t, server.host);
  const c = connection(t, between.ws);
  const a = agent(t, "", { connection: c });
  await a.runAgent(play(says("m1", "one")));
  await a.runAgent(play(says("m2", "two")));
  assert.equal(between.dials, 3, "not at once");
  const { secret } = c;
  c.blocked = Date.now() - 60_000;
  await a.runAgent(play(says("m3", "three")));
  while (between.dials < 5) await new Promise((resolve) => setImmediate(resolve));
  while (c.socket || c.dialling) await new Promise((resolve) => setImmediate(resolve));
  between.upgrades = "through";
  c.blocked = Date.now() - 60_000;
  const one = named();
  const run = a.runAgent(play(says("m4", "four "), gate(one), says("m5", "five")));
  await state(c, "a WebSocket", (s) => s.phase === "open" && s.transport === "websocket");
  await server.open(one);
  await run; // which stays where it is
  assert.deepEqual([between.count("POST"), c.secret], [4, secret]);
  const following = a.connectAgent({ live: true });
  await a.runAgent(play(says("m6", "six")));
  assert.equal(between.count("POST"), 4);
  await a.detachActiveRun();
  await following;
  assert.deepEqual(assistants(a), ["one", "two", "three", "four ", "five", "six"].map((m) => `assistant: ${m}`));
});

test("agents of one connection begin in one session, at once", async (t) => {
  const between = await front(t, server.host);
  const c = connection(t, between.ws, { transport: "sse" });
  const agents = [1, 2, 3].map(() => agent(t, "", { connection: c }));
  await Promise.all(agents.map((a, i) => a.runAgent({ ...play(says("m", `answer ${i}`)), runId: `r${i}` })));
  agents.forEach((a, i) => assert.deepEqual(assistants(a), [`assistant: answer ${i}`]));
  const secrets = between.requests.filter((r) => r.method === "POST").map((r) => r.headers["agloop-secret"]);
  assert.deepEqual(secrets, [c.secret, c.secret, c.secret]);
  for (const a of agents) await agent(t, "", { connection: c, threadId: a.threadId }).connectAgent();
});

test("who wants one transport has no other", async (t) => {
  const between = await front(t, server.host);
  await assert.rejects(agent(t, between.ws, { transport: "websocket" }).runAgent(play()), { code: "connection" });
  assert.equal(between.requests.length, 0);
  between.upgrades = "through";
  const a = agent(t, between.ws, { transport: "sse", http: `${between.http}/agui/` });
  await a.runAgent(play(says("m1", "one")));
  assert.deepEqual([between.dials, between.count("POST")], [2, 1]); // the dials of the one before
  const nowhere = agent(t, "ws://127.0.0.1:9/ws", { transport: "sse" });
  await assert.rejects(nowhere.runAgent(play()), { code: "connection" });
});
