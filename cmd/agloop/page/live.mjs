// The figures of the server: totals once a second, made into rates here.

const PERIOD_MS = 1000;

// watchFigures calls begin for each reading, and what it returns with the figures and the reading
// itself; with nothing where the server is away. While away() it is not asked, since a browser writes
// each request that fails into the console.
export function watchFigures(away, begin) {
  let before;
  const poll = async () => {
    if (away()) {
      before = undefined;
      begin()();
    } else if (!document.hidden) {
      const show = begin();
      try {
        const answer = await fetch("stats", { cache: "no-store" });
        if (!answer.ok) throw new Error(answer.statusText);
        const now = { at: performance.now(), ...(await answer.json()) };
        show(figures(now, before), now);
        before = now;
      } catch {
        before = undefined;
        show(); // the connection state says so
      }
    }
    setTimeout(poll, PERIOD_MS);
  };
  poll();
}

// figures compares two readings. A restarted server counts from zero again.
export function figures(now, before) {
  const out = { connections: now.connections, viewers: now.viewers, logs: now.logBytes };
  if (!before || now.framesOut < before.framesOut) return out;
  const frames = now.framesOut - before.framesOut;
  const writes = now.writes - before.writes;
  const seconds = (now.at - before.at) / 1000;
  out.eventsPerSecond = frames / seconds;
  out.writesPerSecond = writes / seconds;
  if (writes > 0) out.framesPerWrite = frames / writes;
  return out;
}

const enough = 10; // events a second, from which on a profile makes a difference

// Measured remembers for each profile what was measured while it held, the last reading that had
// events enough.
export class Measured {
  #before;
  byProfile = {};

  // take notes a reading. One during which the profile changed belongs to neither.
  take(figures, profile) {
    const same = this.#before === profile;
    this.#before = profile;
    if (!same || !(figures?.eventsPerSecond >= enough)) return;
    const { framesPerWrite, writesPerSecond } = figures;
    this.byProfile[profile] = { framesPerWrite, writesPerSecond };
  }
}
