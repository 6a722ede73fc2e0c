// wss and https of the programs, by Node and by headless Chromium, which opens a page by HTTP/2 and its WebSockets
// beside it.
import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import https from "node:https";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import { agent, say, texts } from "./lib/agloop.mjs";
import { launch } from "./lib/chromium.mjs";
import { serve, within } from "./lib/program.mjs";
import { connect, input } from "./lib/wire.mjs";

const untrusted = { rejectUnauthorized: false }; // nobody trusts the certificates of these programs
const props = { rate: 100, burst: 4, delta: 24, seconds: 0.2 };
const spoken = 100 * 0.2 * 4 * 24;

// Each way in which a program speaks TLS.
const ways = { "own listener": [], mounted: ["--mounted"], trimmed: ["--tls-trim"] };

for (const [way, flags] of Object.entries(ways)) {
  test(`${way}: Node's WebSockets have their messages sent back, and close in order`, async (t) => {
    const echo = await serve("echo", "--tls-self-signed", ...flags);
    t.after(() => echo.stop());
    assert.match(echo.announced, /wss:/);
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"]) {
      const wires = await Promise.all(Array.from({ length: 8 }, () => connect(`wss://${echo.host}/ws`, { ...untrusted, maxVersion })));
      for (const wire of wires) t.after(() => wire.terminate());
      const frames = [["grüße 🙂", false], ["", false], [Buffer.from([0, 255, 1]), true], [Buffer.alloc(3 << 20, "agloop "), true]];
      for (const wire of wires) for (const [data] of frames) wire.send(data);
      for (const wire of wires) {
        for (const [data, isBinary] of frames) {
          const frame = await wire.frame();
          assert.equal(frame.isBinary, isBinary);
          assert.ok(frame.data.equals(Buffer.from(data)));
        }
        wire.close();
        assert.equal((await wire.closed()).code, 1000);
      }
    }
  });

  test(`${way}: runs on one connection, and the end of the program`, async (t) => {
    const stream = await serve("stream", "--tls-self-signed", ...flags);
    t.after(() => stream.stop());
    const wire = await connect(`wss://${stream.host}/ws`, untrusted);
    t.after(() => wire.terminate());
    for (let i = 0; i < 3; i++) {
      wire.send(JSON.stringify(input("go", { forwardedProps: props })));
      const events = await wire.until("RUN_FINISHED");
      assert.equal(events.map((e) => e.delta ?? "").join("").length, spoken);
    }
    wire.send(JSON.stringify(input("go", { forwardedProps: { ...props, seconds: 60 } })));
    await wire.until("TEXT_MESSAGE_CONTENT");
    const ended = stream.stop();
    assert.deepEqual((await wire.until("RUN_FINISHED")).at(-1).outcome, { type: "cancelled" });
    assert.equal((await wire.closed()).code, 1001);
    assert.deepEqual(await ended, { code: 0, signal: null, stderr: "" });
  });
}

class Untrusting extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, untrusted);
  }
}

test("the package makes runs over wss", async (t) => {
  const stream = await serve("stream", "--tls-self-signed");
  t.after(() => stream.stop());
  const a = agent(t, `wss://${stream.host}/ws`, { WebSocket: Untrusting });
  for (let i = 1; i <= 2; i++) {
    say(a, "go");
    await within(15_000, "a run", a.runAgent({ forwardedProps: props }));
    assert.equal(texts(a).length, 2 * i);
    assert.equal(texts(a).at(-1).length, "assistant: ".length + spoken);
  }
});

test("https is answered in either version of HTTP on the port of the WebSocket", async (t) => {
  const stream = await serve("stream", "--tls-self-signed");
  t.after(() => stream.stop());
  const session = http2.connect(`https://${stream.host}`, untrusted);
  t.after(() => session.destroy());
  await Promise.all(Array.from({ length: 10 }, async () => {
    const request = session.request({ ":path": "/ping" });
    const [headers] = await within(5_000, "a response", once(request, "response"));
    assert.equal(headers[":status"], 200);
    let text = "";
    for await (const part of request) text += part;
    assert.equal(text, '{"status":"Healthy"}');
  }));
  const request = https.get(`https://${stream.host}/ws`, untrusted);
  const [response] = await within(5_000, "a response", once(request, "response"));
  assert.equal(response.statusCode, 426);
  response.resume();
});

let chromium;
before(async () => (chromium = await launch("--ignore-certificate-errors")));
after(() => chromium?.close());

for (const [way, flags] of Object.entries(ways))
  test(`${way}: Chromium opens a page by HTTP/2, and WebSockets beside it`, async (t) => {
    const [stream, echo] = await Promise.all([serve("stream", "--tls-self-signed", ...flags), serve("echo", "--tls-self-signed", ...flags)]);
    t.after(() => Promise.all([stream.stop(), echo.stop()]));
    const page = await chromium.newPage();
    t.after(() => page.close());
    page.setDefaultTimeout(15_000);
    const complaints = [];
    page.on("pageerror", (e) => complaints.push(e.message));
    const response = await page.goto(`https://${stream.host}/ping`);
    assert.equal(response.status(), way === "mounted" ? 426 : 200); // mounted, the server is all that there is
    const version = await page.evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol);
    assert.equal(version, "h2");

    const seen = await page.evaluate(async (run) => {
      const socket = new WebSocket(`wss://${location.host}/ws`);
      const events = [];
      const ended = new Promise((resolve, reject) => {
        socket.onopen = () => socket.send(run);
        socket.onmessage = ({ data }) => {
          events.push(JSON.parse(data));
          if (events.at(-1).type === "RUN_FINISHED") socket.close(1000);
        };
        socket.onclose = ({ code, wasClean }) => resolve([code, wasClean]);
        socket.onerror = () => reject(new Error("the socket failed"));
      });
      return { end: await ended, types: events.map((e) => e.type), said: events.map((e) => e.delta ?? "").join("").length };
    }, JSON.stringify(input("go", { forwardedProps: props })));
    assert.deepEqual(seen.end, [1000, true]);
    assert.equal(seen.said, spoken);
    assert.deepEqual([seen.types[0], seen.types.at(-1)], ["RUN_STARTED", "RUN_FINISHED"]);

    await page.goto(`https://${echo.host}/ping`);
    const echoed = await page.evaluate(async () => {
      const open = async (n) => {
        const socket = new WebSocket(`wss://${location.host}/ws`);
        socket.binaryType = "arraybuffer";
        const next = () => new Promise((resolve, reject) => {
          socket.onmessage = ({ data }) => resolve(data);
          socket.onerror = socket.onclose = () => reject(new Error("the socket failed"));
        });
        await new Promise((resolve, reject) => ((socket.onopen = resolve), (socket.onerror = reject)));
        let right = 0;
        for (const size of [0, 1, 125, 65_536, 1 << 20]) {
          const text = String(n).repeat(size);
          const back = next();
          socket.send(text);
          if ((await back) === text) right++;
          const bytes = new Uint8Array(size).fill(n);
          const again = next();
          socket.send(bytes);
          const got = new Uint8Array(await again);
          if (got.length === size && got.every((b) => b === n)) right++;
        }
        const closed = new Promise((resolve) => (socket.onclose = ({ code, wasClean }) => resolve([code, wasClean])));
        socket.close(3001);
        return { right, end: await closed };
      };
      return Promise.all([1, 2, 3, 4, 5].map(open));
    });
    assert.deepEqual(echoed, Array(5).fill({ right: 10, end: [3001, true] }));
    assert.deepEqual(complaints, []);
  });
