import { useState, type FormEvent } from "react";
import { useAgent } from "./useAgent.js";

export function Chat({ url, threadId }: { url: string; threadId: string }) {
  const [text, setText] = useState("");
  const { messages, running, pendingInterrupts, connection, error, say, stop, steer, retry } = useAgent({ url, threadId, retryFor: Infinity });

  function submit(event: FormEvent) {
    event.preventDefault();
    void (running ? steer(text) : say(text));
    setText("");
  }
  const answer = (payload: unknown) =>
    void say("", { resume: pendingInterrupts.map(({ id }) => ({ interruptId: id, status: "resolved" as const, payload })) });

  return (
    <main>
      {connection.phase === "waiting" && (
        <p role="status">
          No connection. <button onClick={retry}>Try now</button>
        </p>
      )}
      <ul>{messages.map((m) => <li key={m.id} className={m.role}>{typeof m.content === "string" && m.content}</li>)}</ul>
      {error && <p role="alert">{error.message}</p>}
      {pendingInterrupts.length > 0 && <button onClick={() => answer({ approved: true })}>Approve</button>}
      <form onSubmit={submit}>
        <input aria-label="Message" value={text} onChange={(e) => setText(e.target.value)} />
        <button disabled={!text}>{running ? "Steer" : "Send"}</button>
        {running && <button type="button" onClick={stop}>Stop</button>}
      </form>
    </main>
  );
}
