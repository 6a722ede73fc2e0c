// A hook over @agloop/client. Copy it, and change what you like.
import type { Interrupt, Message, RunAgentParameters, State } from "@ag-ui/client";
import { AgloopAgent, AgloopError, type AgloopAgentConfig, type ConnectionState } from "@agloop/client";
import { useEffect, useRef, useState } from "react";

export interface View {
  messages: Message[];
  state: State;
  /** A run goes on in this thread: one of this page, or one that it sees. */
  running: boolean;
  pendingInterrupts: Interrupt[];
  connection: ConnectionState;
  /** Why the last run, or following the thread, failed. */
  error?: Error;
}

const nothing: View = {
  messages: [], state: {}, running: false, pendingInterrupts: [], connection: { phase: "idle", attempt: 0 },
};

/** One thread: what is in it, also by others, and what one can do there. Another url or threadId is another agent. */
export function useAgent(config: AgloopAgentConfig & { threadId: string }) {
  const [view, setView] = useState(nothing);
  const current = useRef<ReturnType<typeof open>>(undefined);
  const key = "url" in config ? String(config.url) : config.connection;

  useEffect(() => {
    const opened = open(config, setView);
    current.current = opened;
    return opened.close;
  }, [key, config.threadId]);

  return {
    ...view,
    /** Says something, which starts a run. To answer pendingInterrupts give `resume`. It never rejects: see error. */
    say: (text: string, parameters?: RunAgentParameters) => current.current?.say(text, parameters),
    /** Ends the run, also one that another page began. */
    stop: () => current.current?.agent.abortRun(),
    /** Says something to the run that goes on. False: it did not listen, or has ended. */
    steer: (text: string) => current.current?.steer(text) ?? Promise.resolve(false),
    /** Connects now. */
    retry: () => current.current?.retry(),
  };
}

// All that lives as long as the component. React's StrictMode opens, closes and opens.
function open(config: AgloopAgentConfig, setView: (view: View) => void) {
  const agent = new AgloopAgent({ ...config, live: true });
  let connection = nothing.connection;
  let error: Error | undefined;
  let own = 0; // runs of this page
  let seen = false; // a run that is followed
  let following = false;
  let blocked = false;
  let closed = false;
  let due: ReturnType<typeof setTimeout> | undefined;

  // One render for all that came at once, and when the agent has what a subscriber was told.
  const show = () => {
    if (closed) return;
    due ??= setTimeout(() => {
      due = undefined;
      const { messages, state, pendingInterrupts } = agent;
      setView({ messages: [...messages], state, running: own > 0 || seen, pendingInterrupts, connection, error });
    });
  };
  const started = (goesOn: boolean) => () => {
    seen = goesOn;
    show();
  };
  agent.subscribe({
    onMessagesChanged: show, onStateChanged: show,
    onRunStartedEvent: started(true), onRunFinishedEvent: started(false), onRunErrorEvent: started(false), onRunFailed: started(false),
  });
  const states = agent.connection.state.subscribe((s) => {
    connection = s;
    if (blocked && s.transport === "websocket") follow();
    show();
  });

  const tell = (e: unknown) => {
    if (e instanceof AgloopError && e.reason === "http") blocked = true; // there is no WebSocket now: only runs of this page are seen
    else error = e as Error;
    show();
  };
  const follow = () => {
    if (following) return;
    following = true;
    blocked = false;
    agent.connectAgent().catch(tell).finally(() => (following = false));
  };
  follow();

  return {
    agent,
    async say(text: string, parameters?: RunAgentParameters) {
      error = undefined;
      own++;
      if (text) agent.addMessage({ id: crypto.randomUUID(), role: "user", content: text });
      show();
      await agent.runAgent(parameters).catch(tell);
      own--;
      show();
    },
    steer: (text: string) => agent.steer(text).catch(() => false),
    retry() {
      error = undefined;
      agent.connection.retry();
      follow();
    },
    close() {
      closed = true;
      clearTimeout(due);
      states.unsubscribe();
      // First it leaves what goes on, which is no failure.
      void agent.detachActiveRun().then(() => "connection" in config || agent.connection.close());
    },
  };
}
