// The plan of the agent, which is in the state of the thread.
import { make } from "./log.mjs";

const $ = (id) => document.getElementById(id);
let drawn; // as JSON

export function drawPlan(state) {
  const plan = state?.plan;
  const now = JSON.stringify(plan);
  if (now === drawn) return;
  drawn = now;
  const steps = Array.isArray(plan?.steps) ? plan.steps : [];
  $("plan").classList.toggle("plan-empty", steps.length === 0);
  if (steps.length === 0) return;
  const count = `${plan.done} of ${steps.length}`;
  $("plan").classList.toggle("plan-stopped", plan.stopped === true);
  $("plan-title").textContent = String(plan.title ?? "Plan");
  $("plan-count").textContent = plan.stopped ? `Stopped at ${count}` : count;
  $("plan-bar").max = steps.length;
  $("plan-bar").value = Number(plan.done) || 0;
  $("plan-steps").replaceChildren(...steps.map(row));
  $("plan-note").hidden = plan.note === undefined;
  $("plan-note").textContent = plan.note ?? "";
}

function row(step) {
  const row = make("li", "", step.label);
  row.dataset.status = step.status;
  row.append(make("span", "unseen", `, ${step.status}`));
  if (step.status === "active") row.setAttribute("aria-current", "step");
  return row;
}
