// The pane of raw frames.
import { Frames, isFold, matches } from "./frames.mjs";
import { make } from "./log.mjs";

const $ = (id) => document.getElementById(id);
const drawnAtMost = 300; // rows; older ones stay in the list, for the filter

const frames = new Frames();
let last = 0; // the number of the last frame that was drawn
let waiting = false;

export function takeFrame(direction, data) {
  frames.take(direction, data);
  soon();
}

function soon() {
  if (waiting || $("raw").hidden) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    draw();
  });
}

// drawRaw draws all anew: the pane was opened, or something else is looked for.
export function drawRaw() {
  last = 0;
  $("raw-list").replaceChildren();
  draw();
}

function draw() {
  const list = $("raw-list");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const [kind, words] = [$("raw-kind").value, $("raw-words").value.trim()];
  const wanted = frames.list.filter((f) => matches(f, kind, words));
  list.append(...wanted.slice(-drawnAtMost).filter((f) => f.number > last).map(row));
  while (list.children.length > drawnAtMost) list.firstChild.remove();
  last = frames.count;
  $("raw-count").textContent = `${wanted.length} of ${frames.list.length} frames`;
  if (atEnd) list.scrollTop = list.scrollHeight;
}

function row(frame) {
  const item = make("li", "raw-frame");
  item.dataset.kind = frame.kind;
  item.dataset.fold = String(isFold(frame));
  const box = make("details");
  const head = make("summary");
  const place = make("span", "raw-place", frame.kind === "event" ? frame.place : { sent: "sent", control: "control" }[frame.kind] ?? "");
  head.append(place, make("span", "raw-name", frame.name), make("span", "raw-text", digest(frame)));
  box.append(head);
  // The text in full is made when somebody wants to read it.
  box.addEventListener("toggle", () => box.children.length === 1 && box.append(make("pre", "raw-full", pretty(frame.text))), { once: true });
  item.append(box);
  return item;
}

// digest is what a frame says beside its name, what is new in it first.
function digest({ kind, text, value, from, to }) {
  if (kind !== "event") return text.replace(/^\["\w+",(.*)\]$/s, "$1");
  const { type, delta, ...others } = value;
  const more = Object.keys(others).length ? JSON.stringify(others) : "";
  return [to > from ? `fold of ${to - from + 1}` : "", delta === undefined ? "" : JSON.stringify(delta), more].filter(Boolean).join(" ");
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

$("raw-kind").addEventListener("change", drawRaw);
$("raw-words").addEventListener("input", drawRaw);
