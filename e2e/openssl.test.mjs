// openssl as a client of agloop and as its server: what only another implementation of TLS tells.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, serve, start, within } from "./lib/program.mjs";
import { certificate } from "./lib/proxy.mjs";

const folder = mkdtempSync(join(tmpdir(), "agloop-openssl-"));
after(() => rmSync(folder, { recursive: true }));
const cert = certificate(folder, "localhost");
process.env.SSL_CERT_FILE = cert.cert; // whom our client trusts
let echo;
before(async () => (echo = await serve("echo", "--tls-self-signed")));
after(() => echo?.stop());

// openssl runs one of its commands. seen resolves when what it printed contains a text behind what was
// seen before, and ended when it has exited, with its status and all that it printed.
function openssl(t, ...args) {
  const child = start("openssl", args, "pipe");
  t.after(() => child.kill("SIGKILL"));
  let said = Buffer.alloc(0);
  let at = 0;
  let wake = () => {};
  const hear = (d) => {
    said = Buffer.concat([said, d]);
    wake();
  };
  child.stdout.on("data", hear);
  child.stderr.on("data", hear);
  child.stdin.on("error", () => {}); // it has ended before it was told all
  const exited = once(child, "close").then(([code]) => ({ code, said: said.toString("latin1") }));
  const look = async (text) => {
    let found;
    while ((found = said.indexOf(text, at, "latin1")) < 0) await new Promise((resolve) => (wake = resolve));
    at = found + text.length;
  };
  return {
    say: (data) => child.stdin.write(data),
    seen: (text) => within(15_000, JSON.stringify(text), Promise.race([look(text), exited.then((e) => assert.fail(`${args[0]} ended: ${e.said}`))])),
    behind: () => said.subarray(at),
    more: () => within(15_000, "more", new Promise((resolve) => (wake = resolve))),
    ended: () => within(15_000, `end of openssl ${args[0]}`, exited),
  };
}

const client = (t, ...args) => openssl(t, "s_client", "-connect", echo.host, "-servername", "localhost", ...args);

const request = Buffer.from(
  "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
);
const masked = (head, payload) => Buffer.concat([Buffer.from([head, 0x80 | payload.length, 0, 0, 0, 0]), Buffer.from(payload)]); // the mask is zero

// upgrade has a WebSocket at the end of it, and says one thing there.
async function upgrade(peer) {
  peer.say(request);
  await peer.seen("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
  await echoes(peer, "hello");
}

async function echoes(peer, text) {
  peer.say(masked(0x81, text));
  await peer.seen(text);
}

async function close(peer) {
  peer.say(masked(0x88, Buffer.from([3, 232])));
  await peer.seen("\x88\x02\x03\xe8");
  const { code, said } = await peer.ended();
  assert.equal(code, 0, said);
  assert.match(said, /closed\n$/); // by close_notify, or there is an error
}

for (const version of ["-tls1_2", "-tls1_3"])
  test(`${version}: messages go there and back, and each side says that it ends`, async (t) => {
    const peer = client(t, version);
    await upgrade(peer);
    for (let i = 0; i < 20; i++) await echoes(peer, `message ${i}.`);
    await close(peer);
  });

test("keys are updated while messages go there and back", async (t) => {
  const peer = client(t, "-tls1_3");
  await upgrade(peer);
  for (let i = 0; i < 10; i++) {
    peer.say(i % 2 ? "K\n" : "k\n"); // K asks us to update ours, too
    await peer.seen("KEYUPDATE");
    await echoes(peer, `message ${i}.`);
  }
  await close(peer);
});

test("who updates keys and does nothing else is stopped", async (t) => {
  const peer = client(t, "-tls1_3");
  await upgrade(peer);
  const flood = async () => {
    for (;;) {
      peer.say("K\n");
      await peer.seen("KEYUPDATE");
    }
  };
  await assert.rejects(flood(), /alert unexpected message/); // of crypto/tls, after 16
});

test("a second handshake is refused, and nobody else notices", async (t) => {
  const other = client(t, "-tls1_2");
  await upgrade(other);
  const peer = client(t, "-tls1_2");
  await upgrade(peer);
  peer.say("R\n");
  const { code, said } = await peer.ended();
  assert.equal(code, 1);
  assert.match(said, /RENEGOTIATING[^]*alert unexpected message/);
  await echoes(other, "still here");
  await close(other);
});

for (const version of ["-tls1_2", "-tls1_3"])
  test(`${version}: a session is resumed`, async (t) => {
    const file = join(folder, `session${version}.pem`);
    for (const [args, how] of [[["-sess_out", file], "New, TLSv1."], [["-sess_in", file], "Reused, TLSv1."]]) {
      const peer = client(t, version, ...args);
      await peer.seen(how);
      await upgrade(peer);
      await close(peer);
    }
  });

test("a session is resumed five times", async (t) => {
  const peer = client(t, "-tls1_2", "-reconnect");
  await peer.seen("New, TLSv1.2");
  for (let i = 0; i < 5; i++) await peer.seen("Reused, TLSv1.2");
  await upgrade(peer);
  await close(peer);
});

for (const version of ["-tls1_2", "-tls1_3"])
  test(`${version}: openssl serves a run to our client`, async (t) => {
    const server = openssl(t, "s_server", version, "-accept", "127.0.0.1:0", "-key", cert.key, "-cert", cert.cert, "-naccept", "1");
    await server.seen("ACCEPT 127.0.0.1:");
    while (!server.behind().includes("\n")) await server.more();
    const port = parseInt(server.behind().toString(), 10);
    const run = launch("run", "--url", `wss://localhost:${port}/ws`, "--message", "hello");
    t.after(() => run.signal("SIGKILL"));

    await server.seen("Sec-WebSocket-Key: ");
    while (!server.behind().includes("\r\n")) await server.more();
    const key = server.behind().toString("latin1").split("\r\n")[0];
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    await server.seen("\r\n\r\n");
    server.say(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    const { threadId, runId } = JSON.parse(await message(server));

    const say = (event) => {
      const text = Buffer.from(JSON.stringify({ messageId: "m", ...event }));
      server.say(Buffer.concat([Buffer.from(text.length < 126 ? [0x81, text.length] : [0x81, 126, text.length >> 8, text.length & 255]), text]));
    };
    say({ type: "RUN_STARTED", threadId, runId });
    say({ type: "TEXT_MESSAGE_START", role: "assistant" });
    say({ type: "TEXT_MESSAGE_CONTENT", delta: "before " });
    await run.printed(3);
    if (version === "-tls1_3") {
      server.say("K\n"); // asks our client to update its own, too
      await server.seen("SSL_do_handshake -> 1");
    }
    say({ type: "TEXT_MESSAGE_CONTENT", delta: "and after" });
    say({ type: "TEXT_MESSAGE_END" });
    say({ type: "RUN_FINISHED", threadId, runId });
    const { code, stdout, stderr } = await run.end();
    assert.equal(code, 0, stderr);
    const events = stdout.trim().split("\n").map((line) => JSON.parse(line));
    assert.equal(events.map((e) => e.delta ?? "").join(""), "before and after");
    assert.equal(events.at(-1).type, "RUN_FINISHED");
  });

// message is the next text that the client has sent, which is masked.
async function message(server) {
  for (;; await server.more()) {
    const b = server.behind();
    if (b.length < 8) continue;
    const long = (b[1] & 127) === 126;
    const [size, from] = long ? [b.readUInt16BE(2), 8] : [b[1] & 127, 6];
    if (b.length < from + size) continue;
    return b.subarray(from, from + size).map((byte, i) => byte ^ b[from - 4 + (i & 3)]).toString();
  }
}
