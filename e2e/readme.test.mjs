// What the README has a reader type, typed.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { serve } from "./lib/program.mjs";

let demo;
let dir;
before(async () => {
  demo = await serve("demo");
  dir = await mkdtemp(join(tmpdir(), "readme-"));
});
after(async () => {
  await demo.stop();
  await rm(dir, { recursive: true });
});

test("the lines of curl start a run, join and stop it", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const [, lines] = readme.match(/```sh\n(curl[^]*?)```/);
  const { host } = demo;
  const script = lines.replaceAll("localhost:8080", host);
  assert.notEqual(script, lines);
  const { stdout } = await promisify(execFile)("bash", ["-eu", "-c", script], { cwd: dir, timeout: 30_000 });
  assert.equal(JSON.parse(stdout).transport.streaming, true);
  for (const file of ["events", "joined"]) {
    const events = (await readFile(join(dir, file), "utf8"))
      .split("\n")
      .filter((line) => line.startsWith("data: "))
      .map((line) => JSON.parse(line.slice(6)));
    assert.equal(events[0].type, "RUN_STARTED", file);
    assert.equal(events.at(-1).type, "RUN_FINISHED", file);
    assert.equal(events.at(-1).outcome?.type, "cancelled", file);
  }
});
