// The messages as the page shows them. All text goes in as textContent: nothing an agent or a person
// says can become markup.

const log = document.getElementById("log");
const talk = log.parentElement;
const shown = new Map(); // by key: what update needs, and el

export function make(tag, className, text) {
  const el = document.createElement(tag);
  if (className) el.className = className;
  if (text !== undefined) el.textContent = text;
  return el;
}

// The log follows its end, also when its own height changes, until the person scrolls up.
let following = true;
const toEnd = () => (talk.scrollTop = talk.scrollHeight);
talk.addEventListener("scroll", () => {
  following = talk.scrollHeight - talk.scrollTop - talk.clientHeight < 80;
});
new ResizeObserver(() => following && toEnd()).observe(talk);

export function followEnd() {
  following = true;
}

// draw brings the log to what a conversation is. answer is called with an interrupt's id and a bool.
export function draw(conversation, answer) {
  const { agent, notes, busy } = conversation;
  const results = new Map(agent.messages.filter((m) => m.role === "tool").map((m) => [m.toolCallId, m.content]));
  const placed = new Set();
  const order = [];
  const place = (key, begin, update) => {
    let entry = shown.get(key);
    if (!entry) shown.set(key, (entry = begin()));
    update(entry);
    order.push(entry.el);
    placed.add(key);
  };
  const placeNotes = (wanted) => {
    for (const n of notes) if (wanted(n)) place(`note ${n.id}`, () => beginNote(n, answer), (e) => updateNote(e, n, busy));
  };
  const ids = new Set(agent.messages.map((m) => m.id));
  for (const m of agent.messages) {
    const grows = conversation.growing.has(m.id);
    const text = textOf(m.content);
    if (m.role === "user" || (m.role === "assistant" && (text || grows))) {
      place(`text ${m.id}`, () => beginText(m), (e) => updateText(e, text, grows && m.role === "assistant"));
    }
    for (const call of m.toolCalls ?? []) {
      const status = results.has(call.id) ? "done" : !busy ? "ended" : conversation.called.has(call.id) ? "working" : "calling";
      place(`call ${call.id}`, () => beginCall(call), (e) => updateCall(e, call, status, results.get(call.id)));
    }
    placeNotes((n) => n.after === m.id);
  }
  placeNotes((n) => !ids.has(n.after));

  let at = log.firstChild;
  for (const el of order) {
    if (el === at) at = at.nextSibling;
    else log.insertBefore(el, at);
  }
  for (const [key, { el }] of shown) {
    if (placed.has(key)) continue;
    el.remove();
    shown.delete(key);
  }
  document.getElementById("welcome").hidden = order.length > 0;
  log.setAttribute("aria-busy", String(busy));
  if (following) toEnd();
}

const textOf = (content) =>
  Array.isArray(content) ? content.map((part) => part.text ?? "").join(" ") : (content ?? "");

function beginText({ id, role }) {
  const el = make("p", role === "user" ? "said said-user" : "said said-agent");
  el.dataset.messageId = id;
  // One text node that grows: the browser lays out what was added, no more.
  return { el, node: el.appendChild(document.createTextNode("")) };
}

function updateText({ el, node }, text, grows) {
  if (text !== node.data) {
    if (text.startsWith(node.data)) node.appendData(text.slice(node.data.length));
    else node.data = text;
  }
  el.classList.toggle("streaming", grows);
}

function beginCall({ id, function: { name } }) {
  const el = make("div", "tool");
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", `Tool call ${name}`);
  el.dataset.toolCallId = id;
  const head = make("p", "tool-head");
  const status = make("span", "tool-status");
  head.append(make("code", "tool-name", name), status);
  const args = make("code", "tool-args");
  const result = make("dl", "tool-result");
  result.hidden = true;
  el.append(head, args, result);
  return { el, status, args, result };
}

function updateCall({ el, status, args, result }, call, now, content) {
  if (args.textContent !== call.function.arguments) args.textContent = call.function.arguments;
  if (status.textContent === now) return;
  status.textContent = now;
  el.classList.toggle("tool-done", now === "done");
  result.hidden = now !== "done";
  if (now !== "done") return;
  result.replaceChildren(
    ...entries(textOf(content)).map(([key, value]) => {
      const row = make("div");
      row.append(make("dt", "", key), make("dd", "", value));
      return row;
    }),
  );
}

// entries are the members of a result that is a JSON object, or the result as it is.
function entries(text) {
  try {
    const value = JSON.parse(text);
    if (value !== null && typeof value === "object" && !Array.isArray(value))
      return Object.entries(value).map(([k, v]) => [label(k), plain(v)]);
  } catch {
    // not JSON: shown as text
  }
  return [["result", text]];
}

const label = (key) => key.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();

function plain(value) {
  if (Array.isArray(value)) return value.map(plain).join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function beginNote(note, answer) {
  if (note.kind === "unsent") return { el: make("p", "said said-user said-unsent", note.text) };
  if (note.kind !== "question") return { el: make("p", `notice notice-${note.kind}`, note.text) };
  const el = make("div", "question");
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", "Question from the agent");
  el.dataset.interruptId = note.id;
  const buttons = make("div", "question-buttons");
  for (const [text, className, value] of [["Approve", "primary", true], ["Decline", "", false]]) {
    const button = make("button", className, text);
    button.type = "button";
    button.onclick = () => answer(note.id, value);
    buttons.append(button);
  }
  const outcome = make("p", "question-outcome");
  el.append(make("p", "question-text", note.text), buttons, outcome);
  return { el, buttons, outcome };
}

function updateNote({ el, buttons, outcome }, note, busy) {
  if (note.kind !== "question") return;
  const closed = note.outcome !== undefined;
  el.classList.toggle("question-closed", closed);
  buttons.hidden = closed;
  outcome.hidden = !closed;
  outcome.textContent = note.outcome ?? "";
  for (const button of buttons.children) button.disabled = busy;
}
