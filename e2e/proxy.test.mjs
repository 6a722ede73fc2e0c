// Real nginx and HAProxy, with the files that docs/deploy.md shows, in front of a server.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { host, within } from "./lib/program.mjs";
import { blocks, certificate, client, haproxy, nginx } from "./lib/proxy.mjs";
import { connect, input, refusal } from "./lib/wire.mjs";

const folder = mkdtempSync(join(tmpdir(), "agloop-proxy-"));
after(() => rmSync(folder, { recursive: true }));
const cert = certificate(folder);
const asClient = (options) => ({ ...client, ca: cert.ca, ...options });

const trusting = ["--trust", "127.0.0.1/32", "--hosts", "app.example"];
const inTCP = [...trusting, "--proxy-protocol", "--origins", "https://app.example"];

// Each way to a server: the proxy before it, and what the server needs for it.
const ways = {
  nginx: { args: trusting, proxy: (addr) => nginx(addr, cert) },
  haproxy: { args: trusting, proxy: (addr) => haproxy("http", addr, cert) },
  "nginx, mounted": { args: [...trusting, "--mounted"], proxy: (addr) => nginx(addr, cert) },
  "haproxy, mounted": { args: [...trusting, "--mounted"], proxy: (addr) => haproxy("http", addr, cert, { probe: "/ping" }) },
  "nginx, unix socket": {
    args: ["--trust", "127.0.0.1/32", "--addr", join(folder, "agloop.sock")],
    proxy: (addr) => nginx(addr, cert),
  },
  "nginx, TLS": { args: [...trusting, "--tls", cert.both], proxy: (addr) => nginx(addr, cert, true) },
  "haproxy, TLS": { args: [...trusting, "--tls", cert.both], proxy: (addr) => haproxy("http", addr, cert, { secure: true }) },
  "nginx, TLS, mounted": { args: [...trusting, "--tls", cert.both, "--mounted"], proxy: (addr) => nginx(addr, cert, true) },
  "haproxy, tcp": { args: inTCP, proxy: (addr) => haproxy("tcp", addr, cert) },
};

// begin starts a server with flags and a proxy before it. stop ends both.
async function begin(way) {
  const own = await host(...ways[way].args);
  const proxy = await ways[way].proxy(own.addr);
  return { own, proxy, stop: () => Promise.all([own.stop(), proxy.stop()]) };
}

// get asks for a path on a connection that the client keeps alive too.
const agent = new http.Agent({ keepAlive: true });
after(() => agent.destroy());
function get(base, path) {
  const asked = new Promise((resolve, reject) => {
    const request = http.get(base + path, asClient({ agent }), async (response) => {
      let text = "";
      for await (const part of response) text += part;
      resolve({ status: response.statusCode, text });
    });
    request.on("error", reject);
  });
  return within(5_000, `GET ${base}${path}`, asked);
}

async function open(t, url, options) {
  const wire = await connect(url, asClient(options));
  t.after(() => wire.terminate());
  return wire;
}

async function finish(wire) {
  wire.close();
  assert.equal((await wire.closed()).code, 1000);
}

for (const way of Object.keys(ways)) describe(way, () => {
  let own, proxy, stop;
  before(async () => ({ own, proxy, stop } = await begin(way)));
  after(() => stop?.());

  test("a WebSocket comes on connections that health checks have used", async (t) => {
    for (let round = 0; round < 8; round++) {
      const checks = await Promise.all(Array.from({ length: 6 }, () => get(proxy.http, "/ping")));
      assert.ok(checks.every((c) => c.status === 200 && c.text === '{"status":"Healthy"}'));
      const wires = await Promise.all(Array.from({ length: 4 }, () => open(t, proxy.ws)));
      assert.equal((await get(proxy.http, "/ping")).status, 200);
      wires[0].send(JSON.stringify(input("go")));
      assert.equal((await wires[0].event()).type, "RUN_STARTED");
      own.say("");
      await wires[0].until("RUN_FINISHED");
      await Promise.all(wires.map(finish));
    }
  });

  test("what is refused leaves nothing behind on a connection", async (t) => {
    for (let round = 0; round < 5; round++) {
      assert.equal((await get(proxy.http, "/ping")).status, 200);
      const strange = asClient({ origin: "https://evil.example" });
      assert.deepEqual(await refusal(`${proxy.ws}?refuse`, asClient()), { status: 401, text: "no token" });
      assert.deepEqual(await refusal(proxy.ws, strange), { status: 403, text: "origin not allowed" });
      assert.equal((await refusal(proxy.ws.replace("/ws", "/nothing"), asClient())).status, 404);
      assert.equal((await get(proxy.http, "/ws")).status, way.endsWith("mounted") ? 426 : 404); // asks for no upgrade
      const checks = await Promise.all(Array.from({ length: 4 }, () => get(proxy.http, "/ping")));
      assert.ok(checks.every((c) => c.status === 200));
      await finish(await open(t, proxy.ws));
    }
  });

  test("tokens arrive one by one", async (t) => {
    const wire = await open(t, proxy.ws);
    wire.send(JSON.stringify(input("go")));
    await wire.until("TEXT_MESSAGE_START");
    for (const token of ["none", " of", " them", " waits", " for", " another"]) {
      own.say(token); // the agent has it only when the one before has arrived
      assert.equal((await wire.event()).delta, token);
    }
    own.say("");
    await wire.until("RUN_FINISHED");
    await finish(wire);
  });

  test("the events of a run over HTTP arrive one by one", async () => {
    for (const base of [proxy.http, proxy.https]) {
      const body = JSON.stringify(input("go"));
      const options = { method: "POST", headers: { "Content-Type": "application/json", Accept: "text/event-stream" } };
      const request = (base.startsWith("https") ? https : http).request(`${base}/agui`, asClient(options));
      request.end(body);
      const [response] = await within(5_000, "a response", once(request, "response"));
      assert.deepEqual([response.statusCode, response.headers["content-type"]], [200, "text/event-stream"]);
      let text = "";
      let wake;
      response.setEncoding("utf8").on("data", (piece) => {
        text += piece;
        wake?.();
      });
      const said = async (what) => {
        while (!text.includes(what)) await new Promise((resolve) => (wake = resolve));
      };
      await within(5_000, "the start", said("TEXT_MESSAGE_START"));
      for (const token of ["none", " of", " them", " waits"]) {
        own.say(token); // the agent has it only when the one before has arrived
        await within(5_000, token, said(`"delta":"${token}"`));
      }
      own.say("");
      await within(5_000, "the end", once(response, "end"));
      assert.match(text, /"RUN_FINISHED"/);
    }
  });

  test("Authorize is told the client's address, and nobody can forge it", async (t) => {
    for (const headers of [
      {},
      { "X-Forwarded-For": "192.0.2.1" },
      { "X-Forwarded-For": "192.0.2.1, 127.0.0.1" },
      { "X-Forwarded-For": ["192.0.2.1", "127.0.0.1"] },
      { "X-Forwarded-For": "nonsense" },
      { Forwarded: "for=192.0.2.1", "X-Real-IP": "192.0.2.1" },
    ]) {
      const wire = await open(t, proxy.ws, { headers });
      assert.match(wire.headers["x-remote"], /^127\.0\.0\.2:\d+$/, JSON.stringify(headers));
      await finish(wire);
    }
  });

  if (way !== "haproxy, tcp")
    test("a page over TLS is of the server's own origin", async (t) => {
      const wire = await open(t, proxy.wss, { origin: proxy.https });
      assert.equal(wire.headers["x-scheme"], "https");
      await finish(wire);
      await finish(await open(t, proxy.ws, { origin: proxy.http }));
      for (const [url, origin, headers] of [
        [proxy.wss, proxy.https.replace("https", "http"), {}],
        [proxy.ws, proxy.http.replace("http", "https"), {}],
        [proxy.ws, proxy.http.replace("http", "https"), { "X-Forwarded-Proto": "https" }],
      ])
        assert.deepEqual(await refusal(url, asClient({ origin, headers })), { status: 403, text: "origin not allowed" });
    });
  else
    test("nobody tells of TLS, so the origin is listed", async (t) => {
      const wire = await open(t, proxy.wss, { origin: "https://app.example", headers: { "X-Forwarded-Proto": "https" } });
      assert.equal(wire.headers["x-scheme"], "http");
      await finish(wire);
      assert.equal((await refusal(proxy.wss, asClient({ origin: "http://app.example" }))).status, 403);
    });

  if (way === "haproxy")
    test("a browser that speaks HTTP/2 opens a WebSocket in it", async (t) => {
      const session = http2.connect(proxy.https, asClient());
      t.after(() => session.destroy());
      const [settings] = await within(5_000, "settings", once(session, "remoteSettings"));
      assert.ok(settings.enableConnectProtocol);
      const stream = session.request({
        ":method": "CONNECT", ":protocol": "websocket", ":scheme": "https", ":path": "/ws",
        ":authority": new URL(proxy.https).host, "sec-websocket-version": "13", origin: proxy.https,
      });
      const [headers] = await within(5_000, "response", once(stream, "response"));
      assert.equal(headers[":status"], 200);
      assert.equal(headers["x-remote"], "127.0.0.2:0");
      const text = Buffer.from("{}"); // which is no input; the mask is zero
      stream.write(Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), text]));
      const [frame] = await within(5_000, "a frame", once(stream, "data"));
      assert.match(frame.toString(), /"RUN_ERROR"/);
    });

  if (way.startsWith("haproxy"))
    test("HAProxy's own check of the server", async () => {
      assert.equal(await within(8_000, "a check", proxy.check()), "L7OK/200");
    });

  test("the server ends, and clients are told so", async (t) => {
    const [idle, busy] = [await open(t, proxy.ws), await open(t, proxy.ws)];
    busy.send(JSON.stringify(input("go")));
    await busy.until("TEXT_MESSAGE_START");
    const ended = own.stop();
    assert.equal((await idle.closed()).code, 1001);
    own.say("still here");
    assert.equal((await busy.event()).delta, "still here");
    own.say("");
    const { outcome } = (await busy.until("RUN_FINISHED")).at(-1);
    assert.notEqual(outcome?.type, "cancelled");
    assert.equal((await busy.closed()).code, 1001);
    assert.deepEqual(await ended, { code: 0, signal: null, stderr: "" });
  });
});

for (const [way, proxyOf] of Object.entries({ nginx: (a) => nginx(a, cert), haproxy: (a) => haproxy("http", a, cert) })) {
  test(`${way}: a proxy that is not trusted speaks for nobody, and keeps its connections alive`, async (t) => {
    const own = await host("--hosts", "app.example");
    t.after(() => own.stop());
    const proxy = await proxyOf(own.addr);
    t.after(() => proxy.stop());
    let kept = 0;
    for (let round = 0; kept < 3; round++) {
      assert.ok(round < 20, "the WebSocket is on the connection of the request before"); // unless that is not idle yet
      const { text: peer } = await get(proxy.http, "/peer");
      assert.match(peer, /^127\.0\.0\.1:\d+$/);
      const wire = await open(t, proxy.ws, { headers: { "X-Forwarded-For": "192.0.2.1" } });
      if (wire.headers["x-remote"] === peer) kept++;
      assert.match(wire.headers["x-remote"], /^127\.0\.0\.1:/);
      await finish(wire);
    }
    const { status } = await refusal(proxy.wss, asClient({ origin: proxy.https }));
    assert.equal(status, 403);
  });
}

test("a listener on a loopback address answers to no other name by itself", async (t) => {
  const own = await host("--trust", "127.0.0.1/32");
  t.after(() => own.stop());
  const proxy = await nginx(own.addr, cert);
  t.after(() => proxy.stop());
  assert.deepEqual(await refusal(proxy.ws, asClient()), { status: 403, text: "host not allowed" });
  await finish(await open(t, proxy.ws, { headers: { Host: "localhost" } }));
});

test("a check without the PROXY protocol is told what is missing", async (t) => {
  const own = await host(...inTCP);
  t.after(() => own.stop());
  const proxy = await haproxy("http", own.addr, cert);
  t.after(() => proxy.stop());
  assert.equal(await within(8_000, "a check", proxy.check()), "L7STS/400");
});

test("the Go of docs/deploy.md is that of the host", () => {
  const flat = (text) => text.replaceAll(/^\s+/gm, "");
  const source = flat(readFileSync(new URL("proxied/main.go", import.meta.url), "utf8"));
  const shown = blocks("go").filter((b) => !b.startsWith("cfg.")); // the host has flags for these
  assert.ok(shown.length >= 4);
  for (const block of shown) assert.ok(source.includes(flat(block)), block);
});
