// What agui.Diff makes of two documents, applied by the library of the official client and by that client;
// and the capabilities that package agui reads and writes, by the official schema.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { AgentCapabilitiesSchema, EventSchema } from "@ag-ui/core/schemas";
import jsonpatch from "fast-json-patch";
import { reference } from "./lib/reference.mjs";
import { random } from "./lib/streams.mjs";

const seed = Number(process.env.STATE_SEED ?? 1); // another one makes other documents
const count = 10_000;
process.env.SUPPRESS_TRANSFORMATION_WARNINGS = "1";

const names = [
  "a", "b", "c", "items", "title", "é", "a/b", "~", "~1", "/", "", " ", "__proto__", "constructor", "prototype", "toString", "hasOwnProperty",
  "0", "1", "00", "01", "-1", "-", "+1", "10", "1e1", "length", "99999999999999999999", '"', "\\", "\u0000\n", "\u2028", "😀",
];
const leaves = [null, true, false, 0, -0, 1, 1.5, 1e21, 9007199254740993, -1e-7, "", "a", "é", "\u2028", "😀", "<&>", "long text ".repeat(8), {}, []];

class Documents {
  constructor(seed) {
    this.random = random(seed);
  }

  below = (n) => Math.floor(this.random() * n);
  pick = (list) => list[this.below(list.length)];
  list = (n, make) => Array.from({ length: n }, make);
  // An object whose own member may be __proto__.
  object = (entries) => Object.fromEntries(entries);

  value(depth) {
    const n = this.below(10);
    if (depth > 0 && n < 4) return this.object(this.list(this.below(6), () => [this.pick(names), this.value(depth - 1)]));
    if (depth > 0 && n < 6) return this.list(this.below(6), () => this.value(depth - 1));
    return this.pick(leaves);
  }

  // A value that differs from v a little, or not at all.
  change(v) {
    if (this.below(12) === 0) return this.value(2);
    if (Array.isArray(v))
      return v.flatMap((e) => [[], [this.value(1), e], [this.change(e)], [e], [e], [e], [e], [e]][this.below(8)]);
    if (typeof v !== "object" || v === null) return v;
    const entries = Object.entries(v).flatMap(([k, e]) => [[], [[k, this.change(e)]], [[k, this.change(e)]], [[k, e]], [[k, e]], [[k, e]], [[k, e]], [[k, e]]][this.below(8)]);
    if (this.below(4) === 0) entries.push([this.pick(names), this.value(1)]);
    return this.object(entries);
  }
}

const plain = (value) => JSON.parse(JSON.stringify(value));

test(`the patches between ${count} pairs of documents`, async () => {
  const documents = new Documents(seed);
  const pairs = Array.from({ length: count }, () => {
    const from = { ...documents.value(4), rest: documents.value(4), text: "so long that members are changed and not the whole".repeat(2) };
    return plain({ from, to: documents.change(from) });
  });
  const out = execFileSync("go", ["run", "./reduce", "diff"], {
    cwd: new URL(".", import.meta.url), input: pairs.map((p) => JSON.stringify(p)).join("\n"), encoding: "utf8", maxBuffer: 1 << 28,
  });
  const made = out.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
  assert.equal(made.length, count);
  let operations = 0, byClient = 0;
  for (const [i, { event, state }] of made.entries()) {
    const { from, to } = pairs[i];
    operations += event.delta.length;
    try {
      assert.ok(EventSchema.safeParse(event).success, "the event is refused");
      assert.deepEqual(state, to);
      assert.deepEqual(jsonpatch.applyPatch(plain(from), event.delta, true, false).newDocument, to);
      if (i % 50 > 0) continue;
      const got = await reference({
        events: [{ type: "RUN_STARTED", threadId: "t", runId: "r" }, { type: "STATE_SNAPSHOT", snapshot: from }, event, { type: "RUN_FINISHED", threadId: "t", runId: "r" }],
      });
      assert.deepEqual(got.state, to);
    } catch (err) {
      err.message = `pair ${i}: ${JSON.stringify(pairs[i])} by ${JSON.stringify(event.delta)}: ${err.message}`;
      throw err;
    }
    byClient++;
  }
  assert.ok(operations > count && byClient === count / 50, `${operations} operations: too little was tried`);
});

test("capabilities", () => {
  const lines = readFileSync(new URL("../agui/testdata/capabilities.ndjson", import.meta.url), "utf8").split("\n").filter((line) => line !== "");
  assert.ok(lines.length > 3);
  for (const line of lines) {
    const verdict = AgentCapabilitiesSchema.safeParse(JSON.parse(line));
    assert.ok(verdict.success, `${line}: ${verdict.error}`);
  }
  // The first has every member, so none of the schema's is missing from the type.
  const every = (schema, value, path) => {
    const inner = schema.def?.innerType ?? schema;
    for (const [name, member] of Object.entries(inner.shape ?? inner.def?.innerType?.shape ?? {})) {
      assert.ok(name in value, `${path}.${name} is missing`);
      every(member, value[name], `${path}.${name}`);
    }
  };
  every(AgentCapabilitiesSchema, JSON.parse(lines[0]), "capabilities");
});
