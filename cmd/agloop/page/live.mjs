// The live strip: totals from the server once a second, made into rates here.

const PERIOD_MS = 1000;

// watchFigures calls begin for each reading, and what it returns with the figures and the reading
// itself; with nothing while the server is away.
export function watchFigures(begin) {
  let before;
  const poll = async () => {
    if (!document.hidden) {
      const show = begin();
      try {
        const answer = await fetch("stats", { cache: "no-store" });
        if (!answer.ok) throw new Error(answer.statusText);
        const now = { at: performance.now(), ...(await answer.json()) };
        show(figures(now, before), now);
        before = now;
      } catch {
        before = undefined;
        show(); // the server is away; the connection state says so
      }
    }
    setTimeout(poll, PERIOD_MS);
  };
  poll();
}

// figures compares two readings. A restarted server counts from zero again.
export function figures(now, before) {
  const out = { connections: now.connections, eventsPerSecond: undefined, framesPerWrite: undefined };
  if (!before || now.framesOut < before.framesOut) return out;
  const frames = now.framesOut - before.framesOut;
  const writes = now.writes - before.writes;
  out.eventsPerSecond = (frames * 1000) / (now.at - before.at);
  if (writes > 0) out.framesPerWrite = frames / writes;
  return out;
}
