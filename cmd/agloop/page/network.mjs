// The network of the page: a WebSocket that can be watched, and cut.

let back; // the timer that ends a cut
const held = []; // what is done when it ends
const watchers = new Set();

const tell = (direction, data) => watchers.forEach((w) => w(direction, data));

// watch has w called with each frame: "in" or "out" and its text; and with "open" for a new connection.
export function watch(w) {
  watchers.add(w);
}

// PageSocket is the WebSocket that the page's connection uses.
export class PageSocket extends WebSocket {
  constructor(...args) {
    if (back) return unreachable();
    super(...args);
    tell("open", "");
    this.addEventListener("message", ({ data }) => back || tell("in", data));
  }

  send(data) {
    tell("out", data);
    super.send(data);
  }

  // A dead network carries no goodbye.
  close(...args) {
    if (back) held.push(() => super.close(...args));
    else super.close(...args);
  }
}

// pageFetch is the fetch that the page's connection uses.
export async function pageFetch(...args) {
  if (back) throw new TypeError("the network is cut");
  return fetch(...args);
}

// unreachable is a socket that does not open.
function unreachable() {
  const socket = { readyState: WebSocket.CLOSED, protocol: "", close() {}, send() {} };
  setTimeout(() => socket.onclose?.({ code: 1006 }));
  return socket;
}

// cut has the network be dead for a while. The server is not told, as when a phone enters a tunnel.
export function cut(ms) {
  clearTimeout(back);
  back = setTimeout(() => {
    back = undefined;
    for (const close of held.splice(0)) close();
    dispatchEvent(new Event("online"));
  }, ms);
  dispatchEvent(new Event("offline"));
}
