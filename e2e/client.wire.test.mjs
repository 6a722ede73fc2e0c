// The package @agloop/client on the wire: the transcripts of testdata/protocol are played to it, and servers that break rules.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { retry } from "rxjs";
import { WebSocketServer } from "ws";
import { agent, connection, state } from "./lib/agloop.mjs";
import { within } from "./lib/program.mjs";
import { play } from "./lib/scripted.mjs";

const protocol = "agloop.v1.json";
const epoch = "00f1e2d3c4b5a697";
const hello = {
  version: 1, boot: "b1", resumable: "process", limits: { message: 10485760, attachments: 64, controls: 64, steer: 65536 },
};

// fake is a server that a test speaks for. Each connection is {send, frame, closed, close}.
async function fake(t, { knows = true, ...options } = {}) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, handleProtocols: () => knows && protocol, ...options });
  t.after(() => {
    for (const c of server.clients) c.terminate();
    server.close();
  });
  const connections = [];
  let wake = () => {};
  let refused = 0;
  let made = 0;
  server.on("connection", (socket, request) => {
    made++;
    if (!knows && request.headers["sec-websocket-protocol"]) return void refused++; // a client must not take it
    const frames = [];
    let more = () => {};
    socket.on("message", (data) => {
      frames.push(JSON.parse(data.toString()));
      more();
    });
    const closed = new Promise((resolve) => socket.on("close", (code) => resolve(code)));
    const next = async () => {
      while (frames.length === 0) await new Promise((resolve) => (more = resolve));
      return frames.shift();
    };
    connections.push({
      url: request.url, socket, closed, frames,
      send: (...list) => list.forEach((frame) => socket.send(JSON.stringify(frame))),
      frame: () => within(5_000, "a frame of the client", next()),
    });
    wake();
  });
  await new Promise((resolve) => server.on("listening", resolve));
  const next = async () => {
    while (connections.length === 0) await new Promise((resolve) => (wake = resolve));
    return connections.shift();
  };
  return { ws: `ws://127.0.0.1:${server.address().port}/`, refused: () => refused, made: () => made, next: (ms = 10_000) => within(ms, "a connection", next()) };
}

// The results of all runs of a transcript: how its sequences end, and what the last event of each was.
const transcripts = {
  start: { r: "RUN_FINISHED" },
  several: { a: "RUN_FINISHED", b: "RUN_FINISHED" },
  attach: { r: "RUN_FINISHED" },
  "attach-start": { r: "RUN_FINISHED" },
  "start-again": { r: "RUN_FINISHED" },
  bind: { r: "RUN_FINISHED" },
  cancel: { r: "RUN_FINISHED" },
  conflict: { r: "conflict" },
  follow: { t: "left" },
  "follow-after": { t: "RUN_FINISHED" },
  going: { r: "RUN_FINISHED", s: "RUN_FINISHED" },
  "going-durable": { r: "RUN_FINISHED" },
  gone: { r: "truncated", old: "gone", nobody: "gone" },
  leave: { r: "RUN_FINISHED" },
  rejected: { r: "rejected", s: "rejected" },
  steer: { r: "RUN_FINISHED" },
  auth: { r: "RUN_FINISHED" }, // up to the token that replaces another
};

for (const [name, results] of Object.entries(transcripts)) {
  test(`transcript ${name}`, async (t) => {
    const lines = readFileSync(new URL(`../testdata/protocol/${name}.ndjson`, import.meta.url), "utf8").trim().split("\n").map((l) => JSON.parse(l));
    const server = await fake(t);
    const token = name === "auth" ? "eyJhbGciOi" : undefined;
    const c = connection(t, server.ws, { credentials: () => ({ token }) });
    const sequences = new Map(); // by run, or thread of a follow
    const got = {};
    const sink = (of) => ({
      event: (e) => (got[of] = e.type),
      end: (error) => error && (got[of] = error.code),
    });
    const answers = [];
    // acts calls what makes the client say that, unless it says so by itself.
    const acts = ([verb, body]) => {
      const of = verb === "follow" ? body.threadId : (body.input ?? body).runId;
      const known = sequences.get(of);
      const fresh = !known || known.over;
      if (verb === "start" && fresh) sequences.set(of, c.start(body.input.threadId, of, JSON.stringify(body.input), sink(of)));
      else if (verb === "attach" && fresh) {
        const at = body.epoch && { epoch: body.epoch, offset: body.offset };
        sequences.set(of, c.attach(body.threadId, of, sink(of), at));
      } else if (verb === "follow" && fresh) sequences.set(of, c.follow(of, sink(of)));
      else if (verb === "leave") {
        const [of, s] = [...sequences][0];
        c.leave(s);
        got[of] = "left";
      } else if (verb === "cancel") c.cancel(known);
      else if (verb === "steer") answers.push(c.steer(body.threadId, of, body.text));
    };
    let conn;
    for (const [i, line] of lines.entries()) {
      if (line.frame?.[0] === "auth" && line.frame[1].token === "expired") break;
      if (line.from === "client" && !line.close) acts(line.frame);
      else if (!conn) acts(lines.slice(i).find((l) => l.from === "client" && l.frame[0] !== "auth").frame); // which has it connect
      conn ??= await server.next();
      if (line.from === "server" && line.frame) conn.send(line.frame);
      else if (line.from === "server") {
        conn.socket.close(line.close);
        conn = undefined;
      } else if (line.close) {
        assert.equal(await within(5_000, "close", conn.closed), line.close);
        conn = undefined;
      } else {
        const said = await conn.frame();
        if (line.frame[0] === "steer") {
          assert.match(said[1].id, /^steer-/);
          said[1].id = line.frame[1].id;
        }
        assert.deepEqual(said, line.frame);
      }
    }
    await within(5_000, "all ends", (async () => {
      while (!Object.entries(results).every(([of, end]) => got[of] === end)) await new Promise((resolve) => setImmediate(resolve));
    })()).catch(() => assert.deepEqual(got, results));
    if (name === "steer") assert.deepEqual(await Promise.all(answers), [true, false]);
  });
}

// received resolves when an agent has received so many events.
const received = (a, n) =>
  within(5_000, `event ${n}`, (async () => {
    while ([...a.connection.requests][0]?.position !== n) await new Promise((resolve) => setImmediate(resolve));
  })());
const first = (ref) => ["run", { run: 1, ref, threadId: "t", runId: "r", epoch, offset: 1, last: 1 }];
const started = { type: "RUN_STARTED", threadId: "t", runId: "r" };
const finished = { type: "RUN_FINISHED", threadId: "t", runId: "r" };

test("R40 what a server does against the rules ends the connection with an error", async (t) => {
  const cases = {
    "no hello": [["idle", { ref: "1" }]],
    "another version": [["hello", { ...hello, version: 2 }]],
    "a second hello": [["hello", hello], ["hello", hello]],
    "an event before a selector": [["hello", hello], started],
    "an attachment that was never announced": [["hello", hello], ["run", { run: 7, offset: 1 }]],
    "no epoch": [["hello", hello], ["run", { run: 1, ref: "1", threadId: "t", runId: "r", offset: 1 }]],
    "a gap": [["hello", hello], first("1"), started, ["run", { run: 1, offset: 3 }]],
    "again": [["hello", hello], first("1"), started, ["run", { run: 1, offset: 1 }]],
    "an event behind a fold": [
      ["hello", hello], ["run", { run: 1, ref: "1", threadId: "t", runId: "r", epoch, offset: 1, through: 2, last: 2 }], started, started,
    ],
    "another run": [["hello", hello], ["run", { run: 1, ref: "1", threadId: "t", runId: "x", epoch, offset: 1, last: 1 }]],
    "attachment 0": [["hello", hello], ["run", { run: 0, ref: "1", threadId: "t", runId: "r", epoch, offset: 1, last: 1 }]],
  };
  for (const [what, frames] of Object.entries(cases)) {
    const server = await fake(t);
    const a = agent(t, server.ws, { threadId: "t" });
    const run = a.runAgent({ runId: "r" });
    const conn = await server.next();
    conn.send(...frames);
    await assert.rejects(within(5_000, what, run), (e) => e.code === "protocol" || (e.code === "truncated" && e.cause.code === "protocol") || (e.code === "start_unknown" && e.cause.code === "protocol"), what);
    await within(5_000, what, conn.closed);
    assert.equal(a.connection.requests.size, 0, what);
  }
});

test("R40 an event of unknown type counts, and is left out", async (t) => {
  const server = await fake(t);
  const a = agent(t, server.ws, { threadId: "t", unjudged: true });
  const run = a.runAgent({ runId: "r" });
  let conn = await server.next();
  conn.send(["hello", hello]);
  const [, { ref }] = await conn.frame();
  conn.send(first(ref), started, { type: "NOBODY_KNOWS", x: 1 });
  await received(a, 2);
  conn.socket.terminate();
  conn = await server.next();
  conn.send(["hello", hello]);
  const [name, body] = await conn.frame();
  assert.deepEqual([name, body.epoch, body.offset], ["attach", epoch, 2]);
  conn.send(["run", { run: 1, ref: body.ref, threadId: "t", runId: "r", epoch, offset: 3, last: 2 }], finished);
  await run;
});

test("R40 the frames of an attachment that was left are dropped", async (t) => {
  const server = await fake(t);
  const a = agent(t, server.ws, { threadId: "t" });
  const run = a.runAgent({ runId: "r" });
  const conn = await server.next();
  conn.send(["hello", hello]);
  await conn.frame();
  conn.send(first("1"), started);
  await received(a, 1);
  await a.detachActiveRun();
  await run;
  assert.deepEqual(await conn.frame(), ["leave", { run: 1 }]);
  conn.send({ type: "CUSTOM", name: "dropped", value: 1 }, ["run", { run: 1, offset: 3 }], finished, ["nobody-knows", {}]);
  const next = a.runAgent({ runId: "s" });
  const [name, body] = await conn.frame();
  assert.equal(name, "start");
  conn.send(["run", { run: 2, ref: body.ref, threadId: "t", runId: "s", epoch, offset: 1, last: 1 }], { ...started, runId: "s" }, { ...finished, runId: "s" });
  await next;
});

test("R41 a start that had no answer is not sent to another server", async (t) => {
  const server = await fake(t);
  const a = agent(t, server.ws, { threadId: "t" });
  const run = a.runAgent({ runId: "r" });
  let conn = await server.next();
  conn.send(["hello", hello]);
  await conn.frame();
  conn.socket.terminate();
  conn = await server.next();
  conn.send(["hello", { ...hello, boot: "b2" }]);
  await assert.rejects(run, { code: "start_unknown" });
});

test("R41 a start that had no answer waits until its session is known to be the one", async (t) => {
  for (const holds of [true, false]) {
    const server = await fake(t);
    const a = agent(t, server.ws, { threadId: "t" });
    const run = a.runAgent({ runId: "r" });
    let conn = await server.next();
    conn.send(["hello", { ...hello, secret: "one" }]);
    await conn.frame();
    conn.socket.terminate();
    conn = await server.next();
    conn.send(["hello", { ...hello, secret: "two" }]);
    const [bind, { ref, secret }] = await conn.frame();
    assert.deepEqual([bind, secret], ["bind", "one"]);
    const [probe, body] = await conn.frame();
    assert.deepEqual([probe, body.epoch, body.offset], ["attach", "0".repeat(16), Number.MAX_SAFE_INTEGER]);
    assert.deepEqual(conn.frames, []);
    if (!holds) conn.send(["gone", { ref }]);
    conn.send(["gone", { ref: body.ref }]);
    if (!holds) {
      await assert.rejects(run, { code: "start_unknown" });
      assert.equal(a.connection.secret, "two");
      continue;
    }
    const [name, start] = await conn.frame();
    assert.equal(name, "start");
    conn.send(first(start.ref), started, finished);
    await run;
  }
});

test("R41 what a server asks for is waited, and the rest has jitter", async (t) => {
  const server = await fake(t);
  const a = agent(t, server.ws, { threadId: "t" });
  const run = a.runAgent({ runId: "r" });
  const conn = await server.next();
  conn.send(["hello", { ...hello, resumable: "durable" }]);
  await conn.frame();
  const began = Date.now();
  conn.send(first("1"), started, ["going", { retryAfter: 60 }]);
  const { retryAt } = await state(a.connection, "waiting", (s) => s.phase === "waiting");
  assert.ok(retryAt - began >= 60_000 && retryAt - began < 61_000, `${retryAt - began} ms`);
  assert.equal(await conn.closed, 1000);
  a.connection.retry();
  const again = await server.next();
  again.send(["hello", { ...hello, resumable: "durable" }]);
  const [, body] = await again.frame();
  again.send(["run", { run: 1, ref: body.ref, threadId: "t", runId: "r", epoch, offset: 2, last: 1 }], finished);
  await run;
});

test("R41 a server that says nothing any more is asked, and given up", { timeout: 30_000 }, async (t) => {
  const server = await fake(t);
  const a = agent(t, server.ws, { threadId: "t", silence: 50 });
  const run = a.runAgent({ runId: "r" });
  const conn = await server.next();
  conn.send(["hello", hello]);
  await conn.frame();
  conn.send(first("1"), started);
  for (let i = 0; i < 3; i++) {
    const [name, body] = await conn.frame();
    assert.equal(name, "attach");
    conn.send(["gone", { ref: body.ref }]);
  }
  conn.socket.pause(); // the connection stays, and nothing comes
  const again = await server.next(15_000);
  again.send(["hello", hello]);
  const [, body] = await again.frame();
  again.send(["run", { run: 1, ref: body.ref, threadId: "t", runId: "r", epoch, offset: 2, last: 1 }], finished);
  await run;
});

test("R42 an abort that nobody answers ends after 10 s", { timeout: 30_000 }, async (t) => {
  const server = await fake(t);
  const a = agent(t, server.ws, { threadId: "t" });
  const run = a.runAgent({ runId: "r" });
  const conn = await server.next();
  conn.send(["hello", hello]);
  await conn.frame();
  conn.send(first("1"), started);
  await received(a, 1);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  a.abortRun();
  t.mock.timers.tick(10_000);
  t.mock.timers.reset();
  assert.deepEqual(await conn.frame(), ["cancel", { threadId: "t", runId: "r" }]);
  await run; // as for an AbortError
  assert.deepEqual(await conn.frame(), ["leave", { run: 1 }]);
});

test("half of what a server lets wait is asked for at once", async (t) => {
  const server = await fake(t);
  const c = connection(t, server.ws);
  const runs = Array.from({ length: 5 }, (_, i) => agent(t, "", { connection: c, threadId: `t${i}` }).runAgent({ runId: `r${i}` }));
  const conn = await server.next();
  conn.send(["hello", { ...hello, limits: { ...hello.limits, controls: 4 } }]);
  for (let i = 0; i < 5; i++) {
    const [, { ref, input: { threadId, runId } }] = await conn.frame();
    assert.ok(conn.frames.length <= 1);
    conn.send(["run", { run: i + 1, ref, threadId, runId, epoch, offset: 1, last: 1 }], { ...started, threadId, runId }, { ...finished, threadId, runId });
  }
  await Promise.all(runs);
});

test("a server that knows no subprotocol has one run a socket", async (t) => {
  const server = await fake(t, { knows: false });
  const c = connection(t, server.ws);
  const [a, b] = [agent(t, "", { connection: c, threadId: "t" }), agent(t, "", { connection: c, threadId: "u" })];
  const runs = [a.runAgent({ runId: "r" }), b.runAgent({ runId: "s" })];
  assert.equal(await (await server.next()).closed, 1000, "it asks once more, since a handshake may be cut as well");
  for (let i = 0; i < 2; i++) {
    const conn = await server.next();
    const { threadId, runId } = await conn.frame();
    conn.send({ ...started, threadId, runId });
    conn.socket.send(Buffer.from(JSON.stringify({ ...finished, threadId, runId })), { binary: true });
    assert.equal(await conn.closed, 1000);
  }
  await Promise.all(runs);
  const broken = a.runAgent({ runId: "x" });
  const conn = await server.next();
  await conn.frame();
  conn.socket.send("no JSON");
  await assert.rejects(broken, { code: "protocol" });
  assert.equal(c.sockets.size, 0, "no run that is over is kept");
  assert.equal(server.refused(), 2, "it is known from then on");
});

test("a first handshake that is refused does not make a bare connection of it", async (t) => {
  let asked = 0;
  const server = await fake(t, { verifyClient: () => ++asked > 1 });
  const a = agent(t, server.ws, { threadId: "t" });
  const run = a.runAgent({ runId: "r" });
  assert.equal(await (await server.next()).closed, 1000);
  const conn = await server.next();
  assert.equal(conn.socket.protocol, protocol);
  conn.send(["hello", hello]);
  const [, { ref }] = await conn.frame();
  conn.send(first(ref), started, finished);
  await run;
});

test("an input that is larger than a server takes is refused here", async (t) => {
  const server = await fake(t);
  const a = agent(t, server.ws, { threadId: "t" });
  const run = a.runAgent({ runId: "r", ...play({ fail: "x".repeat(300) }) });
  const conn = await server.next();
  conn.send(["hello", { ...hello, limits: { ...hello.limits, message: 400 } }]);
  await assert.rejects(run, { code: "rejected", reason: "input_too_large" });
});

test("a request that is refused here leaves its place to the next one that waits", async (t) => {
  const server = await fake(t);
  const c = connection(t, server.ws);
  const runs = ["x", "x".repeat(600), "y"].map((fail, i) => agent(t, "", { connection: c, threadId: `t${i}` }).runAgent({ runId: `r${i}`, ...play({ fail }) }));
  const refused = assert.rejects(runs[1], { code: "rejected", reason: "input_too_large" });
  const conn = await server.next();
  conn.send(["hello", { ...hello, limits: { ...hello.limits, controls: 2, message: 500 } }]);
  for (const i of [0, 2]) {
    const [, { ref, input: { threadId, runId } }] = await conn.frame();
    assert.equal(runId, `r${i}`);
    conn.send(["run", { run: i + 1, ref, threadId, runId, epoch, offset: 1, last: 1 }], { ...started, threadId, runId }, { ...finished, threadId, runId });
  }
  await Promise.all([runs[0], refused, runs[2]]);
});

test("what asks again as soon as it has failed is asked on one new connection", async (t) => {
  for (const broken of [true, false]) {
    const server = await fake(t);
    const c = connection(t, server.ws, { retryFor: 0 });
    const events = [];
    const over = new Promise((resolve, reject) =>
      c.events("t", "r").pipe(retry(1)).subscribe({ next: ({ event }) => events.push(event.type), complete: resolve, error: reject }),
    );
    let conn = await server.next();
    conn.send(["hello", hello]);
    await conn.frame();
    if (broken) conn.send(["hello", hello]);
    else conn.socket.terminate();
    conn = await server.next();
    conn.send(["hello", hello]);
    const [, { ref }] = await conn.frame();
    conn.send(["run", { run: 1, ref, threadId: "t", runId: "r", epoch, offset: 1, last: 1 }], started);
    await state(c, "open", (s) => s.phase === "open");
    await new Promise((resolve) => setTimeout(resolve, 250)); // in which an attempt that waits would come
    conn.send(finished);
    await within(5_000, "the end", over);
    assert.deepEqual(events, ["RUN_STARTED", "RUN_FINISHED"]);
    assert.equal(server.made(), 2);
  }
});

test("a bare server may send anything, and is asked for no run that there was", async (t) => {
  const server = await fake(t, { knows: false });
  const c = connection(t, server.ws, { bare: true });
  for (const nothing of ["null", "7", '"text"', "{}", "[]"]) {
    const run = agent(t, "", { connection: c, threadId: "t" }).runAgent({ runId: "r" });
    const conn = await server.next();
    await conn.frame();
    conn.socket.send(nothing);
    await assert.rejects(within(5_000, nothing, run), { code: "protocol" }, nothing);
  }
  const a = agent(t, "", { connection: c, threadId: "u" });
  const run = a.runAgent({ runId: "s" });
  let conn = await server.next();
  await conn.frame();
  conn.send({ ...started, threadId: "u", runId: "s" });
  conn.socket.terminate();
  await assert.rejects(run, { code: "truncated" });
  const joined = a.connectAgent();
  conn = await server.next();
  assert.equal(await conn.closed, 1000);
  assert.deepEqual(conn.frames, []);
  await joined;
});

test("a RUN_ERROR behind RUN_FINISHED of a bare run counts, and nothing else there does", async (t) => {
  const late = { type: "RUN_ERROR", message: "late" };
  for (const { behind, want } of [
    { behind: [late], want: ["RUN_STARTED", "RUN_FINISHED", "RUN_ERROR"] },
    { behind: [late, late], want: ["RUN_STARTED", "RUN_FINISHED", "RUN_ERROR"] },
    { behind: [{ type: "RAW", event: 1 }, late], want: ["RUN_STARTED", "RUN_FINISHED"] },
    { behind: [7], want: ["RUN_STARTED", "RUN_FINISHED"] },
    { behind: [], want: ["RUN_STARTED", "RUN_FINISHED"] },
  ]) {
    const server = await fake(t, { knows: false });
    const a = agent(t, "", { connection: connection(t, server.ws, { bare: true }), threadId: "t" });
    const events = [];
    const run = a.runAgent({ runId: "r" }, { onEvent: ({ event }) => void events.push(event.type) });
    const conn = await server.next();
    await conn.frame();
    const tcp = conn.socket._socket; // all in one segment, so that it comes in one piece
    tcp.cork();
    conn.send(started, finished, ...behind);
    tcp.uncork();
    await within(5_000, "the end", run);
    assert.deepEqual(events, want);
    assert.equal(await conn.closed, 1000);
  }
});
