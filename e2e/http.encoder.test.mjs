// The Go client over HTTP, on a server in Node that writes with the published encoder: agloop run prints what it says.
import { EventEncoder } from "@ag-ui/encoder";
import { AGUI_MEDIA_TYPE } from "@ag-ui/proto";
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { after, before, test } from "node:test";
import { invoke, launch } from "./lib/program.mjs";

let server, url;
const requests = [];
let way = {};
before(async () => {
  server = http.createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    const { threadId, runId, messages } = JSON.parse(body);
    requests.push({ method: request.method, accept: request.headers.accept, messages });
    const encoder = new EventEncoder({ accept: way.accept });
    const write = (event) => response.write(way.accept ? encoder.encodeBinary(event) : encoder.encodeSSE(event));
    response.writeHead(200, { "Content-Type": encoder.getContentType() });
    write({ type: "RUN_STARTED", threadId, runId });
    write({ type: "TEXT_MESSAGE_START", messageId: "m1", role: "assistant" });
    for (const delta of ["good ", "grüße 🙂", "\nday"]) write({ type: "TEXT_MESSAGE_CONTENT", messageId: "m1", delta });
    write({ type: "TEXT_MESSAGE_END", messageId: "m1" });
    write({ type: "STATE_SNAPSHOT", snapshot: { list: [1, null, { a: "b" }] } });
    write({ type: "STATE_DELTA", delta: [{ op: "replace", path: "/list/0", value: 2 }] });
    if (way.cut) return void response.write("", () => setImmediate(() => response.destroy()));
    if (way.waits) return void response.once("close", way.waits);
    write({ type: "RUN_FINISHED", threadId, runId });
    response.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${server.address().port}/agent`;
});
after(() => server.close());

const events = (stdout) => stdout.trim().split("\n").map((line) => JSON.parse(line));

for (const [framing, accept] of [["SSE", undefined], ["protobuf", AGUI_MEDIA_TYPE]]) {
  test(`${framing}: agloop run prints its events`, async () => {
    way = { accept };
    const { code, stdout, stderr } = await invoke("run", "--url", url, "--message", "hello");
    assert.deepEqual([code, stderr], [0, ""]);
    const [method, { role, content }] = [requests.at(-1).method, requests.at(-1).messages[0]];
    assert.deepEqual([method, role, content], ["POST", "user", "hello"]);
    const got = events(stdout);
    assert.deepEqual(got.map((e) => e.type), [
      "RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END",
      "STATE_SNAPSHOT", "STATE_DELTA", "RUN_FINISHED",
    ]);
    assert.equal(got.map((e) => e.delta).filter((d) => typeof d === "string").join(""), "good grüße 🙂\nday");
    assert.deepEqual([got[6].snapshot, got[7].delta], [{ list: [1, null, { a: "b" }] }, [{ op: "replace", path: "/list/0", value: 2 }]]);
  });

  test(`${framing}: a run that is cut is truncated, and one that is left is closed`, async () => {
    way = { accept, cut: true };
    const { code, stderr } = await invoke("run", "--url", url);
    assert.notEqual(code, 0);
    assert.match(stderr, /truncated/);
    let closed;
    const over = new Promise((resolve) => (closed = resolve));
    way = { accept, waits: closed };
    const run = launch("run", "--url", url);
    await run.printed(8);
    run.signal("SIGINT");
    await over;
    assert.notEqual((await run.end()).code, 0);
  });
}
