// Joins the conversation, the network and the elements of the page.
import { Conversation } from "./conversation.mjs";
import { drawLink } from "./link.mjs";
import { draw, followEnd } from "./log.mjs";
import { PageSocket, cut, pageFetch, watch } from "./network.mjs";
import { drawPlan } from "./plan.mjs";
import { drawRaw, takeFrame } from "./raw.mjs";
import { watchServer } from "./server.mjs";
import { forget, load, save } from "./session.mjs";
import { drawShare } from "./share.mjs";

const cutFor = 4000; // ms
const saveAfter = 300; // ms behind a change

const $ = (id) => document.getElementById(id);
const narrow = matchMedia("(max-width: 60rem)");
const words = $("words");

watch(takeFrame);
const conversation = new Conversation(load(), { url: "ws", WebSocket: PageSocket, fetch: pageFetch, changed, spoken: announce });

// announce is for those who listen to the page instead of looking at it.
function announce(text) {
  $("spoken").textContent = text;
}

let drawing = false;
let saving;
function changed() {
  saving ??= setTimeout(keep, saveAfter);
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    drawAll();
  });
}

function drawAll() {
  const { busy, running, agent } = conversation;
  draw(conversation, answer);
  drawPlan(agent.state);
  $("send").textContent = running ? "Steer" : "Send";
  words.placeholder = running ? "Steer the answer" : "Write a message";
  $("stop").hidden = !busy;
  for (const button of $("hints").querySelectorAll("[data-say]")) button.disabled = busy;
  drawShare(agent.threadId, conversation.connection.secret);
}

function keep() {
  clearTimeout(saving);
  saving = undefined;
  if (!leaving) save(conversation.kept);
}
let leaving = false; // for another thread
addEventListener("pagehide", keep);
addEventListener("hashchange", () => location.reload()); // a link that was opened in this tab

function answer(id, approved) {
  if (conversation.answer(id, approved)) words.focus({ preventScroll: true });
}

function say(text) {
  if (text.trim() === "") return;
  followEnd();
  conversation.say(text);
}

$("form").addEventListener("submit", (e) => {
  e.preventDefault();
  say(words.value);
  words.value = "";
  fit();
});

words.addEventListener("keydown", (e) => {
  if (e.key !== "Enter" || e.shiftKey || e.isComposing) return;
  e.preventDefault();
  $("form").requestSubmit();
});

// fit lets the box grow with what is written, up to the height the style sheet allows.
function fit() {
  words.style.height = "auto";
  words.style.height = `${words.scrollHeight}px`;
}
words.addEventListener("input", fit);

$("hints").addEventListener("click", (e) => e.target.dataset.say && say(e.target.dataset.say));
$("cut").addEventListener("click", () => cut(cutFor));
$("stop").addEventListener("click", () => {
  conversation.stop();
  words.focus({ preventScroll: true });
});
$("retry").addEventListener("click", () => conversation.connection.retry());
$("anew").addEventListener("click", () => {
  leaving = true;
  forget();
  location.reload();
});

// One panel is open at a time; on a phone none, until somebody asks for it.
function openPanel(name) {
  for (const button of $("panels").children) {
    const open = button.getAttribute("aria-controls") === name;
    button.setAttribute("aria-expanded", String(open));
    $(button.getAttribute("aria-controls")).hidden = !open;
  }
  document.body.classList.toggle("panel-open", name !== undefined);
  document.body.classList.toggle("panel-raw", name === "raw");
  if (name === "raw") drawRaw();
}
$("panels").addEventListener("click", ({ target }) => {
  const open = target.getAttribute("aria-expanded") === "true";
  if (target.hasAttribute("aria-controls")) openPanel(open ? undefined : target.getAttribute("aria-controls"));
});
addEventListener("keydown", (e) => e.key === "Escape" && narrow.matches && openPanel());
openPanel(narrow.matches ? undefined : "server");

// On a phone the plan would push the conversation off the screen.
if (narrow.matches) $("plan").open = false;

let connected = false;
conversation.connection.state.subscribe((state) => {
  const before = connected;
  connected = drawLink(state, announce);
  if (connected && !before) changed(); // the session has a secret now
});
drawAll();
conversation.follow();

// A notice stands in the conversation.
watchServer(() => !connected, announce, (text) => conversation.noteError(text));
