// The package @agloop/client in Node against a server that compresses: runs over connections that are cut, and viewers that come late.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import { agent, connection, say, texts, thread, when } from "./lib/agloop.mjs";
import { gate, play, says, scripted } from "./lib/scripted.mjs";
import { relay } from "./lib/wire.mjs";

let server;
before(async () => (server = await scripted("127.0.0.1:0", "--deflate")));
after(() => server.stop());

const sockets = [];

// Counting is ws as the package uses it, with what was agreed on and what came: bytes of the wire, and of messages.
class Counting extends WebSocket {
  plain = 0;
  constructor(url, protocols) {
    super(url, protocols, { perMessageDeflate: { threshold: 0 } });
    sockets.push(this);
    this.on("upgrade", ({ headers }) => (this.agreed = headers["sec-websocket-extensions"]));
    this.on("open", () => {
      this.below = this._socket;
      this.head = this.below.bytesRead;
    });
    this.on("message", (data) => (this.plain += data.length));
  }
  wire = () => this.below.bytesRead - this.head;
}

const assistants = (a) => texts(a).filter((m) => m.startsWith("assistant"));
const words = (name, n) => Array.from({ length: n }, (_, i) => `${name} says ${i}. `);
const told = (name, n) => `assistant: ${words(name, n).join("")}`;
const has = (text) => (a) => assistants(a).some((m) => m.includes(text));

let names = 0;
const named = (what) => `${what}-${++names}`;

test("a run is compressed, and goes on over connections that are cut", async (t) => {
  const between = await relay(server.host);
  t.after(() => between.close());
  sockets.length = 0;
  const a = agent(t, between.ws, { WebSocket: Counting });
  say(a, "hello");
  const gates = [named("gate"), named("gate"), named("gate")];
  const steps = gates.flatMap((name, i) => [says(`m${i}`, ...words(name, 300)), gate(name)]);
  const run = a.runAgent(play(...steps));
  for (const [i, name] of gates.entries()) {
    await when(a, `m${i}`, has(`${name} says 299.`));
    between.cut();
    await server.open(name);
  }
  await run;
  assert.deepEqual(assistants(a), gates.map((name) => told(name, 300)));
  assert.ok(sockets.length >= 4, `${sockets.length} connections`);
  for (const s of sockets) assert.equal(s.agreed, "permessage-deflate");
  const [wire, plain] = [sockets[0].wire(), sockets[0].plain];
  assert.ok(plain > 20_000 && wire < plain * 0.4, `${wire} bytes for ${plain}`);
});

test("many viewers, each of which comes late to a window of its own", async (t) => {
  sockets.length = 0;
  const threadId = thread();
  const credentials = () => ({ query: { user: "ann" } });
  const a = agent(t, server.ws, { threadId, WebSocket: Counting, credentials });
  const gates = Array.from({ length: 8 }, () => named("gate"));
  const run = a.runAgent(play(...gates.flatMap((name, i) => [says(`m${i}`, ...words(name, 100)), gate(name)])));
  const viewers = [];
  for (const [i, name] of gates.entries()) {
    await when(a, `m${i}`, has(`${name} says 99.`));
    for (let k = 0; k < 3; k++) {
      const v = agent(t, server.ws, { threadId, WebSocket: Counting, credentials });
      viewers.push({ v, joined: v.connectAgent() });
      await when(v, `m${i} late`, has(`${name} says 99.`));
    }
    await server.open(name);
  }
  await run;
  for (const { v, joined } of viewers) {
    await joined;
    assert.deepEqual(assistants(v), gates.map((name) => told(name, 100)));
  }
  assert.equal(sockets.length, 25);
  for (const s of sockets) {
    assert.equal(s.agreed, "permessage-deflate");
    assert.ok(s.wire() < s.plain * 0.6, `${s.wire()} bytes for ${s.plain}`);
  }
});

test("several runs on one connection", async (t) => {
  const c = connection(t, server.ws, { WebSocket: Counting });
  const agents = Array.from({ length: 3 }, () => agent(t, server.ws, { connection: c }));
  await Promise.all(agents.map((a, i) => a.runAgent(play(says("m", ...words(`run ${i}`, 400))))));
  for (const [i, a] of agents.entries()) assert.deepEqual(assistants(a), [told(`run ${i}`, 400)]);
});
