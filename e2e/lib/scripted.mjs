// The scripted host, and scripts for its agent.
import { announced, start } from "./program.mjs";

// scripted starts the host. open has a gate be open; stopped is why a run was stopped, started how often it was.
export async function scripted(addr = "127.0.0.1:0", ...args) {
  const { line, stop, kill } = await announced("scripted", start(binaryOf("SCRIPTED_BIN"), ["--addr", addr, ...args]));
  const host = /\/\/([^/]+)\//.exec(line)[1];
  const ask = async (path, name) => (await fetch(`http://${host}/${path}?name=${encodeURIComponent(name)}`)).text();
  return {
    host, http: `http://${host}`, ws: `ws://${host}/ws`, stop, kill,
    open: (gate) => ask("open", gate),
    stopped: (run) => ask("stopped", run),
    started: async (run) => Number(await ask("started", run)),
  };
}

function binaryOf(variable) {
  const path = process.env[variable];
  if (!path) throw new Error(`${variable} must name a program under test; e2e/run.sh sets it`);
  return path;
}

export const event = (type, members) => ({ event: { type, ...members } });
export const gate = (name) => ({ gate: name });
export const says = (messageId, ...deltas) => [
  event("TEXT_MESSAGE_START", { messageId, role: "assistant" }),
  ...deltas.map((delta) => event("TEXT_MESSAGE_CONTENT", { messageId, delta })),
  event("TEXT_MESSAGE_END", { messageId }),
];
export const calls = (toolCallId, name, args, parentMessageId) => [
  event("TOOL_CALL_START", { toolCallId, toolCallName: name, ...(parentMessageId && { parentMessageId }) }),
  event("TOOL_CALL_ARGS", { toolCallId, delta: JSON.stringify(args) }),
  event("TOOL_CALL_END", { toolCallId }),
];
export const asks = (id) =>
  event("RUN_FINISHED", { threadId: "", runId: "", outcome: { type: "interrupt", interrupts: [{ id, reason: "approval" }] } });

// play is the parameters of runAgent that have the agent do these steps.
export const play = (...steps) => ({ forwardedProps: { script: steps.flat() } });
