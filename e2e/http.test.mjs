// Stock clients of AG-UI over HTTP: the published HttpAgent in Node, judged by its own verifier, curl, and Node's HTTP/2.
import { HttpAgent } from "@ag-ui/client";
import { AGUI_MEDIA_TYPE, decode } from "@ag-ui/proto";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import http2 from "node:http2";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { ask } from "./lib/agent.mjs";
import { agent as agloop, say, texts, when } from "./lib/agloop.mjs";
import { judge } from "./lib/judge.mjs";
import { launch, serve, within } from "./lib/program.mjs";
import { asks, calls, event, gate, play, says, scripted } from "./lib/scripted.mjs";

let server;
before(async () => (server = await scripted()));
after(() => server.stop());

let names = 0;
const name = (what) => `${what}-http-${process.pid}-${++names}`;
const headers = { Authorization: "Bearer kim" };
const stock = (config) => new HttpAgent({ url: `${server.http}/agui`, threadId: name("thread"), headers, ...config });

// seen resolves when an agent has a text.
function seen(a, text) {
  const there = new Promise((resolve) => {
    a.subscribe({ onMessagesChanged: ({ messages }) => messages.some((m) => String(m.content).includes(text)) && resolve() });
  });
  return within(10_000, text, there);
}

// ended resolves with why a run was stopped.
async function ended(runId) {
  const cause = async () => {
    for (;;) {
      const said = await server.stopped(runId);
      if (said) return said;
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return within(10_000, `the end of ${runId}`, cause());
}

// read is the events of a response, each judged, with its id.
async function read(response) {
  assert.deepEqual([response.status, response.headers.get("content-type")], [200, "text/event-stream"]);
  return parse(await response.text());
}

const parse = (text) =>
  text.split("\n\n").filter((part) => part.includes("data: ")).map((part) => {
    const [, id, data] = /^(?::\n)*(?:id: (.*)\n)?data: (.*)$/.exec(part);
    const e = JSON.parse(data);
    judge(e.input ? { ...e, input: { tools: [], context: [], ...e.input } } : e);
    return { id, event: e };
  });

test("agloop stream and agloop demo serve the stock client at /agui", async (t) => {
  const props = { rate: 100, burst: 2, delta: 10, seconds: 0.2 };
  for (const [command, forwardedProps, about, runs] of [["stream", props, /^.{400}$/s, 2], ["demo", {}, /question 1/, 1]]) {
    const program = await serve(command);
    t.after(() => program.stop());
    const a = new HttpAgent({ url: `${program.http}/agui` });
    for (let n = 1; n <= runs; n++) {
      const { newMessages } = await ask(a, `question ${n}`, { forwardedProps });
      assert.match(newMessages.map((m) => m.content).join("\n"), about);
    }
    assert.equal(a.messages.filter((m) => m.role === "user").length, runs);
  }
});

test("a frontend's tool is called, and its result is the second input's", async () => {
  const a = stock();
  const tools = [{ name: "look", description: "looks", parameters: { type: "object" } }];
  await ask(a, "what is there?", { tools, ...play(says("m1", "let me "), calls("c1", "look", { at: "x" }, "m1")) });
  assert.deepEqual(a.messages.at(-1).toolCalls.map((c) => [c.id, c.function.name, c.function.arguments]), [["c1", "look", '{"at":"x"}']]);
  a.addMessage({ id: "r1", role: "tool", toolCallId: "c1", content: "a door" });
  await a.runAgent({ tools, ...play(says("m2", "a door")) });
  assert.deepEqual(a.messages.map((m) => [m.role, m.content]), [
    ["user", "what is there?"], ["assistant", "let me "], ["tool", "a door"], ["assistant", "a door"],
  ]);
});

test("a question to the user holds the thread until it is answered", async () => {
  const a = stock();
  await ask(a, "delete it", play(says("m1", "may I?"), asks("i1")));
  assert.deepEqual(a.pendingInterrupts.map((i) => i.id), ["i1"]);
  await assert.rejects(a.runAgent(play()), /interrupt/);
  await a.runAgent({ ...play(says("m2", "done")), resume: [{ interruptId: "i1", status: "resolved", payload: { approved: true } }] });
  assert.deepEqual([a.pendingInterrupts, a.messages.at(-1).content], [[], "done"]);
});

test("state comes whole and in pieces, and an error of the agent is an event", async () => {
  const a = stock({ initialState: { list: [1] } });
  const state = (delta) => event("STATE_DELTA", { delta });
  await a.runAgent(play(state([{ op: "add", path: "/list/-", value: 2 }]), event("STATE_SNAPSHOT", { snapshot: { list: [3], big: 9007199254740991 } }), state([{ op: "replace", path: "/list/0", value: null }])));
  assert.deepEqual(a.state, { list: [null], big: 9007199254740991 });
  const errors = [];
  await a.runAgent(play(says("m1", "so far"), { fail: "the model is gone" }), { onRunErrorEvent: ({ event: e }) => void errors.push(e.message) });
  assert.equal(errors.length, 1);
  assert.equal(a.messages.at(-1).content, "so far", "what came before is there");
});

test("what is refused has a status, and its body says why", async () => {
  const failure = async (a, parameters) => {
    const errors = [];
    await a.runAgent(parameters, { onRunFailed: ({ error }) => (errors.push(error), { stopPropagation: true }) });
    return [errors[0].status, errors[0].payload];
  };
  const [status, payload] = await failure(stock(), { runId: "r".repeat(129) });
  assert.deepEqual([status, payload.code, payload.field], [400, "invalid_input", "runId"]);
  assert.match(payload.message, /128/);
  const [refused, why] = await failure(stock({ headers: { Authorization: "Bearer nobody" } }), {});
  assert.deepEqual([refused, why.code, why.message], [401, "refused", "nobody may"]);
  const [threadId, runId] = [name("thread"), name("run")];
  await stock({ threadId }).runAgent({ runId, ...play(says("m", "x")) });
  const [conflict, other] = await failure(stock({ threadId }), { runId, ...play(says("m", "y")) });
  assert.deepEqual([conflict, other.code], [409, "conflict"]);
  assert.equal(await server.started(runId), 1);
});

// Who only unsubscribes keeps the response open: version 1.0.0 of the client does not pass that on.
test("abortRun, a controller that is given, and a response that is closed stop the run at the server", async () => {
  const steps = play(says("m1", "on and on"), { wait: true });
  const a = stock();
  for (const abortController of [undefined, new AbortController()]) {
    const runId = name("run");
    const there = seen(a, "on and on");
    const run = a.runAgent({ runId, abortController, ...steps });
    await there;
    if (abortController) abortController.abort();
    else a.abortRun();
    await run;
    assert.match(await ended(runId), /nobody follows/);
    a.setMessages([]);
  }
  const runId = name("run");
  const body = JSON.stringify({ threadId: name("thread"), runId, messages: [], ...steps });
  const response = await fetch(a.url, { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body });
  const reader = response.body.getReader();
  for (let text = ""; !text.includes("on and on"); ) text += new TextDecoder().decode((await reader.read()).value);
  await reader.cancel();
  assert.match(await ended(runId), /nobody follows/);
});

test("agloop run prints a run over HTTP, and stops it when it is stopped itself", async () => {
  const props = JSON.stringify(play(says("m1", "good ", "day"), { wait: true }).forwardedProps);
  const run = launch("run", "--url", `${server.http}/agui`, "--props", props);
  await run.printed(5);
  run.signal("SIGINT");
  const { code, stdout } = await run.end();
  const events = stdout.trim().split("\n").map((line) => judge(JSON.parse(line)));
  assert.deepEqual([code === 0, events[2].delta + events[3].delta], [false, "good day"]);
  assert.match(await ended(events[0].runId), /cancelled/);
});

test("several runs at once", async () => {
  const one = name("gate");
  const agents = Array.from({ length: 8 }, () => stock());
  const half = agents.map((a) => seen(a, "first"));
  const runs = agents.map((a, i) => a.runAgent(play(says("m1", "first"), gate(one), says("m2", `last ${i}`))));
  await Promise.all(half);
  await server.open(one);
  await Promise.all(runs);
  agents.forEach((a, i) => assert.deepEqual(a.messages.map((m) => m.content), ["first", `last ${i}`]));
});

test("a run that was started over WebSocket is joined by fetch, and cancelled by curl", async (t) => {
  const a = agloop(t, server.ws, { credentials: () => ({ query: { user: "lea" } }), threadId: name("thread/ü") });
  const runId = name("run 1");
  say(a, "go");
  const run = a.runAgent({ runId, ...play(says("m1", "one"), { wait: true }) });
  await when(a, "one", () => texts(a).length === 2);
  const url = `${server.http}/agui/${encodeURIComponent(a.threadId)}/${encodeURIComponent(runId)}`;
  const joined = await fetch(`${url}?user=lea`);
  const { stdout } = await promisify(execFile)("curl", ["-sS", "-i", "-X", "DELETE", "-H", "Authorization: Bearer lea", url]);
  assert.match(stdout, /^HTTP\/1\.1 204 /);
  await run;
  const events = await read(joined);
  assert.deepEqual(events.map((e) => e.event.type), ["RUN_STARTED", "STATE_SNAPSHOT", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "RUN_FINISHED"]);
  assert.deepEqual(events.at(-1).event.outcome, { type: "cancelled" });
  assert.match(await server.stopped(runId), /cancelled/);
  const again = await fetch(`${url}?user=lea&after=${events[3].id}`);
  assert.deepEqual((await read(again)).map((e) => e.id), events.slice(4).map((e) => e.id));
  const other = await fetch(url, { headers });
  assert.deepEqual([other.status, (await other.json()).code], [404, "gone"]);
});

// inProto is what a stock client does that names the framing among what it takes.
class ProtoAgent extends HttpAgent {
  requestInit(input) {
    const init = super.requestInit(input);
    return { ...init, headers: { ...init.headers, Accept: `${AGUI_MEDIA_TYPE}, text/event-stream;q=0.5` } };
  }
}

test("protobuf is for who asks for it: the stock pipeline reads it, and it says what SSE says", async () => {
  const a = new ProtoAgent({ url: `${server.http}/agui`, threadId: name("thread"), headers, initialState: { n: 1 } });
  const runId = name("run");
  await a.runAgent({
    runId, ...play(says("m1", "grüße ", "🙂"), calls("c1", "look", { at: "x" }, "m1"), event("STATE_DELTA", { delta: [{ op: "add", path: "/m", value: [null, 2.5] }] }), event("CUSTOM", { name: "x", value: { y: [] } })),
  });
  assert.deepEqual([a.messages[0].content, a.state], ["grüße 🙂", { n: 1, m: [null, 2.5] }]);
  const url = `${server.http}/agui/${a.threadId}/${runId}`;
  const text = await read(await fetch(url, { headers }));
  const response = await fetch(url, { headers: { ...headers, Accept: AGUI_MEDIA_TYPE } });
  assert.equal(response.headers.get("content-type"), AGUI_MEDIA_TYPE);
  const bytes = new DataView(await response.arrayBuffer());
  const events = [];
  for (let at = 0; at < bytes.byteLength; ) {
    const size = bytes.getUint32(at);
    events.push(decode(new Uint8Array(bytes.buffer, at + 4, size)));
    at += 4 + size;
  }
  assert.deepEqual(events.map((e) => e.type), text.map((e) => e.event.type));
  const plain = (e) => JSON.parse(JSON.stringify(e));
  for (const [i, e] of events.entries()) if (e.type !== "RUN_STARTED") assert.deepEqual(plain(e), text[i].event);
});

test("HTTP/2 over TLS: runs share a connection, and a stream that is reset leaves the others", async (t) => {
  const stream = await serve("stream", "--tls-self-signed");
  t.after(() => stream.stop());
  const session = http2.connect(stream.http.replace("http:", "https:"), { rejectUnauthorized: false });
  t.after(() => session.destroy());
  const start = (runId, props) => {
    const request = session.request({ ":method": "POST", ":path": "/agui", "content-type": "application/json", accept: "text/event-stream" });
    request.end(JSON.stringify({ threadId: runId, runId, messages: [], forwardedProps: props }));
    return request.setEncoding("utf8");
  };
  const long = start(name("run"), { rate: 50, burst: 1, delta: 8, seconds: 60 });
  const [head] = await within(5_000, "a response", once(long, "response"));
  assert.deepEqual([head[":status"], head["content-type"]], [200, "text/event-stream"]);
  await within(5_000, "an event before the run ends", once(long, "data"));
  const texts = await Promise.all(
    Array.from({ length: 4 }, async () => {
      let text = "";
      for await (const piece of start(name("run"), { rate: 100, burst: 2, delta: 8, seconds: 0.2 })) text += piece;
      return text;
    }),
  );
  for (const text of texts) {
    const events = parse(text).map((e) => e.event);
    assert.equal(events.at(-1).type, "RUN_FINISHED");
    assert.equal(events.map((e) => e.delta ?? "").join("").length, 100 * 0.2 * 2 * 8);
  }
  long.close(http2.constants.NGHTTP2_CANCEL);
  await within(5_000, "its end", once(long, "close"));
  assert.equal(session.destroyed, false);
});
