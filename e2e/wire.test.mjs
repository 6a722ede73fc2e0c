// What the official client would never send, and how the programs end.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { invoke, serve, within } from "./lib/program.mjs";
import { connect, input } from "./lib/wire.mjs";

// To an empty message the agent has least to say.
const brief = " ";

let demo;
before(async () => {
  demo = await serve("demo");
});
after(() => demo.stop());

const stats = async () => (await fetch(`${demo.http}/stats`)).json();

test("a refused input is answered by RUN_ERROR alone, and the connection stays good", async (t) => {
  const wire = await connect(demo.ws);
  t.after(() => wire.close());
  for (const bad of [
    {},
    { threadId: 1, runId: "r", messages: [] },
    { threadId: "t", runId: "r" },
    { threadId: "t", runId: "r", messages: [{ id: "m", role: "user", content: null }] },
    { threadId: "t", runId: "r", messages: [], protocolVersion: "2.0" },
    { threadId: "t", runId: "r", messages: [], resume: [{ interruptId: 1, status: "resolved" }] },
    [],
    null,
    "text",
    7,
  ]) {
    wire.send(JSON.stringify(bad));
    const event = await wire.event();
    assert.equal(event.type, "RUN_ERROR", JSON.stringify(bad));
    assert.equal(event.code, "invalid_input");
    assert.ok(event.message);
  }
  wire.send(JSON.stringify(input(brief)));
  const events = await wire.until("RUN_FINISHED");
  assert.equal(events[0].type, "RUN_STARTED");
});

test("unknown members and a newer minor version are no reason to refuse", async (t) => {
  const wire = await connect(demo.ws);
  t.after(() => wire.close());
  wire.send(JSON.stringify(input(brief, { protocolVersion: "1.99", surprise: { any: 1 }, toString: "x" })));
  assert.equal((await wire.event()).type, "RUN_STARTED");
  await wire.until("RUN_FINISHED");
});

test("inputs sent ahead are run in order", async (t) => {
  const wire = await connect(demo.ws);
  t.after(() => wire.close());
  const inputs = [input(brief), input(brief)];
  for (const i of inputs) wire.send(JSON.stringify(i));
  for (const { runId } of inputs) {
    const events = await wire.until("RUN_FINISHED");
    assert.equal(events[0].type, "RUN_STARTED");
    assert.equal(events[0].runId, runId);
    assert.equal(events.at(-1).runId, runId);
  }
});

for (const [what, data] of [
  ["a frame that is not JSON", "{"],
  ["an empty frame", ""],
  ["a binary frame", Buffer.from('{"threadId":"t","runId":"r","messages":[]}')],
]) {
  test(`${what} closes with 1003`, async () => {
    const wire = await connect(demo.ws);
    wire.send(data);
    assert.equal((await wire.closed()).code, 1003);
  });
}

test("HTTP answers beside the WebSocket", async () => {
  const ping = await fetch(`${demo.http}/ping`);
  assert.deepEqual([ping.status, await ping.json()], [200, { status: "Healthy" }]);
  const page = await fetch(`${demo.http}/`);
  assert.match(page.headers.get("content-security-policy"), /default-src 'none'/);
  assert.match(await page.text(), /<title>agloop demo<\/title>/);
  assert.equal((await fetch(`${demo.http}/nothing-here`)).status, 404);
  assert.equal((await fetch(`${demo.http}/ws`)).status, 426);
  const figures = await stats();
  for (const name of ["connections", "runs", "messagesIn", "framesOut", "bytesOut", "writes"])
    assert.equal(typeof figures[name], "number", name);
});

test("the figures count what is on the wire", async () => {
  const before = await stats();
  const wire = await connect(demo.ws);
  wire.send(JSON.stringify(input(brief)));
  await wire.event();
  const during = await stats();
  assert.equal(during.connections, before.connections + 1);
  assert.equal(during.runs, before.runs + 1);
  const rest = await wire.until("RUN_FINISHED");
  const after = await stats();
  assert.ok(after.framesOut - before.framesOut >= rest.length + 1);
  assert.equal(after.messagesIn - before.messagesIn, 1);
  wire.close();
  await wire.closed();
});

test("SIGTERM ends the runs in flight as cancelled and the program with 0", async () => {
  const own = await serve("demo");
  const wire = await connect(own.ws);
  wire.send(JSON.stringify(input("you will not finish this")));
  await wire.until("TEXT_MESSAGE_CONTENT");
  const ended = own.stop();
  const events = await wire.until("RUN_FINISHED");
  assert.deepEqual(events.at(-1).outcome, { type: "cancelled" });
  assert.ok(events.some((e) => e.type === "TEXT_MESSAGE_END"), "what was open is closed first");
  assert.equal((await wire.closed()).code, 1001);
  assert.deepEqual(await ended, { code: 0, signal: null, stderr: "" });
});

test("a second signal ends the program at once", async (t) => {
  const own = await serve("echo");
  const wire = await connect(`ws://${own.host}/`);
  t.after(() => wire.terminate());
  wire.pause(); // never answers the close frame, so the shutdown has somebody to wait for
  own.stop();
  const refused = async () => {
    for (;;) {
      try {
        await fetch(`http://${own.host}/ping`);
      } catch {
        return; // the first signal has been understood
      }
    }
  };
  await within(2_000, "end of accepting", refused());
  const { code, stderr } = await within(1_000, "end at the second signal", own.stop());
  assert.equal(code, 1);
  assert.match(stderr, /second signal/);
});

test("echo sends text and binary back as they came, on any path", async (t) => {
  const echo = await serve("echo", "--loops", "1");
  t.after(() => echo.stop());
  const wire = await connect(`ws://${echo.host}/any/path?x=1`);
  t.after(() => wire.close());
  const large = Buffer.alloc(3 << 20, "agloop ");
  for (const [data, isBinary] of [["grüße 🙂", false], ["", false], [Buffer.from([0, 255, 1]), true], [large, true]]) {
    wire.send(data);
    const frame = await wire.frame();
    assert.equal(frame.isBinary, isBinary);
    assert.ok(frame.data.equals(Buffer.from(data)));
  }
});

test("agloop run prints one event per line and tells how it went", async (t) => {
  const stream = await serve("stream");
  t.after(() => stream.stop());
  const good = await invoke("run", "--url", demo.ws, "--message", brief, "--thread", "thread-cli");
  assert.equal(good.code, 0, good.stderr);
  const lines = good.stdout.trimEnd().split("\n").map((l) => JSON.parse(l));
  assert.equal(lines[0].type, "RUN_STARTED");
  assert.equal(lines[0].threadId, "thread-cli");
  assert.equal(lines.at(-1).type, "RUN_FINISHED");

  const failed = await invoke("run", "--url", stream.ws, "--props", '{"rate":-1}');
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /rate/);
  assert.equal(JSON.parse(failed.stdout.trimEnd().split("\n").at(-1)).type, "RUN_ERROR");

  const late = await invoke("run", "--url", stream.ws, "--timeout", "1s"); // by default a stream takes a minute
  assert.equal(late.code, 1);
  assert.match(late.stderr, /deadline|timeout/);
  assert.doesNotMatch(late.stdout, /RUN_FINISHED/);

  const nowhere = await invoke("run", "--url", "ws://127.0.0.1:1/ws");
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.stderr, /refused/);
});

test("wrong use exits with 2", async () => {
  for (const args of [[], ["nonsense"], ["echo", "--nonsense"], ["demo", "leftover"]])
    assert.equal((await invoke(...args)).code, 2, args.join(" "));
  const help = await invoke("help");
  assert.equal(help.code, 0);
  for (const command of ["demo", "echo", "stream", "run"]) assert.match(help.stdout, new RegExp(`^  ${command} `, "m"));
});
