// The package @agloop/client in headless Chromium where upgrades are refused: a page of another origin has its runs over fetch.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./lib/chromium.mjs";
import { front } from "./lib/front.mjs";
import { bundle, pages } from "./lib/pages.mjs";
import { serve } from "./lib/program.mjs";
import { event, gate, play, says, scripted } from "./lib/scripted.mjs";

let server;
let web;
before(async () => {
  web = await pages(
    await bundle(`
      import * as agloop from "@agloop/client";
      Object.assign(window, agloop, {
        texts: (a) => a.messages.map((m) => m.role + ": " + m.content),
        has: (a, text) => a.messages.some((m) => String(m.content).includes(text)),
        settled: (promise) => promise.then(() => "resolved", (e) => e.reason ?? e.code ?? String(e)),
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
const name = (what) => `${what}-sse-${process.pid}-${++names}`;
const refusal = /^WebSocket connection to .* failed/; // which Chromium says by itself
const broken = /Failed to load resource|ERR_(INCOMPLETE_CHUNKED_ENCODING|CONNECTION|EMPTY_RESPONSE|INTERNET_DISCONNECTED|NETWORK)/;
const either = new RegExp(`${refusal.source}|${broken.source}`);

const make = (page, config) =>
  page.evaluate((c) => {
    window.a = new AgloopAgent(c);
    window.states = [];
    a.connection.state.subscribe((s) => states.push(s));
  }, config);
const run = (page, parameters) => page.evaluate((p) => void (window.run = settled(a.runAgent(p))), parameters);
const texts = (page) => page.evaluate(() => texts(a));
const has = (page, text) => page.waitForFunction((text) => has(a, text), text);
const end = (page, of = "run") => page.evaluate((of) => window[of], of);

test("a run goes over HTTP where upgrades are refused, and so does the next one at once", async (t) => {
  const between = await front(t, server.host);
  const page = await web.open(t, { expected: [refusal, refusal, refusal] });
  await make(page, { url: between.ws, threadId: name("thread") });
  for (const n of [1, 2]) {
    await page.evaluate((n) => a.addMessage({ id: `u${n}`, role: "user", content: `question ${n}` }), n);
    await run(page, play(says(`m${n}`, "good ", "day"), event("STATE_SNAPSHOT", { snapshot: { n } })));
    assert.equal(await end(page), "resolved");
  }
  assert.deepEqual(await texts(page), ["user: question 1", "assistant: good day", "user: question 2", "assistant: good day"]);
  assert.deepEqual(await page.evaluate(() => a.state), { n: 2 });
  assert.ok(await page.evaluate(() => a.connection.secret), "a page of another origin may read it");
  assert.ok(await page.evaluate(() => states.some((s) => s.phase === "open" && s.transport === "sse")));
  assert.deepEqual([between.dials, between.count("POST"), between.count("GET")], [3, 2, 0]);
});

test("a run whose WebSocket is cut, and refused from then on, goes on over HTTP at its cursor, over responses that are cut", async (t) => {
  const between = await front(t, server.host, { upgrades: "through" });
  const page = await web.open(t, { allowed: either });
  await make(page, { url: between.ws, threadId: name("thread") });
  const [one, two, three] = [name("gate"), name("gate"), name("gate")];
  await run(page, play(says("m1", "one "), gate(one), says("m2", "two "), gate(two), says("m3", "three "), gate(three), says("m4", "four")));
  await has(page, "one");
  between.upgrades = "refused";
  between.cut();
  await server.open(one);
  await has(page, "two");
  between.cut();
  await server.open(two);
  await has(page, "three");
  between.cutAfter = 1; // each response has one more event
  between.cut();
  await server.open(three);
  assert.equal(await end(page), "resolved");
  assert.deepEqual(await texts(page), ["assistant: one ", "assistant: two ", "assistant: three ", "assistant: four"]);
  assert.equal(between.count("POST"), 0, "it was begun once");
});

test("abortRun stops the run, and what was left is joined", async (t) => {
  const between = await front(t, server.host);
  const page = await web.open(t);
  await make(page, { url: between.ws, threadId: name("thread"), transport: "sse" });
  const [runId, one] = [name("run"), name("gate")];
  await run(page, { ...play(says("m1", "start"), { wait: true }), runId });
  await has(page, "start");
  await page.evaluate(() => a.abortRun());
  assert.equal(await end(page), "resolved");
  assert.match(await server.stopped(runId), /cancelled/);
  await run(page, play(says("m2", "one "), gate(one), says("m3", "two")));
  await has(page, "one");
  await page.evaluate(() => a.detachActiveRun());
  await page.evaluate(() => void (window.joined = settled(a.connectAgent())));
  await page.waitForFunction(() => a.isRunning);
  await server.open(one);
  assert.equal(await end(page, "joined"), "resolved");
  assert.deepEqual(await texts(page), ["assistant: start", "assistant: one ", "assistant: two"]);
  assert.equal(await page.evaluate(() => settled(a.steer("late"))), "gone");
});

test("a token that has expired is replaced", async (t) => {
  const between = await front(t, server.host);
  const page = await web.open(t, { allowed: /401/ });
  await page.evaluate((url) => {
    window.asked = 0;
    const tokens = ["nobody", "nobody", "ivy", "nobody", "ivy"];
    window.a = new AgloopAgent({ url, transport: "sse", credentials: () => ({ token: tokens[asked++] ?? "ivy" }) });
  }, between.ws);
  const one = name("gate");
  await run(page, play(says("m1", "one "), gate(one), says("m2", "two")));
  await has(page, "one");
  between.cutAfter = 0;
  await page.evaluate(() => [...a.connection.streams.values()].forEach((s) => s.lose()));
  await server.open(one);
  assert.equal(await end(page), "resolved");
  assert.deepEqual(await texts(page), ["assistant: one ", "assistant: two"]);
  assert.deepEqual(between.requests.map((r) => [r.method, r.headers.authorization]), [
    ["GET", "Bearer nobody"], ["POST", "Bearer nobody"], ["POST", "Bearer ivy"], ["GET", "Bearer nobody"], ["GET", "Bearer ivy"],
  ]);
});

test("a cookie says who it is, over either", async (t) => {
  const between = await front(t, server.host);
  const page = await web.open(t, { cookie: { name: "user", value: name("user") }, expected: [refusal, refusal, refusal] });
  await make(page, { url: between.ws, threadId: name("thread") });
  await run(page, play(says("m1", "in")));
  assert.equal(await end(page), "resolved");
  assert.equal(await page.evaluate(() => a.connection.secret), undefined, "it is known to the server");
  const nobody = await web.open(t, { cookie: { name: "user", value: "nobody" }, expected: [refusal, refusal, /401/, /^Agent execution failed/] }); // the server's own refusal, and that of its HTTP
  await make(nobody, { url: server.ws });
  await run(nobody, play());
  assert.equal(await end(nobody), "connection", "that the server refuses it is no reason to ask otherwise");
});

test("a page that goes offline waits, and is back at once when it is online", async (t) => {
  const between = await front(t, server.host);
  const page = await web.open(t, { allowed: either });
  const one = name("gate");
  await make(page, { url: between.ws, threadId: name("thread"), transport: "sse" });
  await run(page, play(says("m1", "one "), gate(one), says("m2", "two")));
  await has(page, "one");
  await page.context().setOffline(true);
  await page.waitForFunction(() => states.at(-1).phase === "waiting" && states.at(-1).attempt > 2);
  await server.open(one);
  await page.context().setOffline(false);
  assert.equal(await end(page), "resolved");
  assert.deepEqual(await texts(page), ["assistant: one ", "assistant: two"]);
});

test("a server that is gone takes its runs along, and close leaves nothing behind", async (t) => {
  const first = await scripted("127.0.0.1:0", "--origin", web.origin);
  const page = await web.open(t, { allowed: new RegExp(`${broken.source}|^Agent execution failed|404`) });
  await make(page, { url: first.ws, threadId: name("thread"), transport: "sse" });
  await run(page, play(says("m1", "one"), { wait: true }));
  await has(page, "one");
  await first.kill();
  await page.waitForFunction(() => states.at(-1).phase === "waiting" && states.at(-1).attempt > 1);
  const second = await scripted(first.host, "--origin", web.origin);
  t.after(() => second.stop());
  await page.evaluate(() => a.connection.retry());
  assert.match(await end(page), /^(session|truncated)$/);
  await run(page, play(says("m2", "two"), { wait: true }));
  await has(page, "two");
  await page.evaluate(() => a.connection.close());
  assert.equal(await end(page), "no connection");
  assert.deepEqual(await page.evaluate(() => [a.connection.streams.size, states.at(-1).phase]), [0, "closed"]);
});

test("the demo page answers where upgrades are refused", async (t) => {
  const demo = await serve("demo");
  t.after(() => demo.stop());
  const between = await front(t, demo.host);
  const browser = await launch();
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(between.http);
  await page.getByLabel("Your message").fill("Do you hear me?");
  await page.keyboard.press("Enter");
  await page.locator(".said-agent", { hasText: /\w/ }).first().waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await page.locator("#log").getByText("The agent was stopped.").waitFor();
  assert.equal(between.count("POST"), 1);
  assert.equal(await page.locator("#log").getByText("needs a WebSocket").count(), 0, "what it does without is no error");
});
