// The logs of runs beside the official client: whatever its cursor, a viewer comes to what all events
// come to as they were emitted.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Worker } from "node:worker_threads";

const seed = Number(process.env.FOLD_SEED ?? 1); // another one makes other runs
const count = 3000;
process.env.SUPPRESS_TRANSFORMATION_WARNINGS = "1";
const folder = mkdtempSync(join(tmpdir(), "fold-"));
after(() => rmSync(folder, { recursive: true }));

// judged is what a worker finds of its share of the runs.
async function judged(program, from, to) {
  const worker = new Worker(new URL("lib/fold.mjs", import.meta.url), { workerData: { program, seed: seed * 1_000_000 + from, count: to - from } });
  const [found] = await once(worker, "message");
  return found;
}

test(`${count} random runs of all event types, cut at random cursors`, async () => {
  const program = join(folder, "reduce");
  execFileSync("go", ["build", "-o", program, "./reduce"], { cwd: new URL(".", import.meta.url) });
  const shares = Math.min(4, availableParallelism());
  const border = (i) => Math.floor((i * count) / shares);
  const results = await Promise.all(Array.from({ length: shares }, (_, i) => judged(program, border(i), border(i + 1))));

  const wrong = results.flatMap((r) => r.wrong);
  assert.equal(wrong.length, 0, `${wrong.length} viewers differ, such as ${JSON.stringify(wrong[0])}`);
  const sum = (f) => results.reduce((n, r) => n + (f(r) ?? 0), 0);
  assert.ok(sum((r) => r.views) > 5 * count && sum((r) => r.judged) > 3 * count, "viewers are too few");
  assert.ok(sum((r) => r.trimmed) < count / 20, "too many came too late");
  assert.ok(sum((r) => r.gathered) > sum((r) => r.offsets) / 4, "too little was folded");
  const types = new Set(results.flatMap((r) => Object.keys(r.seen)).filter((what) => /^[A-Z_]+$/.test(what)));
  assert.equal(types.size, 31);
  for (const what of [
    "fold TEXT_MESSAGE_CONTENT", "fold TOOL_CALL_ARGS", "fold REASONING_MESSAGE_CONTENT", "fold STATE_SNAPSHOT", "computed state",
    "metadata", "authoritative types", "interrupt", "failed patch",
    "at starter", "at start", "at first", "at border", "at inside", "at last", "at any", "at again", "at live", "at slow",
  ])
    assert.ok(sum((r) => r.seen[what]) >= count / 60, `${what} is seldom`);
});
