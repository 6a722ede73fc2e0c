// The panel of the server: its figures, its profiles, and what each has come to.
import { Measured, watchFigures } from "./live.mjs";
import { bytes, change, describe, number } from "./tuning.mjs";

const $ = (id) => document.getElementById(id);
const measured = new Measured();

// A reading that was on its way during a change would show what held before it.
let changes = 0;

// watchServer keeps the panel up to date. said is told what changed, failed why it did not.
export function watchServer(away, said, failed) {
  watchFigures(away, () => {
    const asked = changes;
    return (figures, tuning) => {
      drawFigures(figures);
      if (asked !== changes) return;
      measured.take(figures, tuning?.profile);
      drawTuning(tuning);
    };
  });

  const tune = async (wanted, done) => {
    changes++;
    try {
      drawTuning(await change(wanted));
      said(done);
    } catch (err) {
      failed(`The server was not tuned: ${err.message}`);
    }
    changes++;
  };

  $("profiles").addEventListener("click", (e) => {
    const profile = e.target.closest("button")?.dataset.profile;
    if (profile) tune({ profile }, `Profile ${profile}`);
  });

  $("adaptive").addEventListener("click", () => {
    const on = $("adaptive").getAttribute("aria-checked") !== "true";
    tune({ adaptive: on }, `Adaptive optimization ${on ? "on" : "off"}`);
  });
}

const or = (value, show) => (value === undefined ? "–" : show(value));

function drawFigures(f) {
  $("stat-connections").textContent = or(f?.connections, number);
  $("stat-viewers").textContent = or(f?.viewers, number);
  $("stat-events").textContent = or(f?.eventsPerSecond, (n) => number(n, 0));
  $("stat-writes").textContent = or(f?.writesPerSecond, (n) => number(n, 0));
  $("stat-batch").textContent = or(f?.framesPerWrite, (n) => number(n, 1));
  $("stat-logs").textContent = or(f?.logs, bytes);
}

// drawTuning shows what holds, or that it is not known.
function drawTuning(tuning) {
  const words = tuning && describe(tuning);
  for (const [id, name] of [
    ["stat-memory", "memory"], ["stat-window", "window"], ["stat-batch-bytes", "batchBytes"],
    ["stat-queue", "queue"], ["stat-buffers", "buffers"], ["decision", "decision"],
  ]) {
    $(id).textContent = words?.[name] ?? "–";
  }
  for (const button of $("profiles").querySelectorAll("button")) {
    const { profile } = button.dataset;
    button.disabled = !tuning;
    button.setAttribute("aria-pressed", String(profile === tuning?.profile));
    const m = measured.byProfile[profile];
    $(`${profile}-batch`).textContent = or(m?.framesPerWrite, (n) => number(n, 1));
    $(`${profile}-writes`).textContent = or(m?.writesPerSecond, (n) => number(n, 0));
  }
  $("adaptive").disabled = !tuning;
  $("adaptive").setAttribute("aria-checked", String(tuning?.adaptive === true));
}
