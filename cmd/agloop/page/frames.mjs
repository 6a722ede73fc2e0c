// The frames of agloop.v1.json, and which offsets their events stand for. See docs/protocol.md.

const most = 3000; // frames that are kept

export class Frames {
  list = [];
  count = 0;
  #at; // of the last selector: {run, next, through}

  // take notes a frame, as PageSocket tells it.
  take(direction, data) {
    if (direction === "open") {
      this.#at = undefined;
      return this.#add({ kind: "connection", name: "connection", text: "A new connection: attachments are numbered from 1 again." });
    }
    const text = String(data);
    let value;
    try {
      value = JSON.parse(text);
    } catch {
      return this.#add({ kind: direction === "out" ? "sent" : "control", name: "no JSON", text });
    }
    if (!Array.isArray(value)) return this.#add({ kind: "event", name: value.type, text, value, ...this.#offsets() });
    const [name, body] = value;
    if (direction === "in" && name === "run") this.#at = { run: body.run, next: body.offset, through: body.through };
    return this.#add({ kind: direction === "out" ? "sent" : "control", name, text: masked(text, body), run: body?.run });
  }

  // offsets are those of the next event frame.
  #offsets() {
    const at = this.#at;
    if (!at) return {};
    const from = at.next++;
    const to = at.through ?? from;
    if (at.through !== undefined) this.#at = undefined; // one frame stands for all of them
    return { run: at.run, from, to };
  }

  #add(frame) {
    frame.number = ++this.count;
    frame.place = place(frame);
    this.list.push(frame);
    if (this.list.length > most) this.list.shift();
    return frame;
  }
}

// place is where an event stands in the log of its run.
function place({ from, to }) {
  if (from === undefined) return "";
  if (to < from) return "no offset";
  return to > from ? `${from}–${to}` : String(from);
}

export const isFold = ({ from, to }) => to > from;

// The page may be on a screen that others see, and who has the secret has the session.
function masked(text, body) {
  return body?.secret ? text.replaceAll(body.secret, "…") : text;
}

// matches reports whether a frame is one that the person wants to see.
export function matches(frame, kind, words) {
  if (kind === "fold" ? !isFold(frame) : kind && frame.kind !== kind) return false;
  return words === "" || `${frame.place} ${frame.text}`.toLowerCase().includes(words.toLowerCase());
}
