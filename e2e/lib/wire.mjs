// A bare WebSocket, for what the official client would never send.
import { once } from "node:events";
import { createServer, connect as tcpConnect } from "node:net";
import { WebSocket } from "ws";
import { within } from "./program.mjs";
import { judge } from "./judge.mjs";

export async function connect(url, options) {
  const socket = new WebSocket(url, options);
  const frames = [];
  let headers;
  socket.on("upgrade", (response) => (headers = response.headers));
  let wake = () => {};
  socket.on("message", (data, isBinary) => {
    frames.push({ data, isBinary });
    wake();
  });
  const closed = once(socket, "close").then(([code, reason]) => ({ code, reason: reason.toString() }));
  await within(15_000, `open of ${url}`, once(socket, "open"));

  const frame = async () => {
    while (frames.length === 0) await new Promise((resolve) => (wake = resolve));
    return frames.shift();
  };
  const api = {
    headers, // of the response that let it in
    send: (data) => socket.send(data),
    frame: () => within(30_000, "a frame", frame()),
    closed: () => within(30_000, "close", closed),
    close: () => socket.close(1000),
    pause: () => socket.pause(),
    terminate: () => socket.terminate(),
    // event is the next frame, judged.
    async event() {
      const { data, isBinary } = await api.frame();
      if (isBinary) throw new Error("a binary frame among events");
      return judge(JSON.parse(data.toString()));
    },
    // until returns the events up to and including the first of the given type.
    async until(type) {
      const events = [];
      do events.push(await api.event());
      while (events.at(-1).type !== type);
      return events;
    },
  };
  return api;
}

// refusal is the status and the text with which a WebSocket is refused.
export async function refusal(url, options) {
  const socket = new WebSocket(url, options);
  socket.on("error", () => {}); // that of being given up below
  const [, response] = await within(
    5_000,
    `refusal of ${url}`,
    Promise.race([
      once(socket, "unexpected-response"),
      once(socket, "open").then(() => Promise.reject(new Error(`${url} was let in`))),
    ]),
  );
  let text = "";
  for await (const part of response) text += part;
  socket.terminate();
  return { status: response.statusCode, text: text.trim() };
}

export function input(text, extra = {}) {
  const n = ++input.count;
  return {
    threadId: "thread-wire",
    runId: `run-wire-${n}`,
    messages: [{ id: `user-${n}`, role: "user", content: text }],
    ...extra,
  };
}
input.count = 0;

// relay is a TCP relay to host:port that can cut every connection, without a goodbye.
export async function relay(host) {
  const [name, port] = host.split(":");
  const pairs = new Set();
  const server = createServer((near) => {
    const far = tcpConnect(Number(port), name);
    pairs.add(near).add(far);
    near.pipe(far).pipe(near);
    near.on("error", () => far.destroy());
    far.on("error", () => near.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => {
    for (const socket of pairs) socket.destroy();
    pairs.clear();
  };
  return {
    http: `http://127.0.0.1:${server.address().port}`,
    ws: `ws://127.0.0.1:${server.address().port}/ws`,
    cut,
    close() {
      cut();
      server.close();
    },
  };
}
