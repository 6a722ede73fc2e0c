// Joins the socket, the thread and the view.
import { AgentSocket } from "./socket.mjs";
import { Thread } from "./thread.mjs";
import { watchFigures } from "./live.mjs";
import { change } from "./tuning.mjs";
import * as view from "./view.mjs";

const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const socket = new AgentSocket(new URL("ws", `${scheme}//${location.host}${location.pathname}`).href);
const thread = new Thread();
const form = document.getElementById("form");
const words = document.getElementById("words");

let connected = false;
let running = false;
let asking = []; // open questions: {interrupt, box, approved}

function startRun(resume) {
  if (running || !socket.send(thread.input(resume))) return false;
  setRunning(true);
  return true;
}

function setRunning(value) {
  running = value;
  view.showRunning(running, connected);
}

function say(text) {
  if (running || !connected || text.trim() === "") return;
  // Every interrupt is answered or abandoned; a person who changes the subject abandons it.
  const abandoned = asking.map(({ interrupt }) => ({ interruptId: interrupt.id, status: "cancelled" }));
  for (const { box } of asking) box.close("Left unanswered");
  asking = [];
  thread.say(text);
  view.userSaid(text);
  startRun(abandoned.length > 0 ? abandoned : undefined);
}

function answerQuestion(entry, approved) {
  if (running || !connected) return false;
  entry.approved = approved;
  if (asking.some((a) => a.approved === undefined)) return true; // more questions are open
  const resume = asking.map((a) => ({
    interruptId: a.interrupt.id,
    status: "resolved",
    payload: { approved: a.approved },
  }));
  if (!startRun(resume)) return false;
  asking = [];
  words.focus({ preventScroll: true });
  return true;
}

function endRun(event) {
  setRunning(false);
  view.settle();
  if (event.type === "RUN_ERROR") {
    view.notice(`The run failed: ${event.message}`, "error");
    return;
  }
  if (event.outcome?.type === "cancelled") view.notice("The run was cancelled.");
  asking = thread.interrupts.map((interrupt) => {
    const entry = { interrupt };
    entry.box = view.question(interrupt, (approved) => answerQuestion(entry, approved));
    return entry;
  });
}

const shows = {
  TEXT_MESSAGE_START: (e) => view.textStart(e.messageId),
  TEXT_MESSAGE_CONTENT: (e) => view.textGrow(e.messageId, e.delta),
  TEXT_MESSAGE_END: (e) => view.textEnd(e.messageId),
  TOOL_CALL_START: (e) => view.toolStart(e.toolCallId, e.toolCallName),
  TOOL_CALL_ARGS: (e) => view.toolGrow(e.toolCallId, e.delta),
  TOOL_CALL_END: (e) => view.toolEnd(e.toolCallId),
  TOOL_CALL_RESULT: (e) => view.toolResult(e.toolCallId, e.content),
  STATE_SNAPSHOT: () => view.showPlan(thread.state),
  STATE_DELTA: () => view.showPlan(thread.state),
  RUN_FINISHED: endRun,
  RUN_ERROR: endRun,
};

socket.addEventListener("message", ({ detail: { event } }) => {
  thread.apply(event);
  if (Object.hasOwn(shows, event.type)) shows[event.type](event);
});

// A run without a terminal event is truncated: never shown as an answer that is complete.
socket.addEventListener("cut", () => {
  if (!running) return;
  setRunning(false);
  view.settle();
  view.notice("The connection was lost, and the answer ends here. Send your message again.", "error");
});

let countdown;
let lost = false;
socket.addEventListener("state", ({ detail: { state, retryAt } }) => {
  clearInterval(countdown);
  connected = state === "open";
  view.showRunning(running, connected);
  if (state === "open") {
    view.showLink(state, "Connected");
    if (lost) view.announce("Connected again");
    lost = false;
  } else if (state === "connecting") {
    view.showLink(state, "Connecting");
  } else {
    if (!lost) view.announce("Connection lost");
    lost = true;
    const tick = () => {
      const s = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
      view.showLink(state, s > 1 ? `Offline, trying again in ${s} s` : "Offline, trying again");
    };
    tick();
    countdown = setInterval(tick, 1000);
  }
});

form.addEventListener("submit", (e) => {
  e.preventDefault();
  if (running || !connected) return;
  say(words.value);
  words.value = "";
  fit();
});

words.addEventListener("keydown", (e) => {
  if (e.key !== "Enter" || e.shiftKey || e.isComposing) return;
  e.preventDefault();
  form.requestSubmit();
});

// fit lets the box grow with what is written, up to the height the style sheet allows.
function fit() {
  words.style.height = "auto";
  words.style.height = `${words.scrollHeight}px`;
}
words.addEventListener("input", fit);

document.getElementById("hints").addEventListener("click", (e) => {
  const text = e.target.dataset.say;
  if (text) say(text);
});

document.getElementById("stop").addEventListener("click", () => {
  setRunning(false);
  view.settle();
  view.notice("You stopped the run.");
  socket.restart();
  words.focus();
});

// A reading that was on its way during a change would show what held before it.
let changes = 0;

async function tune(wanted, done) {
  changes++;
  try {
    view.showTuning(await change(wanted));
    view.announce(done);
  } catch (err) {
    view.notice(`The server was not tuned: ${err.message}`, "error");
  }
  changes++;
}

document.getElementById("profiles").addEventListener("click", (e) => {
  const { profile } = e.target.dataset;
  if (profile) tune({ profile }, `Profile ${profile}`);
});

const adaptive = document.getElementById("adaptive");
adaptive.addEventListener("click", () => {
  const on = adaptive.getAttribute("aria-checked") !== "true";
  tune({ adaptive: on }, `Adaptive optimization ${on ? "on" : "off"}`);
});

// On a phone there is room for the figures only; the controls open on request.
const more = document.getElementById("tuning-more");
more.addEventListener("click", () => more.setAttribute("aria-expanded", String(more.getAttribute("aria-expanded") !== "true")));

// On a phone the plan would push the conversation off the screen.
if (matchMedia("(max-width: 60rem)").matches) document.getElementById("plan").open = false;

view.showRunning(running, connected);
socket.addEventListener("state", function first({ detail: { state } }) {
  if (state !== "open") return;
  socket.removeEventListener("state", first);
  // From here on, so that the first figures count this page.
  watchFigures(() => {
    const asked = changes;
    return (figures, tuning) => {
      view.showFigures(figures);
      if (asked === changes) view.showTuning(tuning);
    };
  });
});
socket.connect();
