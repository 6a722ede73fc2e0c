// The official client on a WebSocket: one agent, one socket, run after run.
import { AbstractAgent, enforceOutgoingInput } from "@ag-ui/client";
import { Observable } from "rxjs";
import { WebSocket } from "ws";
import { judge } from "./judge.mjs";

const terminal = new Set(["RUN_FINISHED", "RUN_ERROR"]);

export class SocketAgent extends AbstractAgent {
  #url;
  #socket;
  sockets = 0; // opened so far
  wire = []; // every event that arrived, as it arrived

  constructor({ url, ...config }) {
    super(config);
    this.#url = url;
  }

  run(input) {
    return new Observable((out) => {
      let over = false; // the run has its terminal event, or nobody listens
      const socket = this.#connected();
      const fail = (err) => {
        if (over) return;
        over = true;
        out.error(err);
      };
      const receive = (data, isBinary) => {
        if (over) return fail(new Error("an event after the end of the run"));
        let event;
        try {
          if (isBinary) throw new Error("a binary frame among events");
          event = judge(JSON.parse(data.toString()), `event ${this.wire.length}`);
        } catch (err) {
          return fail(err);
        }
        this.wire.push(event);
        out.next(event);
        if (terminal.has(event.type)) {
          over = true;
          out.complete();
        }
      };
      const closed = (code) => fail(new Error(`truncated: the connection ended with ${code} before the run did`));
      const begin = () => socket.send(JSON.stringify(enforceOutgoingInput(input)));

      socket.on("message", receive).on("close", closed).on("error", fail);
      if (socket.readyState === WebSocket.OPEN) begin();
      else socket.once("open", begin);

      return () => {
        socket.off("message", receive).off("close", closed).off("error", fail);
        // AG-UI cancels by closing; a socket whose run ended in order serves the next one.
        if (!over) this.#drop();
        over = true;
      };
    });
  }

  abortRun() {
    this.#drop();
  }

  clone() {
    return new SocketAgent({ url: this.#url, threadId: this.threadId, initialMessages: this.messages, initialState: this.state });
  }

  close() {
    this.#drop();
  }

  #connected() {
    const state = this.#socket?.readyState;
    if (state === WebSocket.OPEN || state === WebSocket.CONNECTING) return this.#socket;
    this.sockets++;
    this.#socket = new WebSocket(this.#url);
    this.#socket.on("error", () => {}); // between runs there is no one to tell
    return this.#socket;
  }

  #drop() {
    this.#socket?.close(1000);
    this.#socket = undefined;
  }
}

// ask adds a message of the user and runs the agent.
export function ask(agent, text, parameters = {}, subscriber) {
  agent.addMessage({ id: `user-${agent.messages.length}`, role: "user", content: text });
  return agent.runAgent(parameters, subscriber);
}

export const types = (events) => events.map((e) => e.type);

export const spoken = (events) =>
  events
    .filter((e) => e.type === "TEXT_MESSAGE_CONTENT")
    .map((e) => e.delta)
    .join("");
