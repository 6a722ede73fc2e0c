// Starts the programs under test and stops them again.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

// binary is a program under test, by the name of the variable that has its path.
function binary(variable) {
  const path = process.env[variable];
  if (!path) throw new Error(`${variable} must name a program under test; e2e/run.sh sets it`);
  return path;
}

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL"))); // nothing outlives the tests

export function start(file, args, stdin = "ignore") {
  const child = spawn(file, args, { stdio: [stdin, "pipe", "pipe"] });
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
  const child = start(binary("AGLOOP_BIN"), [command, "--addr", "127.0.0.1:0", ...args]);
  const { line, stop, kill } = await announced(`agloop ${command}`, child);
  const host = /\/\/([^/]+)\//.exec(line)[1];
  return { announced: line, http: `http://${host}`, ws: `ws://${host}/ws`, host, stop, kill };
}

// host starts the host of docs/deploy.md. say has its agent emit a token; an empty one ends the
// message.
export async function host(...args) {
  const child = start(binary("PROXIED_BIN"), args, "pipe");
  const { line, stop } = await announced("proxied", child);
  return { addr: /\/\/(.+)\/$/.exec(line)[1], stop, say: (token) => child.stdin.write(`${token}\n`) };
}

// announced resolves with the first line of a program, which says where it serves. stop asks the
// program to end and resolves with how it did.
export async function announced(name, child) {
  let stderr = "";
  child.stderr.on("data", (d) => (stderr += d));
  const exited = once(child, "exit").then(([code, signal]) => ({ code, signal, stderr }));
  const lines = createInterface({ input: child.stdout });
  const [line] = await within(
    10_000,
    `start of ${name}`,
    Promise.race([once(lines, "line"), exited.then((e) => Promise.reject(new Error(`${name}: ${e.stderr}`)))]),
  );
  return {
    line,
    kill() {
      child.kill("SIGKILL");
      return exited;
    },
    stop() {
      if (running.has(child)) child.kill("SIGTERM");
      return within(15_000, `end of ${name}`, exited);
    },
  };
}

// invoke runs a command to its end.
export const invoke = (...args) => launch(...args).end();

// launch runs a command. printed resolves when so many lines have come.
export function launch(...args) {
  const child = start(binary("AGLOOP_BIN"), args);
  const out = { stdout: "", stderr: "" };
  let wake = () => {};
  child.stdout.on("data", (d) => {
    out.stdout += d;
    wake();
  });
  child.stderr.on("data", (d) => (out.stderr += d));
  const closed = once(child, "close");
  const lines = async (n) => {
    while (out.stdout.split("\n").length <= n) await new Promise((resolve) => (wake = resolve));
  };
  return {
    printed: (n) => within(30_000, `line ${n} of agloop ${args[0]}`, lines(n)),
    signal: (name) => child.kill(name),
    async end() {
      const [code] = await within(30_000, `agloop ${args[0]}`, closed);
      return { code, ...out };
    },
  };
}
