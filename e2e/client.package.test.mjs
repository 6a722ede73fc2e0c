// The package @agloop/client as its users get it: packed, installed into an empty project, compiled and run there.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { build } from "../clients/ts/node_modules/esbuild/lib/main.js";
import { play, says, scripted } from "./lib/scripted.mjs";

// What it takes minified, in bytes. More than 3 % more is a mistake; when it takes less, this becomes less.
const size = 27_567;

const source = new URL("../clients/ts/", import.meta.url).pathname;
const manifest = JSON.parse(await readFile(join(source, "package.json"), "utf8"));
const pinned = JSON.parse(await readFile(new URL("./package.json", import.meta.url), "utf8")).devDependencies;
const execute = promisify(execFile);

let project;
let files;
before(async () => {
  project = await mkdtemp(join(tmpdir(), "agloop-package-"));
  // run.sh has built it; two builds at once would disturb other tests.
  const packed = await execute("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", project], { cwd: source });
  const [{ filename, files: list }] = JSON.parse(packed.stdout);
  files = list.map(({ path }) => path);
  await writeFile(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
  const versions = { ...manifest.devDependencies, ws: pinned.ws };
  const others = ["@ag-ui/client", "rxjs", "react", "ws", "@types/ws", "@types/react", "@types/node"].map((name) => `${name}@${versions[name]}`);
  await execute("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", join(project, filename), ...others], { cwd: project });
});
after(() => rm(project, { recursive: true, force: true }));

const installed = async () => JSON.parse(await readFile(join(project, "node_modules/@agloop/client/package.json"), "utf8"));

test("the tarball holds what users need, and nothing else", async () => {
  const others = files.filter((path) => !/^dist\/\w+\.(js|d\.ts)$/.test(path));
  assert.deepEqual(others.sort(), ["LICENSE", "README.md", "package.json"]);
  for (const half of ["js", "d.ts"]) assert.ok(files.includes(`dist/index.${half}`));
});

test("it depends on rxjs and the official client alone", async () => {
  const { dependencies, optionalDependencies, peerDependencies, scripts } = await installed();
  assert.deepEqual([dependencies, optionalDependencies], [undefined, undefined]);
  assert.deepEqual(Object.keys(peerDependencies).sort(), ["@ag-ui/client", "rxjs"]);
  assert.deepEqual(Object.keys(scripts).filter((name) => /install/.test(name)), []);
  const used = new Set();
  for (const path of files.filter((f) => f.endsWith(".js"))) {
    const text = await readFile(join(project, "node_modules/@agloop/client", path), "utf8");
    for (const [, name] of text.matchAll(/from "([^."][^"]*)"/g)) used.add(name);
  }
  assert.deepEqual([...used].sort(), ["@ag-ui/client", "rxjs"]);
});

test("minified it takes what it took", async (t) => {
  const result = await build({
    entryPoints: [join(project, "node_modules/@agloop/client/dist/index.js")],
    bundle: true, minify: true, write: false, format: "esm", target: "es2022", packages: "external",
  });
  const [{ contents }] = result.outputFiles;
  t.diagnostic(`${contents.length} bytes, ${gzipSync(contents, { level: 9 }).length} gzipped`);
  assert.ok(contents.length <= size * 1.03, `${contents.length} bytes; it took ${size}`);
});

test("it makes a run in an empty project, which ends by itself when the connection is closed", async (t) => {
  const server = await scripted();
  t.after(() => server.stop());
  await writeFile(
    join(project, "run.mjs"),
    `import { AgloopAgent } from "@agloop/client";
    import { WebSocket } from "ws";
    const agent = new AgloopAgent({ url: ${JSON.stringify(server.ws)}, threadId: "packed", WebSocket });
    agent.addMessage({ id: "u1", role: "user", content: "hello" });
    await agent.runAgent(${JSON.stringify(play(says("m1", "good ", "day")))});
    agent.connection.close();
    console.log(JSON.stringify(agent.messages));`,
  );
  const { stdout, stderr } = await execute(process.execPath, ["run.mjs"], { cwd: project });
  assert.deepEqual(JSON.parse(stdout).map((m) => m.content), ["hello", "good day"]);
  assert.equal(stderr, "");
});

// All that is public, and what must not compile. A line that compiles below @ts-expect-error is an error.
const uses = `
import {
  AgloopAgent, AgloopConnection, AgloopError, protocol,
  type AgloopAgentConfig, type ConnectionOptions, type ConnectionState, type ConnectParameters, type Credentials, type Cursor, type ErrorCode,
  type Place, type RunCursor,
} from "@agloop/client";
import { AbstractAgent, type BaseEvent, type Message, type RunAgentResult } from "@ag-ui/client";
import type { Observable } from "rxjs";
import { WebSocket as NodeSocket } from "ws";

const credentials = async (): Promise<Credentials> => ({ query: { ticket: "t" }, protocols: ["p"], token: "t", headers: { "X-Page": "p" } });
const options: ConnectionOptions = {
  url: new URL("wss://example.test/ws"), credentials, bare: false, secret: "s", retryFor: Infinity, silence: 0, WebSocket: NodeSocket,
  http: "/agui", transport: "auto", fetch: (input, init) => fetch(input, init),
};
const connection = new AgloopConnection(options);
const config: AgloopAgentConfig = { connection, threadId: "t", live: true, initialMessages: [], initialState: {} };
const agent: AbstractAgent = new AgloopAgent(config);
const own = new AgloopAgent({ url: "/ws", credentials: () => undefined, WebSocket });
const result: RunAgentResult = await own.runAgent({ runId: "r", tools: [], context: [], forwardedProps: {} }, { onEvent: () => {} });
const parameters: ConnectParameters = { live: false };
await own.connectAgent(parameters);
await own.detachActiveRun();
own.abortRun();
const taken: boolean = await own.steer("text");
const copy: AgloopAgent = own.clone();
const cursor: RunCursor | undefined = own.cursor;
const messages: Message[] = own.messages;
const secret: string | undefined = own.connection.secret;
const states: Observable<ConnectionState> = connection.state;
states.subscribe(({ phase, attempt, retryAt, error, transport }) => {
  const over: "websocket" | "sse" | undefined = transport;
  const at: number = (retryAt ?? 0) + attempt;
  if (phase === "waiting") connection.retry();
  // @ts-expect-error
  if (phase === "asleep") throw [at, error, over];
});
const after: Cursor = { epoch: "00f1e2d3c4b5a697", offset: 1 };
connection.events("t", "r", after).subscribe(({ event, place }: { event: BaseEvent; place: Place }) => void [event, place.to, place.last]);
connection.close();
const failed = (e: unknown): ErrorCode | undefined => (e instanceof AgloopError ? e.code : undefined);
export { agent, result, taken, copy, cursor, messages, secret, failed, protocol };

// @ts-expect-error
new AgloopAgent();
// @ts-expect-error
new AgloopAgent({ threadId: "t" });
// @ts-expect-error
new AgloopAgent({ url: 7 });
// @ts-expect-error
new AgloopConnection({ url: "/ws", credentials: () => "token" });
// @ts-expect-error
new AgloopConnection({ url: "/ws", credentials: () => ({ query: { n: 1 } }) });
// @ts-expect-error
new AgloopConnection({ url: "/ws", transport: "http" });
// @ts-expect-error
new AgloopConnection({ url: "/ws", WebSocket: Date });
// @ts-expect-error
await own.steer();
// @ts-expect-error
await own.connectAgent({ live: "yes" });
// @ts-expect-error
connection.state = states;
// @ts-expect-error
connection.requests;
// @ts-expect-error
connection.events("t", "r", { epoch: "00f1e2d3c4b5a697" });
// @ts-expect-error
const code: ErrorCode = "unknown";
`;

test("all that is public, the examples and the README compile with tsc --strict, and what is wrong does not", async () => {
  await writeFile(join(project, "uses.ts"), uses);
  const react = join(project, "examples/react");
  await cp(join(source, "examples/react"), react, { recursive: true });
  const readme = await readFile(join(source, "README.md"), "utf8");
  const blocks = [...readme.matchAll(/^```(tsx?)\n(.*?)^```/gms)];
  assert.ok(blocks.length >= 8, `${blocks.length} blocks of code`);
  const names = blocks.map(([, type], n) => join(react, `readme-${n}.${type}`));
  await Promise.all(blocks.map(([, , text], n) => writeFile(names[n], `${text}\nexport {};\n`)));
  // What a block has from the first one.
  await writeFile(join(react, "given.d.ts"), `declare const agent: import("@agloop/client").AgloopAgent;\ndeclare const threadId: string;\n`);
  const tsc = join(source, "node_modules/typescript/bin/tsc");
  const flags = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--jsx", "react-jsx", "--lib", "es2022,dom", "--skipLibCheck", "false", "--types", "node"];
  const { stdout } = await execute(process.execPath, [tsc, ...flags, "uses.ts", join(react, "given.d.ts"), join(react, "Chat.tsx"), ...names], { cwd: project }).catch((e) => e);
  assert.equal(stdout, "");
});
