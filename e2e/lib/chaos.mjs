// A TCP proxy that does to connections what networks do.
import { once } from "node:events";
import { createServer, connect } from "node:net";
import { setImmediate as soon, setTimeout as after } from "node:timers/promises";

// What becomes of a connection, once so many bytes have passed: most often that is inside a frame. Up to there it may come in pieces of one byte.
const fates = ["none", "reset", "close", "silent", "late", "doubled"];

// chaos is a proxy to host:port for one client. Its connections have the fates that random says; counts has how many had each.
export async function chaos(host, random, counts) {
  const [name, port] = host.split(":");
  const sockets = new Set();
  let connections = 0; // a client that could not open the first one asks with the third what the server speaks
  const below = (n) => Math.floor(random() * n);
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ host: name, port: Number(port), noDelay: true });
    const fate = fates[below(fates.length)];
    const split = below(3) === 0;
    const delay = below(3) === 0 ? below(15) : 0;
    let left = (++connections === 3 ? 1500 : 200) + below(6000);
    let still; // what passes waits for that
    for (const [of, n] of [[fate, 1], ["split", split], ["delayed", delay]]) if (n) counts[of] = (counts[of] ?? 0) + 1;

    const happen = async () => {
      switch (fate) {
        case "reset":
          near.resetAndDestroy();
          far.resetAndDestroy();
          return;
        case "close":
          near.end();
          far.end();
          return;
        case "doubled": // the server still has it when the client comes again
          near.destroy();
          return;
        case "late":
          still = after(50 + below(150), undefined, { ref: false });
          return;
        case "silent":
          still = after(50 + below(150), undefined, { ref: false });
          await still;
          near.resetAndDestroy();
          far.resetAndDestroy();
      }
    };
    const pass = async (from, to) => {
      for await (const chunk of from) {
        if (delay) await after(delay);
        for (let at = 0; at < chunk.length; ) {
          await still;
          const before = left > 0;
          const end = before ? at + Math.min(split ? 1 : left, chunk.length - at) : chunk.length;
          if (!to.destroyed) to.write(chunk.subarray(at, end));
          if (before && split) await soon();
          if (before && (left -= end - at) <= 0) void happen();
          at = end;
        }
      }
      if (fate !== "doubled" || to === near) to.end();
    };
    for (const [from, to] of [[near, far], [far, near]]) {
      sockets.add(from);
      from.on("close", () => sockets.delete(from));
      from.on("error", () => {}); // the loop below ends with it
      pass(from, to).catch(() => (fate !== "doubled" || to === near) && to.destroy());
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    ws: `ws://127.0.0.1:${server.address().port}/ws`,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
