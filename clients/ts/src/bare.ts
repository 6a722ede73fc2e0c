import type { BaseEvent } from "@ag-ui/client";
import { fault } from "./errors.js";
import { isTerminal, type Sequence } from "./sequence.js";

/**
 * Makes a run on a socket of its own that is open and speaks no subprotocol: the input goes out, its
 * events come in, and the run ends with the socket.
 */
export function runBare(socket: WebSocket, s: Sequence) {
  s.sentTo = "bare";
  let finished = false; // RUN_FINISHED has come
  const finish = (error?: Error) => {
    socket.onmessage = socket.onclose = null;
    socket.close(1000);
    s.end(error);
  };
  socket.onclose = ({ code }) => finish(finished ? undefined : s.truncated(`the connection ended with ${code}`));
  socket.onmessage = ({ data }) => {
    if (s.over) return;
    let event: BaseEvent;
    try {
      event = JSON.parse(typeof data === "string" ? data : new TextDecoder().decode(data));
      if (!event.type) throw 0;
    } catch {
      return finish(finished ? undefined : fault("what is no event"));
    }
    if (finished && event.type !== "RUN_ERROR") return finish(); // it belongs to no run
    s.sink.event(event, { runId: s.runId, epoch: "", from: 0, to: 0, last: 0 });
    if (finished || event.type === "RUN_ERROR") finish();
    else if (isTerminal(event)) {
      finished = true;
      setTimeout(finish); // a RUN_ERROR that has come as well says that the run failed after all
    }
  };
  socket.send(s.input as string);
}
