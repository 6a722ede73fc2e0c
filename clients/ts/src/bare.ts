import type { BaseEvent } from "@ag-ui/client";
import { fault } from "./errors.js";
import { isTerminal, type Sequence } from "./sequence.js";

/**
 * Makes a run on a socket of its own that is open and speaks no subprotocol: the input goes out, its
 * events come in, and the run ends with the socket.
 */
export function runBare(socket: WebSocket, s: Sequence) {
  s.sentTo = "bare";
  const finish = (error?: Error) => {
    socket.onmessage = socket.onclose = null;
    socket.close(1000);
    s.end(error);
  };
  socket.onclose = ({ code }) => finish(s.truncated(`the connection ended with ${code}`));
  socket.onmessage = ({ data }) => {
    if (s.over) return;
    let event: BaseEvent;
    try {
      event = JSON.parse(typeof data === "string" ? data : new TextDecoder().decode(data));
      if (!event.type) throw 0;
    } catch {
      return finish(fault("what is no event"));
    }
    s.sink.event(event, { runId: s.runId, epoch: "", from: 0, to: 0, last: 0 });
    if (isTerminal(event)) finish();
  };
  socket.send(s.input as string);
}
