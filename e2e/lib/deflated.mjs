// The host that compresses, and what its clients send and judge. The part between the lines runs in pages too.
import { readFileSync } from "node:fs";
import { announced, start } from "./program.mjs";

// deflated starts the host. full resolves when it has had to wait for a client.
export async function deflated(...args) {
  const path = process.env.DEFLATED_BIN;
  if (!path) throw new Error("DEFLATED_BIN must name a program under test; e2e/run.sh sets it");
  const { line, stop } = await announced("deflated", start(path, args));
  const host = /\/\/([^/]+)\//.exec(line)[1];
  return { host, ws: `ws://${host}/ws`, stop, full: async () => void (await fetch(`http://${host}/full`)).text() };
}

// inPage is the text of what follows the line, for pages.
export const inPage = () =>
  readFileSync(new URL(import.meta.url), "utf8").split("// ---- for pages too ----\n").at(-1).replaceAll(/^export /gm, "");

// ---- for pages too ----
// random is a generator of numbers below n.
export function random(seed) {
  let a = seed >>> 0;
  return (n) => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

// compose makes the i-th message of a client: text, or bytes. None begins with a P.
export function compose(below, i) {
  const event = `E{"type":"TEXT_MESSAGE_CONTENT","messageId":"m-${below(3)}","delta":"mark ${i}·🙂"}`;
  switch (below(16)) {
    case 0:
      return "";
    case 1:
      return event.repeat(1 + below(60));
    case 2:
      return Uint8Array.from({ length: 1 + below(3000) }, (_, at) => (at === 0 ? 69 : below(256)));
    case 3:
      return `E${Array.from({ length: below(400) }, () => below(2 ** 31).toString(36)).join(" ")}`;
    case 4:
      return below(12) > 0 ? event : event.repeat(Math.floor((200_000 * (1 + below(16))) / 16 / event.length));
    case 5:
      return `${event} secret`;
    default:
      return event;
  }
}

// mixed sends count messages, and judges their echoes and what the host sends of its own, each by its sum
// and its place. send(message, below) sends one; received(message) is to be called with each that comes.
export function mixed({ seed, count, send }) {
  const below = random(seed);
  const coder = new TextEncoder();
  const wanted = []; // echoes to come
  const places = [0, 0, 0, 0]; // of the goroutines of the host
  const sums = { echoed: 0, pushed: 0 };
  let sent = 0;
  let done;
  let fail;
  const end = new Promise((resolve, reject) => ([done, fail] = [resolve, reject]));
  const show = (m) => `${typeof m} of ${m.length}: ${JSON.stringify(typeof m === "string" ? m.slice(0, 60) : [...m.slice(0, 20)])}`;
  const same = (a, b) => (typeof a === "string" ? a === b : typeof b !== "string" && a.length === b.length && a.every((x, at) => x === b[at]));
  // In turns, so that what is sent and what comes cross each other.
  const more = () => {
    for (let n = 1 + below(12); n > 0 && sent < count && wanted.length < 60; n--) {
      const m = compose(below, sent++);
      wanted.push(m);
      send(m, below);
    }
  };
  function received(m) {
    const bytes = typeof m === "string" ? coder.encode(m) : m;
    if (bytes[0] !== 80) {
      const want = wanted.shift();
      if (want === undefined || !same(want, m)) return void fail(new Error(`echo ${sums.echoed} is ${show(m)}, want ${want === undefined ? "none" : show(want)}`));
      sums.echoed++;
      more();
    } else {
      let at = 0;
      const number = () => {
        let digits = "";
        while (bytes[++at] !== 32) digits += String.fromCharCode(bytes[at]);
        return Number(digits);
      };
      at = 1;
      const [who, place, sum] = [number(), number(), number()];
      let hash = 0x811c9dc5;
      for (at++; at < bytes.length; at++) hash = Math.imul(hash ^ bytes[at], 0x01000193) >>> 0;
      if (places[who] !== place || hash !== sum) return void fail(new Error(`${who} sent ${place}, want ${places[who]}; sum ${hash}, want ${sum}: ${show(m)}`));
      places[who]++;
      sums.pushed++;
    }
    if (sums.echoed === count && sums.pushed === count) done(sums);
  }
  return { begin: more, received, fail: (why) => fail(new Error(why)), end, sums };
}
