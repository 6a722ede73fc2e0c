// The package @agloop/client in Node, on connections that are cut, held up, split and doubled: nothing is lost, and nothing comes twice.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { agent, connection, say, thread, when } from "./lib/agloop.mjs";
import { chaos } from "./lib/chaos.mjs";
import { within } from "./lib/program.mjs";
import { calls, event, gate, play, says, scripted } from "./lib/scripted.mjs";
import { random } from "./lib/streams.mjs";

const seed = Number(process.env.CHAOS_SEED ?? Date.now() % 1e9);
const users = 7;
const runsOf = 6;

let server;
before(async () => (server = await scripted()));
after(() => server.stop());

// script is a run with what it makes: messages, and a state that would show what comes twice.
function script(name, below) {
  const [steps, messages, gates] = [[], [], []];
  for (let i = 0; i < 2; i++) {
    const id = `${name}-m${i}`;
    const deltas = Array.from({ length: 1 + below(20) }, (_, n) => `${n}:${"x".repeat(below(40))} `);
    const [start, ...rest] = says(id, ...deltas);
    const at = below(rest.length);
    gates.push(`${id}-gate`);
    steps.push(start, ...rest.slice(0, at), event("STATE_DELTA", { delta: [{ op: "add", path: "/seen/-", value: id }] }), gate(`${id}-gate`), ...rest.slice(at));
    steps.push(...calls(`${id}-call`, "look", { at: id }, id), event("TOOL_CALL_RESULT", { messageId: `${id}-result`, toolCallId: `${id}-call`, content: id }));
    const toolCalls = [{ id: `${id}-call`, type: "function", function: { name: "look", arguments: JSON.stringify({ at: id }) } }];
    messages.push({ id, role: "assistant", content: deltas.join(""), toolCalls }, { id: `${id}-result`, role: "tool", content: id, toolCallId: `${id}-call` });
  }
  return { steps, messages, gates };
}

test("12 runs over HTTP on connections that are cut, held up, split and doubled", { timeout: 60_000 }, async (t) => {
  t.diagnostic(`CHAOS_SEED=${seed}`);
  const counts = {};
  let clients = 0;
  const user = async (n) => {
    const numbers = random(seed * 1000 + n);
    const below = (k) => Math.floor(numbers() * k);
    const threadId = thread();
    const proxy = await chaos(server.host, random(seed * 1000 + 500 + ++clients), counts);
    t.after(() => proxy.close());
    const named = n % 3 > 0;
    const a = agent(t, proxy.ws, {
      transport: "sse", retryFor: Infinity, threadId, initialState: { seen: [] }, ...(named && { credentials: () => ({ token: threadId }) }),
    });
    a.connection.state.subscribe(({ phase, attempt }) => phase === "waiting" && attempt > 2 && setImmediate(() => a.connection.retry()));
    for (let k = 0; k < 3; k++) {
      const runId = `${threadId}-run-${k}`;
      const { steps, messages, gates } = script(runId, below);
      const held = [a.messages.length, a.state.seen.length];
      for (const g of gates) await server.open(g);
      await within(30_000, `run ${runId}`, a.runAgent({ ...play(steps), runId }));
      assert.equal(await server.started(runId), 1);
      assert.deepEqual(a.messages.slice(held[0]), messages);
      assert.deepEqual(a.state.seen.slice(held[1]), gates.map((g) => g.replace(/-gate$/, "")));
    }
    assert.equal(a.connection.streams.size, 0);
  };
  await Promise.all(Array.from({ length: 4 }, (_, n) => user(n)));
  t.diagnostic(`connections: ${Object.entries(counts).sort().map(([fate, n]) => `${n} ${fate}`).join(", ")}`);
});

test(`${users * runsOf} runs on connections that are cut, held up, split and doubled`, { timeout: 60_000 }, async (t) => {
  t.diagnostic(`CHAOS_SEED=${seed}`);
  const counts = {};
  let clients = 0;
  const way = async () => {
    const proxy = await chaos(server.host, random(seed * 100 + ++clients), counts);
    t.after(() => proxy.close());
    return proxy.ws;
  };
  const user = async (n) => {
    const numbers = random(seed * 100 + 99 - n);
    const below = (k) => Math.floor(numbers() * k);
    const threadId = thread();
    // Every third is anonymous: its viewers share its connection's secret, or its connection.
    const named = n % 3 > 0;
    const options = { transport: "websocket", retryFor: Infinity, silence: 150, ...(named && { credentials: () => ({ query: { user: threadId } }) }) };
    const writer = agent(t, await way(), { ...options, threadId, initialState: { seen: [] }, live: n % 2 > 0 });
    const viewers = [writer];
    const follows = [];
    const ends = new Map();
    const look = (a) => {
      // A user who does not wait long.
      a.connection.state.subscribe(({ phase, attempt }) => phase === "waiting" && attempt > 2 && setImmediate(() => a.connection.retry()));
      viewers.includes(a) || viewers.push(a);
      ends.set(a, []);
      a.subscribe({ onRunFinishedEvent: ({ event: e }) => void ends.get(a).push(e.runId) });
    };
    const follow = (a) => follows.push(a.connectAgent());
    look(writer);
    if (writer.live) follow(writer);
    const wanted = [];
    const seen = [];
    for (let k = 0; k < runsOf; k++) {
      const runId = `${threadId}-run-${k}`;
      const { steps, messages, gates } = script(runId, below);
      say(writer, `question ${k}`);
      wanted.push(writer.messages.at(-1), ...messages);
      seen.push(...gates.map((g) => g.replace(/-gate$/, "")));
      const run = writer.runAgent({ ...play(steps), runId });
      for (const [i, g] of gates.entries()) {
        await when(writer, `state ${g}`, ({ state }) => state.seen?.includes(messages[2 * i].id));
        await server.open(g);
      }
      await within(30_000, `run ${runId}`, run);
      if (k === 1 || k === 3) {
        const viewer = agent(t, await way(), { ...options, secret: writer.connection.secret, threadId, live: true });
        look(viewer);
        follow(viewer);
      }
    }
    for (const a of viewers) {
      await when(a, `the last run of user ${n}`, () => ends.get(a).includes(`${threadId}-run-${runsOf - 1}`));
      await a.detachActiveRun();
      assert.deepEqual(a.messages, wanted);
      assert.deepEqual(a.state, { seen });
      assert.deepEqual(ends.get(a), Array.from({ length: runsOf }, (_, k) => `${threadId}-run-${k}`), "each run has one end");
    }
    await within(30_000, `follows of user ${n}`, Promise.all(follows));
    for (const a of viewers) assert.equal(a.connection.requests.size, 0);
  };
  await Promise.all(Array.from({ length: users }, (_, n) => user(n)));
  t.diagnostic(`connections: ${Object.entries(counts).sort().map(([fate, n]) => `${n} ${fate}`).join(", ")}`);
});
