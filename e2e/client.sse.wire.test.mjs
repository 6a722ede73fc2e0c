// The package @agloop/client on Server-Sent Events as servers may write them, of agloop and of others, and as none may.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { test } from "node:test";
import { agent, connection, state, texts, when } from "./lib/agloop.mjs";
import { within } from "./lib/program.mjs";
import { served } from "../clients/ts/dist/events.js";

const epoch = "00f1e2d3c4b5a697";
const started = { type: "RUN_STARTED", threadId: "t", runId: "r" };
const finished = { type: "RUN_FINISHED", threadId: "t", runId: "r" };
const text = (delta) => ({ type: "TEXT_MESSAGE_CHUNK", messageId: "m", role: "assistant", delta });
const sse = (offset, event) => `${offset ? `id: ${epoch}-${offset}\n` : ""}data: ${JSON.stringify(event)}\n\n`;
const problem = (status, body, headers) => (response) => response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(JSON.stringify(body));
const stream = (...parts) => (response) => {
  response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8" });
  for (const part of parts) typeof part === "function" ? part(response) : response.write(part);
};
const end = (response) => response.end();
const cut = (response) => setImmediate(() => response.destroy());

// fake is a server that answers each request for a run by the next of the list.
async function fake(t, ...answers) {
  const requests = [];
  const server = http.createServer((request, response) => {
    if (request.url.includes("/capabilities")) return problem(200, {})(response);
    requests.push(request);
    request.resume();
    const answer = answers.shift();
    if (answer) answer(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}/ws`, requests };
}

const make = (t, server, options) => agent(t, server.url, { threadId: "t", transport: "sse", unjudged: true, ...options });
const quick = (a) => a.connection.state.subscribe(({ phase }) => phase === "waiting" && setImmediate(() => a.connection.retry()));

test("lines end as they like, and pieces wherever", async () => {
  const all = `\ufeff: hello\r\n\rid: 1\r\ndata: a\r\ndata:b\r\n\r\nevent: x\nretry: 5\ndata:  \u00fc\ud83d\ude42\n\nid: 2\n\n\n\r\rdata\n\nid:3\rdata: c\r\rdata: never whole`;
  const wanted = [{ id: "1", data: "a\nb" }, { id: "", data: " ü🙂" }, { id: "3", data: "c" }];
  const bytes = new TextEncoder().encode(all);
  for (const size of [1, 2, 3, 7, bytes.length]) {
    let at = 0;
    const body = new ReadableStream({
      pull(c) {
        if (at >= bytes.length) return c.close();
        c.enqueue(bytes.subarray(at, (at += size)));
      },
    });
    const got = [];
    let beats = 0;
    for await (const e of served(body, () => beats++)) got.push(e);
    assert.deepEqual(got, wanted, `${size} bytes at a time`);
    assert.equal(beats, Math.ceil(bytes.length / size));
  }
});

test("an event that takes more than 10 MiB ends its run, and what came before is there", async (t) => {
  const piece = "x".repeat(1 << 20);
  for (const more of [piece, `${piece}\ndata: `]) {
    const server = await fake(t, stream(sse(1, started), sse(2, text("one")), "data: ", async (response) => {
      response.setMaxListeners(0);
      for (let i = 0; i < 64 && !response.destroyed; i++) if (!response.write(more)) await new Promise((resolve) => response.once("drain", resolve).once("close", resolve));
    }));
    const a = make(t, server);
    await assert.rejects(within(20_000, "an end", a.runAgent({ runId: "r" })), (e) => e.code === "truncated" && e.cause.code === "protocol" && /10 MiB/.test(e.cause.message));
    assert.deepEqual(texts(a), ["assistant: one"]);
    assert.equal(server.requests.length, 1);
  }
});

test("what a server does against the rules ends the run with an error", async (t) => {
  const cases = {
    "an offset that was there": [sse(1, started), sse(1, text("a"))],
    "an offset that goes back": [sse(3, started), sse(2, text("a"))],
    "no JSON": [sse(1, started), `id: ${epoch}-2\ndata: {"type"\n\n`],
    "no JSON, and no place": ["data: x\n\n"],
  };
  for (const [what, parts] of Object.entries(cases)) {
    const a = make(t, await fake(t, stream(...parts)));
    await assert.rejects(within(5_000, what, a.runAgent({ runId: "r" })), (e) => e.code === "truncated" && e.cause.code === "protocol", what);
    assert.equal(a.connection.streams.size, 0, what);
  }
  for (const answer of [problem(200, {}), problem(502, "<html>"), (r) => r.writeHead(503).end("busy")]) {
    const a = make(t, await fake(t, answer));
    await assert.rejects(within(5_000, "an end", a.runAgent({ runId: "r" })), { code: "start_unknown" }, "somebody else has answered");
  }
  for (const [status, body, wanted] of [
    [400, { code: "invalid_input", field: "messages[0]", message: "is none" }, { code: "rejected", reason: "invalid_input", message: "rejected: is none (messages[0])" }],
    [429, { code: "thread_busy", message: "busy" }, { code: "rejected", reason: "thread_busy" }],
    [409, { code: "conflict", message: "another input" }, { code: "conflict" }],
    [404, { code: "gone", message: "gone" }, { code: "gone" }],
    [404, {}, { code: "rejected", reason: "http_404" }],
  ]) {
    const a = make(t, await fake(t, problem(status, body)));
    await assert.rejects(a.runAgent({ runId: "r" }), wanted);
  }
});

test("R41 what a server asks for is waited, and the rest has jitter", async (t) => {
  const server = await fake(
    t, problem(503, { code: "shutting_down", message: "later" }, { "Retry-After": "60" }), stream(sse(1, started), cut),
    problem(429, { code: "rate_limited", message: "slowly" }, { "Retry-After": "30" }), stream(sse(2, finished), end),
  );
  const a = make(t, server);
  const run = a.runAgent({ runId: "r" });
  for (const [i, after] of [60_000, 0, 30_000].entries()) {
    const began = Date.now();
    const { retryAt, error } = await state(a.connection, "waiting", (s) => s.phase === "waiting" && server.requests.length === i + 1);
    assert.ok(retryAt - began >= after - 1000 && retryAt - began < after + 1000 && error, `${retryAt - began} ms`);
    a.connection.retry();
  }
  await run;
  assert.deepEqual(server.requests.map((r) => [r.method, r.headers["last-event-id"]]), [
    ["POST", undefined], ["POST", undefined], ["GET", `${epoch}-1`], ["GET", `${epoch}-1`],
  ]);
});

test("R9 the prelude of a run that is joined comes whole, and once", async (t) => {
  const snapshot = sse(0, { type: "STATE_SNAPSHOT", snapshot: { n: 1 } });
  const server = await fake(t, stream(sse(1, started), cut), stream(sse(1, started), snapshot, sse(4, text("one")), cut), stream(sse(5, finished), end));
  const c = connection(t, server.url, { transport: "sse" });
  c.state.subscribe(({ phase }) => phase === "waiting" && setImmediate(() => c.retry()));
  const got = [];
  await new Promise((complete, error) => c.events("t", "r").subscribe({ next: ({ event, place }) => got.push([event.type, place.from, place.to]), complete, error }));
  assert.deepEqual(got, [["RUN_STARTED", 1, 1], ["STATE_SNAPSHOT", 2, 1], ["TEXT_MESSAGE_CHUNK", 2, 4], ["RUN_FINISHED", 5, 5]]);
  assert.deepEqual(server.requests.map((r) => r.headers["last-event-id"]), [undefined, undefined, `${epoch}-4`]);
});

test("another server of AG-UI makes runs, and what is cut there is truncated", async (t) => {
  const server = await fake(t, stream(sse(0, started), sse(0, text("one")), sse(0, finished), end), stream(sse(0, started), sse(0, text(" two")), end));
  const a = make(t, server);
  quick(a);
  await a.runAgent({ runId: "r" });
  await assert.rejects(a.runAgent({ runId: "r" }), { code: "truncated" });
  assert.deepEqual(texts(a), ["assistant: one two"]);
  assert.equal(a.cursor, undefined);
});

test("a response in which nothing comes any more is given up, and the rest asked for", async (t) => {
  const server = await fake(t, stream(sse(1, started), sse(2, text("one"))), stream(sse(3, finished), end));
  const a = make(t, server);
  quick(a);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const run = a.runAgent({ runId: "r" });
  await when(a, "one", () => texts(a).length === 1).catch(() => {});
  t.mock.timers.tick(30_000);
  t.mock.timers.reset();
  await run;
  assert.equal(server.requests.at(-1).headers["last-event-id"], `${epoch}-2`);
});

test("close leaves nothing behind, and a run that was left asks for nothing", async (t) => {
  let closed;
  const server = await fake(t, stream(sse(1, started), (response) => (closed = once(response, "close"))), stream(sse(1, started)));
  const a = make(t, server);
  const run = a.runAgent({ runId: "r" });
  await state(a.connection, "open", (s) => s.phase === "open");
  await a.detachActiveRun();
  await run;
  await within(5_000, "the end of the response", closed);
  const other = a.runAgent({ runId: "s" });
  await state(a.connection, "open", (s) => s.phase === "open");
  a.connection.close();
  await assert.rejects(other, (e) => ["truncated", "start_unknown"].includes(e.code) && e.cause.code === "closed");
  assert.equal(a.connection.streams.size, 0);
  assert.equal(server.requests.length, 2);
});
