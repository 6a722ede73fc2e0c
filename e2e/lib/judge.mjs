// Judges what Go wrote by the official schemas.
import assert from "node:assert/strict";
import { EventSchema } from "@ag-ui/core/schemas";

// judge fails unless event is a valid AG-UI event without a member the schema does not
// know: the schema strips those silently, so what it returns must equal what it got.
export function judge(event, where = "event") {
  const verdict = EventSchema.safeParse(event);
  if (!verdict.success) {
    const issues = verdict.error.issues.map((i) => `/${i.path.join("/")} ${i.message}`).join("; ");
    assert.fail(`${where} is not valid: ${issues}\n${JSON.stringify(event)}`);
  }
  assert.deepEqual(verdict.data, event, `${where} has members the schema does not know`);
  return event;
}
