// permessage-deflate with peers that keep one inflater for a connection: ws, which has that of zlib, and Chromium.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import { deflated, inPage, mixed } from "./lib/deflated.mjs";
import { pages } from "./lib/pages.mjs";
import { serve, within } from "./lib/program.mjs";

const seed = Number(process.env.DEFLATE_SEED ?? 7);
const hosts = {};
let web;
before(async () => {
  web = await pages(`${inPage()}\nObject.assign(window, { mixed });`);
  hosts.keeping = await deflated("--takeover");
  hosts.asking = await deflated();
});
after(async () => {
  await web.close();
  await Promise.all(Object.values(hosts).map((h) => h.stop()));
});

// flow has ws and a host send each other count messages. Some of ours are in fragments, with pings between, and some plain.
async function flow(url, { offer, count, agreed, push = true, pause, ...options }) {
  const socket = new WebSocket(url, { perMessageDeflate: { threshold: 0, ...offer }, ...options });
  const pings = { sent: 0, back: new Set() };
  let last = () => {};
  const mix = mixed({
    seed,
    count,
    send(m, below) {
      const compress = below(4) > 0;
      if (below(3) > 0) return socket.send(m, { compress });
      // A character may be cut in two: a fragment is bytes.
      const bytes = Buffer.from(m);
      const at = below(bytes.length + 1);
      const binary = typeof m !== "string";
      socket.send(bytes.subarray(0, at), { compress, binary, fin: false });
      if (below(2) > 0) socket.ping(String(++pings.sent));
      if (below(2) > 0) socket.send(Buffer.alloc(0), { compress, binary, fin: false });
      socket.send(bytes.subarray(at), { compress, binary, fin: true });
    },
  });
  socket.on("pong", (data) => {
    const n = Number(data); // one may stand for the pings before it, and overtake their pongs
    if (pings.back.has(n) || n > pings.sent) mix.fail(`pong ${n}`);
    pings.back.add(n);
    last();
  });
  let answer;
  socket.on("upgrade", ({ headers }) => (answer = headers["sec-websocket-extensions"]));
  socket.on("error", (e) => mix.fail(e.message));
  socket.on("close", (code, reason) => mix.fail(`closed with ${code} ${reason}`));
  await within(15_000, "open", new Promise((resolve) => socket.on("open", resolve)));
  assert.equal(answer.replaceAll(/\s/g, ""), agreed);
  let came = 0;
  const wire = { bytes: () => socket._socket.bytesRead, plain: 0 };
  socket.on("message", async (data, isBinary) => {
    wire.plain += data.length;
    mix.received(isBinary ? new Uint8Array(data) : data.toString());
    if (++came === pause) {
      socket.pause();
      await hosts.keeping.full();
      socket.resume();
    }
  });
  if (push) socket.send(`push ${count} ${seed}`, { compress: true });
  else mix.sums.pushed = count;
  mix.begin();
  const sums = await within(60_000, `${count} messages`, mix.end).catch((e) => { throw new Error(`${e.message}: ${JSON.stringify(mix.sums)}`); });
  await within(5_000, "the last pong", new Promise((resolve) => (last = () => pings.back.has(pings.sent) && resolve())()));
  assert.ok(pings.sent > 0);
  socket.removeAllListeners("close");
  const closed = new Promise((resolve) => socket.on("close", resolve));
  socket.close(1000);
  assert.equal(await within(5_000, "close", closed), 1000);
  return { sums, came: wire.bytes() / wire.plain };
}

const plainly = "permessage-deflate";
const offers = [
  { agreed: `${plainly};client_no_context_takeover`, host: "asking" },
  { agreed: `${plainly};server_no_context_takeover`, offer: { serverNoContextTakeover: true } },
  { agreed: `${plainly};client_no_context_takeover`, offer: { clientNoContextTakeover: true } },
  { agreed: `${plainly};server_no_context_takeover;client_no_context_takeover`, offer: { serverNoContextTakeover: true }, host: "asking" },
  { agreed: `${plainly};server_max_window_bits=9`, offer: { serverMaxWindowBits: 9 } },
  { agreed: `${plainly};client_no_context_takeover;server_max_window_bits=12`, offer: { serverMaxWindowBits: 12, clientMaxWindowBits: 10 }, host: "asking" },
];

test("10,000 messages each way, from several goroutines, with a client that stops reading, through one inflater of zlib", async () => {
  const { sums, came } = await flow(hosts.keeping.ws, { count: 10_000, agreed: plainly, pause: 200 });
  assert.deepEqual(sums, { echoed: 10_000, pushed: 10_000 });
  assert.ok(came < 0.5, `${came} of the bytes came`);
});

for (const { agreed, offer, host = "keeping" } of offers) {
  test(`messages of all kinds: ${agreed}`, async () => {
    await flow(hosts[host].ws, { count: 1_600, agreed, offer });
  });
}

test("a client that offers nothing gets nothing", async () => {
  const socket = new WebSocket(hosts.keeping.ws, { perMessageDeflate: false });
  await within(15_000, "open", new Promise((resolve) => socket.on("open", resolve)));
  assert.equal(socket.extensions, "");
  const text = "E plain ".repeat(1000);
  const back = new Promise((resolve) => socket.on("message", (data) => resolve(data.toString())));
  socket.send(text);
  assert.equal(await within(5_000, "echo", back), text); // ws would refuse RSV1
  assert.ok(socket._socket.bytesRead > text.length);
  socket.close();
});

test("over TLS, through one inflater of zlib", async (t) => {
  const echo = await serve("echo", "--deflate-takeover", "--tls-self-signed");
  t.after(() => echo.stop());
  const { sums } = await flow(`wss://${echo.host}/`, { count: 1_600, agreed: plainly, push: false, rejectUnauthorized: false });
  assert.equal(sums.echoed, 1_600);
});

// talk has a page and a host send each other count messages.
function talk(page, url, { count, push = true }) {
  page.setDefaultTimeout(60_000);
  return page.evaluate(
    async ({ url, seed, count, push }) => {
      const socket = new WebSocket(url);
      socket.binaryType = "arraybuffer";
      const mix = mixed({ seed, count, send: (m) => socket.send(m) });
      await new Promise((resolve, reject) => ([socket.onopen, socket.onerror] = [resolve, () => reject(new Error("no connection"))]));
      socket.onmessage = ({ data }) => mix.received(typeof data === "string" ? data : new Uint8Array(data));
      socket.onclose = ({ code, reason }) => mix.fail(`closed with ${code} ${reason}`);
      if (push) socket.send(`push ${count} ${seed}`);
      else mix.sums.pushed = count;
      mix.begin();
      const sums = await mix.end;
      const closed = new Promise((resolve) => (socket.onclose = ({ code, wasClean }) => resolve({ code, wasClean })));
      socket.close(1000);
      return { sums, extensions: socket.extensions, ...(await closed) };
    },
    { url, seed, count, push },
  );
}

const clean = (count, extensions) => ({ sums: { echoed: count, pushed: count }, extensions, code: 1000, wasClean: true });

test("10,000 messages each way with Chromium, which keeps its context", async (t) => {
  assert.deepEqual(await talk(await web.open(t), hosts.keeping.ws, { count: 10_000 }), clean(10_000, plainly));
});

test("Chromium, which is asked not to keep its context", async (t) => {
  assert.deepEqual(await talk(await web.open(t), hosts.asking.ws, { count: 1_600 }), clean(1_600, `${plainly}; client_no_context_takeover`));
});

test("over TLS, with Chromium", async (t) => {
  const echo = await serve("echo", "--deflate-takeover", "--tls-self-signed");
  t.after(() => echo.stop());
  const page = await web.open(t, { ignoreHTTPSErrors: true });
  assert.deepEqual(await talk(page, `wss://${echo.host}/`, { count: 1_600, push: false }), clean(1_600, plainly));
});
