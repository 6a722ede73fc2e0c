// The hook of clients/ts/examples/react in headless Chromium, in StrictMode, against the real server.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { agent, say, when } from "./lib/agloop.mjs";
import { bundle, pages } from "./lib/pages.mjs";
import { asks, gate, play, says, scripted } from "./lib/scripted.mjs";
import { relay } from "./lib/wire.mjs";

let server;
let web;
before(async () => {
  const source = `
    import { StrictMode } from "react";
    import { createRoot } from "react-dom/client";
    import { Chat } from "./Chat";
    import { useAgent } from "./useAgent";

    function Probe(props) {
      window.hook = useAgent(props);
      window.renders = (window.renders ?? 0) + 1;
      return <p id="text">{hook.messages.map((m) => m.role + ": " + m.content).join("\\n")}</p>;
    }
    const root = createRoot(document.getElementById("root"));
    window.show = (what, props) => root.render(<StrictMode>{what === "Chat" ? <Chat {...props} /> : what === "Probe" && <Probe {...props} />}</StrictMode>);
  `;
  web = await pages(await bundle(source, new URL("../clients/ts/examples/react/", import.meta.url).pathname));
  server = await scripted("127.0.0.1:0", "--origin", web.origin);
});
after(async () => {
  await web?.close();
  await server?.stop();
});

let names = 0;
const name = (what) => `${what}-${process.pid}-${++names}`;
const show = (page, what, props) => page.evaluate(([what, props]) => show(what, props), [what, props]);
const hook = (page, so) => page.waitForFunction(so);

test("the hook gives messages, state and what goes on, and keeps one connection", async (t) => {
  const page = await web.open(t);
  const sockets = [];
  page.on("websocket", (ws) => sockets.push(ws));
  const one = name("gate");
  await show(page, "Probe", { url: server.ws, threadId: name("thread") });
  await hook(page, () => hook.connection.phase === "open");
  assert.equal(await page.evaluate(() => hook.running), false, "nothing goes on yet");
  await page.evaluate((p) => void (window.said = hook.say("hello", p)), play({ event: { type: "STATE_SNAPSHOT", snapshot: { n: 1 } } }, says("m1", "good "), gate(one), says("m2", "day")));
  await page.locator("#text", { hasText: "good" }).waitFor();
  await hook(page, () => hook.running && hook.state.n === 1);
  await server.open(one);
  await page.evaluate(() => said);
  await hook(page, () => !hook.running);
  assert.equal(await page.locator("#text").textContent(), "user: hello\nassistant: good \nassistant: day");
  assert.equal(sockets.filter((ws) => !ws.isClosed()).length, 1, "of what StrictMode opened first nothing is left");
  await show(page, "nothing");
  if (!sockets.at(-1).isClosed()) await sockets.at(-1).waitForEvent("close");
});

test("many events that come at once are few renders", async (t) => {
  const page = await web.open(t);
  await show(page, "Probe", { url: server.ws, threadId: name("thread") });
  await hook(page, () => hook.connection.phase === "open");
  const before = await page.evaluate(() => renders);
  await page.evaluate((p) => hook.say("hello", p), play(says("m1", ...Array.from({ length: 500 }, (_, n) => `${n} `))));
  await page.locator("#text", { hasText: "499" }).waitFor();
  const renders = (await page.evaluate(() => window.renders)) - before;
  assert.ok(renders < 500, `${renders} renders`);
});

test("another thread is another agent, and what failed is told", async (t) => {
  const page = await web.open(t);
  const url = server.ws;
  await show(page, "Probe", { url, threadId: name("thread") });
  await hook(page, () => hook.connection.phase === "open");
  await page.evaluate((p) => hook.say("first", p), play(says("m1", "one")));
  await show(page, "Probe", { url, threadId: name("thread") });
  await page.waitForFunction(() => hook.messages.length === 0 && hook.connection.phase === "open");
  await page.evaluate((p) => hook.say("second", p), play(says("m1", "two"), asks("i1")));
  await hook(page, () => hook.pendingInterrupts.length === 1 && !hook.running);
  await page.evaluate(() => hook.say("not an answer"));
  await hook(page, () => /pending interrupt/.test(hook.error?.message));
  assert.equal(await page.evaluate(() => hook.steer("to nobody")), false);
});

test("the chat shows what another viewer does, steers, stops and answers", async (t) => {
  const cookie = { name: "user", value: name("user") };
  const threadId = name("thread");
  const page = await web.open(t, { cookie });
  await show(page, "Chat", { url: server.ws, threadId });
  const other = agent(t, server.ws, { threadId, credentials: () => ({ query: { user: cookie.value } }) });
  say(other, "theirs");
  const run = other.runAgent(play(says("m1", "start"), { steer: true }, { wait: true }));
  await page.locator(".assistant", { hasText: "start" }).waitFor();
  await page.getByLabel("Message").fill("faster");
  await page.getByRole("button", { name: "Steer" }).click();
  await page.locator(".user", { hasText: "faster" }).waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await run;
  await page.getByRole("button", { name: "Send" }).waitFor();

  await page.getByLabel("Message").fill("mine");
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator(".user", { hasText: "mine" }).waitFor();
  await other.connectAgent();
  assert.deepEqual(other.messages.filter((m) => m.role === "user").map((m) => m.content), ["theirs", "faster", "mine"]);
  await other.runAgent(play(says("m2", "may I?"), asks("i1")));
  await page.getByRole("button", { name: "Approve" }).click();
  await page.getByRole("button", { name: "Approve" }).waitFor({ state: "detached" });
  await other.connectAgent();
  await when(other, "no question", (a) => a.pendingInterrupts.length === 0);
  assert.deepEqual(await page.locator("li").allTextContents(), ["theirs", "start", "faster", "mine", "may I?"]);
});

test("the chat shows that there is no connection, and connects at once when it is told to", async (t) => {
  const page = await web.open(t, { allowed: /ERR_INTERNET_DISCONNECTED/ });
  const between = await relay(server.host);
  t.after(() => between.close());
  await show(page, "Chat", { url: between.ws, threadId: name("thread") });
  await page.getByLabel("Message").fill("one");
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator(".user", { hasText: "one" }).waitFor();
  await page.context().setOffline(true);
  between.cut();
  await page.getByRole("button", { name: "Try now" }).click();
  await page.getByRole("status").waitFor(); // still
  await page.context().setOffline(false);
  await page.getByRole("status").waitFor({ state: "detached" });
  await page.getByLabel("Message").fill("two");
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator(".user", { hasText: "two" }).waitFor();
});
