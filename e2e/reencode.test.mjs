// The sample data, decoded and encoded again by package event, by the official schemas:
// the result is valid and says the same.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { EventSchema, RunAgentInputSchema } from "@ag-ui/core/schemas";

const lines = (text) => text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));

for (const { file, schema, args, stripped } of [
  // One sample has a member of the future, which a closed object loses on the way.
  { file: "events.ndjson", schema: EventSchema, args: [], stripped: ["futureField"] },
  { file: "run_inputs.ndjson", schema: RunAgentInputSchema, args: ["-input"], stripped: [] },
]) {
  test(`${file} again`, () => {
    const text = readFileSync(new URL(`../agui/testdata/${file}`, import.meta.url), "utf8");
    const run = execFileSync("go", ["run", "./reencode", ...args], {
      cwd: new URL(".", import.meta.url), input: text, encoding: "utf8", maxBuffer: 1 << 24,
    });
    const before = lines(text);
    const after = lines(run);
    assert.equal(after.length, before.length);
    for (const [i, value] of after.entries()) {
      const verdict = schema.safeParse(value);
      assert.ok(verdict.success, `line ${i + 1}: ${verdict.error}`);
      for (const member of stripped) delete before[i][member];
      assert.deepEqual(value, before[i], `line ${i + 1}`);
    }
  });
}
