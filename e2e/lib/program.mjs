// Starts a command of the agloop program under test and stops it again.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

const binary = process.env.AGLOOP_BIN;
if (!binary) throw new Error("AGLOOP_BIN must name the program under test; e2e/run.sh sets it");

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL"))); // nothing outlives the tests

function start(args) {
  const child = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  child.on("exit", () => running.delete(child));
  return child;
}

// within rejects when promise takes longer than ms. It waits for nothing else.
export async function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// serve starts a serving command on a free port and resolves when it has announced its address.
export async function serve(command, ...args) {
  const child = start([command, "--addr", "127.0.0.1:0", ...args]);
  let stderr = "";
  child.stderr.on("data", (d) => (stderr += d));
  const exited = once(child, "exit").then(([code, signal]) => ({ code, signal, stderr }));
  const lines = createInterface({ input: child.stdout });
  const [line] = await within(
    10_000,
    `start of agloop ${command}`,
    Promise.race([once(lines, "line"), exited.then((e) => Promise.reject(new Error(`agloop ${command}: ${e.stderr}`)))]),
  );
  const host = /\/\/([^/]+)\//.exec(line)[1];
  return {
    announced: line,
    http: `http://${host}`,
    ws: `ws://${host}/ws`,
    host,
    // stop asks the program to end and resolves with how it did.
    stop() {
      if (running.has(child)) child.kill("SIGTERM");
      return within(15_000, `end of agloop ${command}`, exited);
    },
  };
}

// invoke runs a command to its end.
export async function invoke(...args) {
  const child = start(args);
  const out = { stdout: "", stderr: "" };
  child.stdout.on("data", (d) => (out.stdout += d));
  child.stderr.on("data", (d) => (out.stderr += d));
  const [code] = await within(30_000, `agloop ${args[0]}`, once(child, "close"));
  return { code, ...out };
}
