// The verdicts of the official client 1.0.0. Reads one case a line, {"event": text} or {"stream": [texts]}, where each
// text is a frame, and answers each with one line: {"fatal": why}, {"dropped": true} or {"kept": event} for an event,
// {"delivered": [events], "fatal"?: why} for a stream.
import { createInterface } from "node:readline";
import { CompatibilityBoundary, enforceEvents, transformChunks, verifyEvents } from "@ag-ui/client";
import { from, map } from "rxjs";

console.warn = console.error = () => {}; // it tells of everything that it leaves out

// The stages of the client, in its order: what is retired is translated, enforced, expanded, verified.
const translated = () => {
  const boundary = new CompatibilityBoundary();
  return map((event) => boundary.transformEvent(event));
};

function run(source, ...stages) {
  const delivered = [];
  let fatal;
  source.pipe(...stages).subscribe({ next: (event) => delivered.push(event), error: (e) => (fatal = message(e)) });
  return { delivered, fatal };
}

const message = (e) => (e.issues ? e.issues.map((i) => `${i.code} ${i.path.join(".")}: ${i.message}`).join("; ") : String(e.message));

function judgeEvent(text) {
  const { delivered, fatal } = run(from([text]).pipe(map((t) => JSON.parse(t))), translated(), enforceEvents());
  if (fatal !== undefined) return { fatal };
  return delivered.length === 0 ? { dropped: true } : { kept: delivered[0] };
}

const judgeStream = (texts) =>
  run(from(texts).pipe(map((t) => JSON.parse(t))), translated(), enforceEvents(), transformChunks(), verifyEvents());

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const { event, stream } = JSON.parse(line);
  const answer = JSON.stringify(event === undefined ? judgeStream(stream ?? []) : judgeEvent(event));
  if (!process.stdout.write(`${answer}\n`)) await new Promise((resolve) => process.stdout.once("drain", resolve));
}
