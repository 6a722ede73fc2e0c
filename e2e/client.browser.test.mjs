// The package @agloop/client in headless Chromium, against the real server.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { WebSocketServer } from "ws";
import { chaos } from "./lib/chaos.mjs";
import { bundle, pages } from "./lib/pages.mjs";
import { event, gate, play, says, scripted } from "./lib/scripted.mjs";
import { random } from "./lib/streams.mjs";
import { relay } from "./lib/wire.mjs";

let server;
let web;
before(async () => {
  // In a page: what a test calls, and what it waits for.
  web = await pages(
    await bundle(`
      import * as agloop from "@agloop/client";
      Object.assign(window, agloop, {
        texts: (a) => a.messages.map((m) => m.role + ": " + m.content),
        has: (a, text) => a.messages.some((m) => String(m.content).includes(text)),
        settled: (promise) => promise.then(() => "resolved", (e) => e.code ?? String(e)),
      });
    `),
  );
  server = await scripted("127.0.0.1:0", "--origin", web.origin);
});
after(async () => {
  await web?.close();
  await server?.stop();
});

let names = 0;
const name = (what) => `${what}-${process.pid}-${++names}`;

// make has a page make an agent as window.a.
const make = (page, config) => page.evaluate((c) => void (window.a = new AgloopAgent(c)), config);
const run = (page, parameters) => page.evaluate((p) => void (window.run = settled(a.runAgent(p))), parameters);
const connect = (page) => page.evaluate(() => void (window.joined = settled(a.connectAgent())));
const texts = (page) => page.evaluate(() => texts(a));
const has = (page, text) => page.waitForFunction((text) => has(a, text), text);
const end = (page, of = "run") => page.evaluate((of) => window[of], of);

test("a rejection that nobody handles is seen, as the console is", async (t) => {
  const page = await web.open(t, { expected: [/^uncaught: nobody/, /^said/] });
  await page.evaluate(() => {
    console.error("said");
    void Promise.reject(new Error("nobody"));
  });
});

test("a run in a page makes messages and state", async (t) => {
  const page = await web.open(t);
  await make(page, { url: server.ws, threadId: name("thread") });
  await page.evaluate(() => a.addMessage({ id: "u1", role: "user", content: "hello" }));
  await run(page, play(says("m1", "good ", "day"), event("STATE_SNAPSHOT", { snapshot: { n: 1 } })));
  assert.equal(await end(page), "resolved");
  assert.deepEqual(await texts(page), ["user: hello", "assistant: good day"]);
  assert.deepEqual(await page.evaluate(() => a.state), { n: 1 });
  assert.equal(await page.evaluate(() => a.connection.socket.binaryType), "arraybuffer");
});

test("a run goes on over a connection that is cut", async (t) => {
  const between = await relay(server.host);
  t.after(() => between.close());
  const page = await web.open(t);
  await make(page, { url: between.http + "/ws", threadId: name("thread") });
  const [one, two] = [name("gate"), name("gate")];
  await page.evaluate(() => {
    window.phases = [];
    a.connection.state.subscribe((s) => phases.push(s.phase));
  });
  await run(page, play(says("m1", "one "), gate(one), says("m2", "two "), gate(two), says("m3", "three")));
  await has(page, "one");
  between.cut();
  await page.waitForFunction(() => phases.includes("waiting"));
  await server.open(one);
  await has(page, "two");
  between.cut();
  await server.open(two);
  assert.equal(await end(page), "resolved");
  assert.deepEqual(await texts(page), ["assistant: one ", "assistant: two ", "assistant: three"]);
});

test("a page that is loaded again joins the run, with the messages and the secret that it kept", async (t) => {
  const page = await web.open(t);
  const [threadId, one] = [name("thread"), name("gate")];
  await make(page, { url: server.ws, threadId });
  await page.evaluate(() => a.addMessage({ id: "u1", role: "user", content: "hello" }));
  await run(page, play(says("m1", "one "), event("TEXT_MESSAGE_START", { messageId: "m2", role: "assistant" }),
    event("TEXT_MESSAGE_CONTENT", { messageId: "m2", delta: "tw" }), gate(one),
    event("TEXT_MESSAGE_CONTENT", { messageId: "m2", delta: "o" }), event("TEXT_MESSAGE_END", { messageId: "m2" })));
  await has(page, "tw");
  await page.evaluate(() => {
    const { messages, state, connection } = a;
    sessionStorage.kept = JSON.stringify({ initialMessages: messages, initialState: state, secret: connection.secret });
  });
  await page.reload();
  const kept = await page.evaluate(() => JSON.parse(sessionStorage.kept));
  await make(page, { url: server.ws, threadId, ...kept });
  await connect(page);
  await page.waitForFunction(() => a.isRunning);
  await server.open(one);
  assert.equal(await end(page, "joined"), "resolved");
  assert.deepEqual(await texts(page), ["user: hello", "assistant: one ", "assistant: two"]);
});

test("abortRun and steer reach the run", async (t) => {
  const page = await web.open(t);
  await make(page, { url: server.ws, threadId: name("thread") });
  const runId = name("run");
  await run(page, { ...play(says("m1", "start"), { steer: true }, { wait: true }), runId });
  await has(page, "start");
  assert.equal(await page.evaluate(() => a.steer("faster")), true);
  await has(page, "faster");
  await page.evaluate(() => a.abortRun());
  assert.equal(await end(page), "resolved");
  assert.match(await server.stopped(runId), /cancelled/);
  assert.equal(await page.evaluate(() => settled(a.steer("late"))), "gone");
});

test("two pages of one user see each other's runs, each of them once", async (t) => {
  const cookie = { name: "user", value: name("user") };
  const threadId = name("thread");
  const [one, two] = [await web.open(t, { cookie }), await web.open(t, { cookie })];
  for (const page of [one, two]) {
    await make(page, { url: server.ws, threadId, live: true });
    await connect(page);
  }
  for (const [page, other, n] of [[one, two, 1], [two, one, 2]]) {
    await page.evaluate((n) => a.addMessage({ id: `u${n}`, role: "user", content: `question ${n}` }), n);
    await run(page, play(says(`m${n}`, `answer ${n}`)));
    assert.equal(await end(page), "resolved");
    await has(other, `answer ${n}`);
  }
  for (const page of [one, two]) {
    await page.evaluate(() => a.detachActiveRun());
    assert.equal(await end(page, "joined"), "resolved");
    assert.deepEqual(await texts(page), ["user: question 1", "assistant: answer 1", "user: question 2", "assistant: answer 2"]);
  }
});

test("a cookie that the page has says who it is", async (t) => {
  const page = await web.open(t);
  const user = name("user");
  await page.evaluate((user) => (document.cookie = `user=${user}`), user);
  await make(page, { url: server.ws, threadId: name("thread") });
  await run(page, play(says("m1", "in")));
  assert.equal(await end(page), "resolved");
  assert.equal(await page.evaluate(() => a.connection.secret), undefined, "it is known to the server");

  // Each attempt asks anew: here the cookie is set by what is asked.
  const refused = await web.open(t, { cookie: { name: "user", value: "nobody" }, expected: [/Authentication failed/, /Authentication failed/, /401/, /^Agent execution failed/] });
  await make(refused, { url: server.ws });
  await run(refused, play());
  assert.equal(await end(refused), "connection");
  await refused.evaluate((config) => {
    window.a = new AgloopAgent({ ...config, credentials: async () => void (document.cookie = "user=somebody") });
  }, { url: server.ws });
  await run(refused, play(says("m1", "in")));
  assert.equal(await end(refused), "resolved");
});

test("a server that chooses no subprotocol is asked without one", async (t) => {
  const bare = new WebSocketServer({ host: "127.0.0.1", port: 0, handleProtocols: () => false });
  await once(bare, "listening");
  t.after(() => {
    for (const c of bare.clients) c.terminate();
    bare.close();
  });
  const offers = [];
  bare.on("connection", (socket, { headers }) => {
    offers.push(headers["sec-websocket-protocol"]);
    socket.on("message", (data) => {
      const { threadId, runId, forwardedProps } = JSON.parse(data);
      const say = (e) => socket.send(Buffer.from(JSON.stringify(e))); // in binary frames, which is allowed there
      say({ type: "RUN_STARTED", threadId, runId });
      for (const { event } of forwardedProps.script) say(event);
      if (forwardedProps.script.length) say({ type: "RUN_FINISHED", threadId, runId });
      else socket.close(1011);
    });
  });
  const refusal = /Sent non-empty 'Sec-WebSocket-Protocol' header but no response/;
  const page = await web.open(t, { expected: [refusal, refusal, /^Agent execution failed/] });
  await make(page, { url: `ws://127.0.0.1:${bare.address().port}/` });
  for (const n of [1, 2]) {
    await run(page, play(says(`m${n}`, `answer ${n}`)));
    assert.equal(await end(page), "resolved");
  }
  assert.deepEqual(await texts(page), ["assistant: answer 1", "assistant: answer 2"]);
  assert.deepEqual(offers, ["agloop.v1.json", undefined, "agloop.v1.json", undefined, undefined], "it is asked twice, and known from then on");
  await connect(page);
  assert.equal(await end(page, "joined"), "resolved", "there is nothing to join");
  await run(page, play());
  assert.equal(await end(page), "truncated");
});

test("close in a page leaves nothing behind that connects again", async (t) => {
  const page = await web.open(t, { expected: [/^Agent execution failed/] });
  const runId = name("run");
  await make(page, { url: server.ws, threadId: name("thread") });
  await run(page, { ...play(says("m1", "one"), { wait: true }), runId });
  await has(page, "one");
  await page.evaluate(() => a.connection.close());
  assert.equal(await end(page), "truncated");
  await page.evaluate(() => window.dispatchEvent(new Event("offline")) && window.dispatchEvent(new Event("online")));
  assert.deepEqual(
    await page.evaluate(() => [a.connection.requests.size, a.connection.socket, a.connection.states.value.phase]),
    [0, undefined, "closed"],
  );
});

test("a page that goes offline waits, and is back at once when it is online", async (t) => {
  const page = await web.open(t, { allowed: /ERR_INTERNET_DISCONNECTED/ });
  const one = name("gate");
  await make(page, { url: server.ws, threadId: name("thread") });
  await page.evaluate(() => a.connection.state.subscribe((s) => (window.now = s)));
  await run(page, play(says("m1", "one "), gate(one), says("m2", "two")));
  await has(page, "one");
  await page.context().setOffline(true);
  await page.waitForFunction(() => now.phase === "waiting" && now.attempt > 2);
  await server.open(one);
  await page.context().setOffline(false);
  assert.equal(await end(page), "resolved");
  assert.deepEqual(await texts(page), ["assistant: one ", "assistant: two"]);
});

test("runs of a page whose connections are cut, held up, split and doubled", { timeout: 30_000 }, async (t) => {
  const seed = Number(process.env.CHAOS_SEED ?? Date.now() % 1e9);
  t.diagnostic(`CHAOS_SEED=${seed}`);
  const cookie = { name: "user", value: name("user") };
  const threadId = name("thread");
  const open = async (n) => {
    const proxy = await chaos(server.host, random(seed + n), {});
    t.after(() => proxy.close());
    const page = await web.open(t, { cookie, allowed: /^WebSocket connection to .* failed/ });
    await make(page, { url: proxy.ws, threadId, live: true, transport: "websocket", retryFor: Infinity, silence: 150 });
    // A user who does not wait long.
    await page.evaluate(() => a.connection.state.subscribe((s) => s.phase === "waiting" && s.attempt > 2 && setTimeout(() => a.connection.retry())));
    return page;
  };
  const [writer, viewer] = [await open(1), await open(2)];
  await connect(viewer);
  const wanted = [];
  for (let n = 1; n <= 4; n++) {
    const [one, deltas] = [name("gate"), Array.from({ length: 20 }, (_, i) => `${i} ${"x".repeat(i)} `)];
    await writer.evaluate((n) => a.addMessage({ id: `u${n}`, role: "user", content: `question ${n}` }), n);
    await run(writer, play(says(`m${n}`, ...deltas), gate(one), says(`n${n}`, "end")));
    await has(writer, "19 ");
    await server.open(one);
    assert.equal(await end(writer), "resolved");
    wanted.push(`user: question ${n}`, `assistant: ${deltas.join("")}`, "assistant: end");
  }
  await viewer.waitForFunction((n) => a.messages.length === n && a.messages[n - 1].content === "end", wanted.length);
  await viewer.evaluate(() => a.detachActiveRun());
  assert.equal(await end(viewer, "joined"), "resolved");
  assert.deepEqual([await texts(writer), await texts(viewer)], [wanted, wanted]);
});
