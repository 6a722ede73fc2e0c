// What agloop makes of changed events and streams, beside the official client: the short form of make judge.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

const seed = process.env.JUDGE_SEED ?? "1"; // another one makes other cases; 0 a new one each time

test("changed events and streams have the verdicts of the official client, but for differences that are listed", () => {
  const run = spawnSync("go", ["run", "./judge", "-dir", "judge", "-events", "5000", "-streams", "1500", "-seed", seed], {
    cwd: new URL(".", import.meta.url), encoding: "utf8", maxBuffer: 1 << 26,
  });
  assert.equal(run.status, 0, run.stdout + run.stderr);
  assert.match(run.stdout, /, reader events 5000, sender events \d{4,}, reader streams 1500, emit streams 1500, sender streams 1500\n/);
});
