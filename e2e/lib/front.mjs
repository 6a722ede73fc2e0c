// A proxy to a server that has trouble with WebSockets, and with responses if a test likes.
import { once } from "node:events";
import http from "node:http";
import { connect } from "node:net";

// front is a proxy to host:port. A test says how it treats what comes:
//   upgrades: "refused", "hanging", "broken" (let in, and cut at once) or "through"
//   cutAfter: so many events of a response pass, then it is cut; 0: all
//   loses: the next responses by a method, whose heads do not arrive: {POST: 1}
//   answer(request): what is answered instead, {status, headers, body}, or nothing
// requests is what came: {method, url, headers}.
export async function front(t, host, { upgrades = "refused", cutAfter = 0 } = {}) {
  const [name, port] = host.split(":");
  const sockets = new Set();
  const keep = (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => {});
  };
  const api = { upgrades, cutAfter, loses: {}, answer: () => {}, requests: [], dials: 0 };
  const server = http.createServer((request, response) => {
    const { method, url, headers } = request;
    if (method !== "OPTIONS") api.requests.push({ method, url, headers });
    const instead = method !== "OPTIONS" && api.answer(request);
    if (instead) {
      request.resume();
      return response.writeHead(instead.status, { "Content-Type": "application/json", ...instead.headers }).end(instead.body);
    }
    const lost = api.loses[method] > 0;
    if (lost) api.loses[method]--;
    const asked = http.request({ host: name, port, method, path: url, headers, agent: false });
    asked.on("socket", keep).on("error", () => response.destroy());
    response.on("close", () => asked.destroy());
    asked.on("response", async (answer) => {
      if (lost) return response.destroy();
      response.writeHead(answer.statusCode, answer.headers);
      response.flushHeaders();
      let left = api.cutAfter;
      try {
        for await (const chunk of answer) {
          let end = chunk.length;
          for (let at = 0; left && (at = chunk.indexOf("\n\n", at)) >= 0; at += 2) if (chunk[at - 1] !== 58 && --left === 0) end = at + 2;
          response.write(chunk.subarray(0, end));
          if (api.cutAfter && !left) return setImmediate(() => response.destroy());
        }
        response.end();
      } catch {
        response.destroy(); // an end in order would say that the response is whole
      }
    });
    request.pipe(asked);
  });
  server.on("connection", keep);
  server.on("upgrade", (request, socket, head) => {
    api.dials++;
    if (api.upgrades === "refused") return socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    if (api.upgrades === "hanging") return;
    const far = connect({ host: name, port });
    keep(far);
    const fields = request.rawHeaders.flatMap((f, i, all) => (i % 2 ? [] : [`${f}: ${all[i + 1]}\r\n`])).join("");
    far.write(`GET ${request.url} HTTP/1.1\r\n${fields}\r\n`);
    far.write(head);
    socket.on("close", () => far.destroy());
    far.on("close", () => socket.destroy());
    socket.pipe(far);
    if (api.upgrades === "through") far.pipe(socket);
    else far.once("data", (data) => socket.end(data.subarray(0, data.indexOf("\r\n\r\n") + 4)));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  api.host = `127.0.0.1:${server.address().port}`;
  api.http = `http://${api.host}`;
  api.ws = `ws://${api.host}/ws`;
  // cut ends everything that goes on.
  api.cut = () => sockets.forEach((socket) => socket.destroy());
  api.count = (method) => api.requests.filter((r) => r.method === method && !r.url.includes("/capabilities")).length;
  t.after(() => {
    api.cut();
    server.close();
  });
  return api;
}
