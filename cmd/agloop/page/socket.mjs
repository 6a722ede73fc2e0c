// The WebSocket of the page: JSON out, one event object per text frame in, and
// reconnecting with full-jitter back-off.

const BASE_MS = 500;
const CAP_MS = 30_000;
const STABLE_MS = 5_000; // open for so long, and the next failure starts from BASE_MS

// backoff is a random delay for the given attempt. Full jitter keeps the clients of a
// server that went away from coming back all at once.
export function backoff(attempt, random = Math.random) {
  return random() * Math.min(CAP_MS, BASE_MS * 2 ** attempt);
}

// AgentSocket dispatches "state" ({state, retryAt}), "message" ({event}) and "cut" ({code}).
export class AgentSocket extends EventTarget {
  #url;
  #ws;
  #attempt = 0;
  #openedAt = 0;
  #timer;

  constructor(url) {
    super();
    this.#url = url;
    addEventListener("online", () => this.#retryNow());
  }

  connect() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#tell("state", { state: "connecting" });
    const ws = new WebSocket(this.#url);
    this.#ws = ws;
    ws.onopen = () => {
      this.#openedAt = Date.now();
      this.#tell("state", { state: "open" });
    };
    ws.onmessage = (m) => this.#receive(ws, m.data);
    ws.onclose = (c) => this.#closed(ws, c.code);
  }

  // send returns false when there is no open connection to send on.
  send(value) {
    if (this.#ws?.readyState !== WebSocket.OPEN) return false;
    this.#ws.send(JSON.stringify(value));
    return true;
  }

  // restart drops the connection, which is how AG-UI cancels a run, and opens another.
  restart() {
    const old = this.#ws;
    this.#ws = undefined;
    old?.close(1000);
    this.connect();
  }

  #receive(ws, data) {
    if (ws !== this.#ws) return;
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      event = undefined;
    }
    if (typeof event?.type !== "string") {
      ws.close(4000, "not an event");
      return;
    }
    this.#tell("message", { event });
  }

  #closed(ws, code) {
    if (ws !== this.#ws) return; // dropped by restart
    this.#ws = undefined;
    if (this.#openedAt && Date.now() - this.#openedAt > STABLE_MS) this.#attempt = 0;
    this.#openedAt = 0;
    const delay = backoff(this.#attempt++);
    this.#timer = setTimeout(() => this.connect(), delay);
    this.#tell("cut", { code });
    this.#tell("state", { state: "waiting", retryAt: Date.now() + delay });
  }

  #retryNow() {
    if (this.#timer !== undefined) this.connect();
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
