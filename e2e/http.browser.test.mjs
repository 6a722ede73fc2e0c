// The published HttpAgent in headless Chromium: from a page of another origin, and from one of the server's own.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./lib/chromium.mjs";
import { bundle, pages } from "./lib/pages.mjs";
import { serve } from "./lib/program.mjs";
import { asks, calls, event, play, says, scripted } from "./lib/scripted.mjs";

let server, web, script;
before(async () => {
  script = await bundle(`
    import { HttpAgent } from "@ag-ui/client";
    Object.assign(window, {
      HttpAgent,
      make: (url, config) => { window.a = new HttpAgent({ url, ...config }); },
      run: (parameters) => {
        window.failure = undefined;
        return a.runAgent(parameters, { onRunFailed: ({ error }) => { window.failure = [error.status, error.payload]; return { stopPropagation: true }; } });
      },
      texts: () => a.messages.map((m) => m.role + ": " + m.content),
    });
  `);
  web = await pages(script);
  server = await scripted();
});
after(async () => {
  await web?.close();
  await server?.stop();
});

let names = 0;
const name = (what) => `${what}-page-${process.pid}-${++names}`;
const run = (page, parameters) => page.evaluate((p) => run(p), parameters);

test("a page of another origin: runs, tools, interrupts, state, refusals and an abort", async (t) => {
  const page = await web.open(t, { allowed: /Failed to load resource: the server responded with a status of 400/ });
  await page.evaluate(([url, config]) => make(url, config), [`${server.http}/agui`, { threadId: name("thread"), headers: { Authorization: "Bearer max" }, initialState: { n: 1 } }]);
  await page.evaluate(() => a.addMessage({ id: "u1", role: "user", content: "hello" }));
  await run(page, play(says("m1", "good ", "day"), event("STATE_DELTA", { delta: [{ op: "add", path: "/m", value: 2 }] }), calls("c1", "look", { at: "x" }, "m1")));
  assert.deepEqual(await page.evaluate(() => [texts(), a.state, a.messages.at(-1).toolCalls.length]), [["user: hello", "assistant: good day"], { n: 1, m: 2 }, 1]);
  await page.evaluate(() => a.addMessage({ id: "r1", role: "tool", toolCallId: "c1", content: "a door" }));
  await run(page, play(says("m2", "may I?"), asks("i1")));
  assert.equal(await page.evaluate(() => a.pendingInterrupts.length), 1);
  await run(page, { ...play(says("m3", "done")), resume: [{ interruptId: "i1", status: "resolved", payload: {} }] });
  assert.deepEqual(await page.evaluate(() => texts().slice(2)), ["tool: a door", "assistant: may I?", "assistant: done"]);
  await run(page, { runId: "r".repeat(129) });
  const [status, { code, field }] = await page.evaluate(() => failure);
  assert.deepEqual([status, code, field], [400, "invalid_input", "runId"]);
  const runId = name("run");
  await page.evaluate((p) => void (window.going = run(p)), { runId, ...play(says("m4", "on and on"), { wait: true }) });
  await page.waitForFunction(() => texts().includes("assistant: on and on"));
  await page.evaluate(() => a.abortRun());
  await page.evaluate(() => going);
  while (!(await server.stopped(runId))) await new Promise((resolve) => setImmediate(resolve));
  assert.match(await server.stopped(runId), /nobody follows/);
});

test("a page of the server's own origin, with its cookie", async (t) => {
  const stream = await serve("stream");
  t.after(() => stream.stop());
  const browser = await launch();
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(`${stream.http}/ping`);
  await page.evaluate(script);
  await page.evaluate(() => make("/agui", {}));
  await run(page, { forwardedProps: { rate: 100, burst: 2, delta: 10, seconds: 0.2 } });
  assert.deepEqual(await page.evaluate(() => a.messages.map((m) => m.content.length)), [400]);
});
