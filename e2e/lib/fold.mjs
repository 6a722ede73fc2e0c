// Judges by the official client what viewers of folded logs were given. A worker of fold.test.mjs: it
// takes a share of the runs, {program, seed, count}, and answers with what it has found.
import { execFileSync } from "node:child_process";
import { isDeepStrictEqual } from "node:util";
import { parentPort, workerData } from "node:worker_threads";
import { reference } from "./reference.mjs";
import { loggedRuns } from "./streams.mjs";

const { program, seed, count } = workerData;
const found = {
  wrong: [], // what differs
  views: 0, // viewers
  judged: 0, // those of them that were given something else than the events as they were
  trimmed: 0, // those that came too late
  offsets: 0, // of all logs
  gathered: 0, // those of them that stand in a fold, or behind a state that undoes them
  seen: {}, // how often what occurs
};
const see = (what, n = 1) => (found.seen[what] = (found.seen[what] ?? 0) + n);
console.error = () => {};
console.warn = (text) => see(text.startsWith("Failed to apply state patch") ? "failed patch" : "warning");

const runs = [];
for (const run of loggedRuns(seed)) if (runs.push({ seed: seed + runs.length, ...run }) === count) break;
const out = execFileSync(program, ["fold"], { input: runs.map((r) => JSON.stringify(r)).join("\n"), encoding: "utf8", maxBuffer: 1 << 30 });
const results = out.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
if (results.length !== count) throw new Error(`${results.length} results of ${count} runs`);
for (const [i, views] of results.entries()) await judge(runs[i], views);
parentPort.postMessage(found);

// judge compares each viewer of a run with the client that has started it and missed nothing.
async function judge({ seed, input, events }, views) {
  const fromStart = views.find((v) => v.place === "start");
  const prelude = fromStart.frames.filter((f) => f.through < 2).map((f) => f.event);
  const { input: _, ...started } = prelude[0] ?? { type: "RUN_STARTED", threadId: "t", runId: "r0" };
  const all = [started, ...events];
  all.forEach(note);
  noteFolds(fromStart.frames, all);
  const want = await madeOf({ input, events: all });
  for (const [i, view] of views.entries()) {
    const { cursor, place, frames, gone } = view;
    found.views++;
    see(`at ${place}`);
    if (gone === "trimmed") found.trimmed++;
    const wrong = want.error ?? brokenRange(view, all.length);
    if (wrong) found.wrong.push({ seed, wrong, view });
    if (wrong || gone) continue;
    const rest = frames.map((f) => f.event);
    const ofStarter = place === "starter" || place === "again";
    if (isDeepStrictEqual(rest, all.slice(cursor))) continue;
    found.judged++;
    // Who has a cursor has started the run, or else has joined it.
    const joined = cursor === 0 ? !ofStarter : i % 2 === 0 && prelude.length > 0;
    const before = joined && cursor > 0 ? [...prelude, ...all.slice(1, cursor)] : all.slice(0, cursor);
    const got = await madeOf({ ...(!joined && { input }), events: [...before, ...rest] });
    if (!isDeepStrictEqual(got, want)) found.wrong.push({ seed, wrong: "differs", view, joined, got, want });
  }
}

// madeOf is what the official client makes of a stream, or its error.
async function madeOf(stream) {
  try {
    return await reference(stream);
  } catch (err) {
    return { error: err.message };
  }
}

// brokenRange says where the offsets of a viewer's frames do not follow each other, up to the last one.
// The state of a prelude stands for none.
function brokenRange({ cursor, frames, gone }, last) {
  let next = cursor + 1;
  for (const { first, through } of frames) {
    const none = cursor === 0 && first === 2 && through === 1;
    if (first !== next || (through < first && !none)) return `${first} to ${through} where ${next} comes next`;
    next = through + 1;
  }
  if (gone ? gone !== "trimmed" : next !== last + 1) return `${gone ?? "the end"} where ${next} of ${last} comes next`;
}

// note counts what the client treats in a way of its own.
function note({ type, metadata, outcome }) {
  see(type);
  if (metadata) see("metadata");
  if (type === "MESSAGES_SNAPSHOT" && metadata?.["@ag-ui/client"]?.authoritativeActivityTypes) see("authoritative types");
  if (outcome?.type === "interrupt") see("interrupt");
}

// noteFolds counts what the log has made less of.
function noteFolds(frames, all) {
  for (const { first, through, event } of frames) {
    found.offsets += Math.max(0, through - first + 1);
    if (through <= first) continue;
    found.gathered += through - first + 1;
    see(event.type === "STATE_SNAPSHOT" && all[through - 1].type === "STATE_DELTA" ? "computed state" : `fold ${event.type}`);
  }
}
