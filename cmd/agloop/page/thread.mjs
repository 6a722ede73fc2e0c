// The conversation as data: what was said, the state, and what the next run's input
// must carry. It knows events, not the page.
import { patch } from "./patch.mjs";

export const PROTOCOL_VERSION = "1.0";

// newId works on plain http origins too, where crypto.randomUUID is missing.
export function newId(prefix) {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return prefix + Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

export class Thread {
  id = newId("thread-");
  messages = [];
  state = {};
  interrupts = [];

  say(text) {
    const message = { id: newId("message-"), role: "user", content: text };
    this.messages.push(message);
    return message;
  }

  // input is the RunAgentInput of a new run; resume answers the interrupts of the last one.
  input(resume) {
    const input = {
      threadId: this.id,
      runId: newId("run-"),
      protocolVersion: PROTOCOL_VERSION,
      messages: this.messages,
      state: this.state,
      tools: [],
      context: [],
      forwardedProps: {},
    };
    if (resume) input.resume = resume;
    return input;
  }

  // apply changes the thread by one event.
  apply(event) {
    switch (event.type) {
      case "RUN_STARTED":
        this.interrupts = [];
        break;
      case "TEXT_MESSAGE_START":
        if (!this.#message(event.messageId))
          this.messages.push({ id: event.messageId, role: event.role ?? "assistant", content: "" });
        break;
      case "TEXT_MESSAGE_CONTENT":
        this.#message(event.messageId).content += event.delta;
        break;
      case "TOOL_CALL_START":
        this.#callHost(event).toolCalls.push({
          id: event.toolCallId,
          type: "function",
          function: { name: event.toolCallName, arguments: "" },
        });
        break;
      case "TOOL_CALL_ARGS":
        this.#call(event.toolCallId).function.arguments += event.delta;
        break;
      case "TOOL_CALL_RESULT":
        this.messages.push({
          id: event.messageId,
          role: "tool",
          toolCallId: event.toolCallId,
          content: event.content,
        });
        break;
      case "STATE_SNAPSHOT":
        this.state = event.snapshot;
        break;
      case "STATE_DELTA":
        this.#patchState(event.delta);
        break;
      case "RUN_FINISHED":
        if (event.outcome?.type === "interrupt") this.interrupts = event.outcome.interrupts;
        break;
    }
  }

  #message(id) {
    return this.messages.find((m) => m.id === id);
  }

  // callHost is the assistant message a call belongs to.
  #callHost(event) {
    const id = event.parentMessageId ?? event.toolCallId;
    let host = this.#message(id);
    if (!host) this.messages.push((host = { id, role: "assistant", toolCalls: [] }));
    host.toolCalls ??= [];
    return host;
  }

  #call(id) {
    for (const m of this.messages) {
      const call = m.toolCalls?.find((c) => c.id === id);
      if (call) return call;
    }
  }

  // A patch that does not fit keeps the state as it is; the next snapshot mends it.
  #patchState(delta) {
    try {
      this.state = patch(this.state, delta);
    } catch (err) {
      console.warn(`state patch skipped: ${err.message}`);
    }
  }
}
