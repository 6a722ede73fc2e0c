// The server's performance system: what holds in words, and how to change it.

// change asks the server for a tuning and returns what holds from then on.
export async function change(wanted) {
  const answer = await fetch("profile", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(wanted),
  });
  if (!answer.ok) throw new Error((await answer.text()).trim() || answer.statusText);
  return answer.json();
}

// describe puts a tuning in words.
export function describe(t) {
  const none = t.batchSize <= 1 || t.batchTimeoutMs <= 0;
  return {
    memory: `${t.memoryTier}, ${percent(t.memoryPressure)}`,
    profile: t.profile,
    window: none ? "none" : `${t.batchSize} in ${number(t.batchTimeoutMs)} ms`,
    batchBytes: none ? "none" : bytes(t.batchBytes),
    queue: bytes(t.softLimit),
    buffers: number(t.bufferPool),
    decision: decision(t),
  };
}

function decision({ lastDecision: d, adaptive }) {
  if (d) return `toward ${d.toward}, ${ago(d.secondsAgo)}: ${d.reason}${adaptive ? "" : " (now off)"}`;
  if (adaptive) return "none yet. A step needs a cause that holds for ten seconds.";
  return "none yet. Adaptive optimization is off until you switch it on.";
}

export const number = (n, digits = 2) => n.toLocaleString("en", { maximumFractionDigits: digits });

export function bytes(n) {
  if (n < 1024) return `${n} B`;
  if (n < 1 << 20) return `${number(n / 1024, 1)} KiB`;
  return `${number(n / (1 << 20), 1)} MiB`;
}

const percent = (n) => (n > 0 && n < 1 ? "<1 %" : `${number(Math.round(n))} %`);

function ago(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return `${Math.floor(seconds / 3600)} h ago`;
}
