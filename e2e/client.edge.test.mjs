// The package @agloop/client at its edges: calls that cross each other, callbacks that fail, and what is left behind.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { agent, connection, state, texts, when } from "./lib/agloop.mjs";
import { within } from "./lib/program.mjs";
import { play, says, scripted } from "./lib/scripted.mjs";

const execute = promisify(execFile);
let server;
before(async () => (server = await scripted()));
after(() => server.stop());

const has = (text) => (a) => texts(a).some((m) => m.includes(text));
const ends = (promise) => within(5_000, "an end", promise.then(() => "resolved", (e) => e.code ?? e));

test("a second follow of a thread on one connection fails, and the connection goes on", async (t) => {
  const c = connection(t, server.ws);
  const [a, b] = [1, 2].map(() => agent(t, "", { connection: c, threadId: "twice" }));
  await a.runAgent(play(says("m1", "one"))); // which b attaches to before it follows
  const following = a.connectAgent({ live: true });
  const run = agent(t, "", { connection: c }).runAgent(play(says("m", "x"), { gate: "twice" }));
  await state(c, "open", (s) => s.phase === "open");
  await assert.rejects(within(5_000, "the second follow", b.connectAgent()), { code: "rejected", reason: "followed" });
  await server.open("twice");
  await run;
  assert.equal((await state(c, "a state", () => true)).phase, "open");
  await a.detachActiveRun();
  await following;
  assert.equal(c.requests.size, 0);
});

test("the last of many connectAgent stays, in whatever moment they are called", async (t) => {
  const a = agent(t, server.ws, { live: true });
  const others = [1, 2, 3].map(() => a.connectAgent());
  await new Promise((resolve) => setImmediate(resolve));
  others.push(a.connectAgent(), a.connectAgent());
  const last = a.connectAgent();
  for (const other of others) assert.equal(await ends(other), "resolved");
  await a.runAgent(play(says("m1", "one")));
  const run = a.runAgent(play(says("m2", "two"), { wait: true }));
  await when(a, "m2", has("two"));
  a.abortRun();
  await run;
  await a.detachActiveRun();
  assert.equal(await ends(last), "resolved");
  assert.deepEqual(texts(a), ["assistant: one", "assistant: two"]);
  assert.equal(a.connection.requests.size, 0);
});

test("credentials that fail, with whatever they throw, are an attempt that failed", async (t) => {
  for (const what of [new Error("no ticket"), "no ticket", undefined]) {
    let asked = 0;
    const credentials = async () => {
      if (++asked < 2) throw what;
    };
    await assert.rejects(agent(t, server.ws, { credentials }).runAgent(play()), { code: "connection" });
    asked = 0;
    await agent(t, server.ws, { credentials, retryFor: Infinity }).runAgent(play(says("m1", "in")));
    assert.equal(asked, 2);
  }
});

test("an abort leaves no timer behind that keeps a process", async () => {
  const script = `
    import { AgloopAgent } from "@agloop/client";
    import { WebSocket } from "ws";
    const timers = () => process.getActiveResourcesInfo().filter((r) => r === "Timeout").length;
    const a = new AgloopAgent({ url: ${JSON.stringify(server.ws)}, WebSocket });
    await a.runAgent(${JSON.stringify(play())});
    const before = timers();
    a.subscribe({ onTextMessageEndEvent: () => a.abortRun() });
    await a.runAgent(${JSON.stringify(play(says("m1", "x"), { wait: true }))});
    console.log(timers() - before);
    a.connection.close();`;
  const { stdout } = await execute(process.execPath, ["--input-type=module", "-e", script], { cwd: new URL(".", import.meta.url).pathname });
  assert.equal(stdout, "0\n");
});
