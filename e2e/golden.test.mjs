// What package event writes, one golden file per event type, by the official schemas.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { EventType } from "@ag-ui/core";
import { judge } from "./lib/judge.mjs";

const folder = new URL("../codec/event/testdata/golden/", import.meta.url);
const files = readdirSync(folder).filter((f) => f.endsWith(".json"));

test("golden events", async (t) => {
  const seen = new Set();
  for (const file of files) {
    await t.test(file, () => {
      const event = judge(JSON.parse(readFileSync(new URL(file, folder), "utf8")), file);
      seen.add(event.type);
    });
  }
  const known = Object.values(EventType).filter((type) => !type.startsWith("THINKING_"));
  assert.deepEqual([...seen].sort(), known.sort(), "every event type has a golden file");
});
