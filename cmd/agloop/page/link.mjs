// Whether there is a connection, in words; and while there is none, when the next attempt comes.

const $ = (id) => document.getElementById(id);
let countdown;
let lost = false;

// drawLink shows a state of AgloopConnection. It returns whether the page is connected.
export function drawLink({ phase, attempt, retryAt }, announce) {
  clearInterval(countdown);
  const open = phase === "open";
  const first = !lost && phase !== "waiting";
  if (!open && !first && !lost) announce("Connection lost");
  if (open && lost) announce("Connected again");
  lost = open ? false : !first;
  $("link").dataset.state = open ? "open" : lost ? "lost" : "connecting";
  $("link-text").textContent = open ? "Connected" : lost ? "Connection lost" : "Connecting";
  $("lost").hidden = !lost;
  if (!lost) return open;
  const tick = () => {
    const seconds = phase === "waiting" ? Math.max(0, Math.ceil((retryAt - Date.now()) / 1000)) : 0;
    $("lost-next").textContent = seconds > 0 ? `Next try in ${seconds} s.` : `Trying again, attempt ${attempt + 1}.`;
  };
  tick();
  if (phase === "waiting") countdown = setInterval(tick, 250);
  return open;
}
