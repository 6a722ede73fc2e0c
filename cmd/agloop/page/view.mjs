// What the page shows. All text goes in as textContent: nothing an agent or a
// person says can become markup.

import { describe } from "./tuning.mjs";

const $ = (id) => document.getElementById(id);

function make(tag, className, text) {
  const el = document.createElement(tag);
  if (className) el.className = className;
  if (text !== undefined) el.textContent = text;
  return el;
}

const log = $("log");
const talk = log.parentElement;
const texts = new Map(); // messageId → element of the message
const cards = new Map(); // toolCallId → its parts

// The log follows its end, also when its own height changes, until the person scrolls up.
let following = true;
const toEnd = () => (talk.scrollTop = talk.scrollHeight);
talk.addEventListener("scroll", () => {
  following = talk.scrollHeight - talk.scrollTop - talk.clientHeight < 80;
});
new ResizeObserver(() => following && toEnd()).observe(talk);

function keepEnd(change) {
  change();
  if (following) toEnd();
}

function append(el) {
  $("welcome").hidden = true;
  keepEnd(() => log.append(el));
  return el;
}

// announce is for those who listen to the page instead of looking at it.
export function announce(text) {
  $("spoken").textContent = text;
}

export function userSaid(text) {
  following = true;
  append(make("p", "said said-user", text));
}

export function textStart(id) {
  const known = texts.get(id); // a closed message may be reopened
  if (known) {
    known.el.classList.add("streaming");
    return;
  }
  const el = append(make("p", "said said-agent streaming"));
  el.dataset.messageId = id;
  // One text node that grows: the browser lays out what was added, no more.
  texts.set(id, { el, node: el.appendChild(document.createTextNode("")) });
}

export function textGrow(id, delta) {
  const text = texts.get(id);
  if (text) keepEnd(() => text.node.appendData(delta));
}

export function textEnd(id) {
  const text = texts.get(id);
  if (!text) return;
  text.el.classList.remove("streaming");
  announce(text.node.data);
}

export function toolStart(id, name) {
  if (cards.has(id)) return;
  const card = make("div", "tool");
  card.setAttribute("role", "group");
  card.setAttribute("aria-label", `Tool call ${name}`);
  card.dataset.toolCallId = id;
  const head = make("p", "tool-head");
  const status = make("span", "tool-status", "calling");
  head.append(make("code", "tool-name", name), status);
  const args = make("code", "tool-args");
  const result = make("dl", "tool-result");
  result.hidden = true;
  card.append(head, args, result);
  append(card);
  cards.set(id, { card, status, args, result });
}

export function toolGrow(id, delta) {
  const c = cards.get(id);
  if (c) keepEnd(() => c.args.append(delta));
}

export function toolEnd(id) {
  const c = cards.get(id);
  if (c) c.status.textContent = "working";
}

export function toolResult(id, content) {
  const c = cards.get(id);
  if (!c) return;
  keepEnd(() => {
    c.status.textContent = "done";
    c.card.classList.add("tool-done");
    c.result.hidden = false;
    for (const [key, value] of entries(content)) {
      const row = make("div");
      row.append(make("dt", "", key), make("dd", "", value));
      c.result.append(row);
    }
  });
}

// entries are the members of a result that is a JSON object, or the result as it is.
function entries(content) {
  const text = typeof content === "string" ? content : JSON.stringify(content);
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

// question shows an interrupt; answer is called once, with true or false.
export function question(interrupt, answer) {
  const card = make("div", "question");
  card.setAttribute("role", "group");
  card.setAttribute("aria-label", "Question from the agent");
  card.dataset.interruptId = interrupt.id;
  const text = make("p", "question-text", interrupt.message ?? interrupt.reason);
  const buttons = make("div", "question-buttons");
  const yes = make("button", "primary", "Approve");
  const no = make("button", "", "Decline");
  for (const [button, value] of [[yes, true], [no, false]]) {
    button.type = "button";
    button.onclick = () => {
      if (answer(value)) close(value ? "Approved" : "Declined");
    };
  }
  const close = (outcome) => {
    buttons.remove();
    card.classList.add("question-closed");
    card.append(make("p", "question-outcome", outcome));
  };
  buttons.append(yes, no);
  card.append(text, buttons);
  append(card);
  announce(text.textContent);
  return { close };
}

export function notice(text, kind = "info") {
  append(make("p", `notice notice-${kind}`, text));
  announce(text);
}

// settle ends what a broken run left growing.
export function settle() {
  for (const { el } of texts.values()) el.classList.remove("streaming");
  for (const { card, status } of cards.values()) if (!card.classList.contains("tool-done")) status.textContent = "ended";
}

export function showPlan(state) {
  const plan = state?.plan;
  const steps = Array.isArray(plan?.steps) ? plan.steps : [];
  $("plan").classList.toggle("plan-empty", steps.length === 0);
  if (steps.length === 0) return;
  $("plan-title").textContent = String(plan.title ?? "Plan");
  $("plan-count").textContent = `${plan.done} of ${steps.length}`;
  $("plan-bar").max = steps.length;
  $("plan-bar").value = Number(plan.done) || 0;
  $("plan-steps").replaceChildren(...steps.map(planRow));
  $("plan-note").hidden = plan.note === undefined;
  $("plan-note").textContent = plan.note ?? "";
}

function planRow(step) {
  const row = make("li", "", step.label);
  row.dataset.status = step.status;
  row.append(make("span", "unseen", `, ${step.status}`));
  if (step.status === "active") row.setAttribute("aria-current", "step");
  return row;
}

export function showFigures(f) {
  const number = (n, digits) => (n === undefined ? "–" : n.toLocaleString("en", { maximumFractionDigits: digits }));
  $("stat-connections").textContent = number(f?.connections, 0);
  $("stat-events").textContent = number(f?.eventsPerSecond, 0);
  $("stat-batch").textContent = number(f?.framesPerWrite, 1);
}

// showTuning shows what holds, or that it is not known.
export function showTuning(tuning) {
  const words = tuning && describe(tuning);
  for (const [id, text] of [
    ["stat-memory", words?.memory],
    ["stat-profile", words?.profile],
    ["stat-window", words?.window],
    ["decision", words?.decision],
  ]) {
    $(id).textContent = text ?? "–";
  }
  for (const button of $("profiles").children) {
    button.disabled = !tuning;
    button.setAttribute("aria-pressed", String(button.dataset.profile === tuning?.profile));
  }
  $("adaptive").disabled = !tuning;
  $("adaptive").setAttribute("aria-checked", String(tuning?.adaptive === true));
}

export function showLink(state, text) {
  $("link").dataset.state = state;
  $("link-text").textContent = text;
}

export function showRunning(running, connected) {
  $("send").hidden = running;
  $("send").disabled = !connected;
  $("stop").hidden = !running;
  log.setAttribute("aria-busy", String(running));
  for (const button of $("hints").querySelectorAll("button")) button.disabled = running || !connected;
}
