// The thread of the page: what is said in it, and what goes on. It knows no elements.
import { AgloopAgent } from "./agloop.mjs";
import { newId } from "./session.mjs";

// Between two attempts to follow a thread, in ms.
const followAgain = 1000;

// Conversation calls changed whenever there is something else to show, and spoken with each message
// of the agent that is complete.
export class Conversation {
  // What stands between the messages: {id, kind, text, after, outcome}; after is the id of a message.
  notes = [];
  // Messages that still grow, and calls whose arguments are there.
  growing = new Set();
  called = new Set();
  // The run that goes on, whoever made it.
  running;
  #starting; // a run of our own, until its promise settles
  #next; // what may be said next waits for this: the begin of that run, then its end
  #begun;
  #blocked = false; // no thread can be followed
  #answers = new Map(); // by interrupt, until all of a run have one
  #changed;
  #spoken;

  constructor(kept, { url, WebSocket, fetch, changed, spoken }) {
    this.#changed = changed;
    this.#spoken = spoken;
    this.notes = kept.notes ?? [];
    this.agent = new AgloopAgent({
      url, WebSocket, fetch, live: true, retryFor: Infinity,
      threadId: kept.threadId, secret: kept.secret, initialMessages: kept.messages, initialState: kept.state,
    });
    this.agent.pendingInterrupts = kept.interrupts ?? [];
    this.agent.subscribe(this.#subscriber());
  }

  get connection() {
    return this.agent.connection;
  }

  get busy() {
    return this.running !== undefined || this.#starting !== undefined;
  }

  // kept is what the page needs to be as it is now. The server still has the runs of the last minutes;
  // what is older is here alone.
  get kept() {
    const { threadId, messages, state, pendingInterrupts } = this.agent;
    const notes = this.notes.filter((n) => n.kind !== "unsent");
    return { threadId, secret: this.connection.secret, messages, state, notes, interrupts: pendingInterrupts };
  }

  // follow shows the runs of the thread for as long as the page is there.
  async follow() {
    for (;;) {
      await this.agent.connectAgent().catch((error) => this.#failed(error));
      this.#over();
      if (this.#blocked) await this.#socket();
      await new Promise((resolve) => setTimeout(resolve, followAgain));
      await this.#starting;
    }
  }

  // A thread is followed over a WebSocket alone. While there can be none, runs of this page go over HTTP.
  #socket() {
    return new Promise((resolve) => {
      const states = this.connection.state.subscribe(({ transport }) => {
        if (transport !== "websocket") return;
        this.#blocked = false;
        resolve();
        queueMicrotask(() => states.unsubscribe());
      });
    });
  }

  // say starts a run, or steers the one that goes on.
  async say(text) {
    if (this.running !== undefined) return this.#steer(text);
    if (!this.#starting) return this.#ask(text);
    const note = this.#unsent(text);
    await this.#next;
    this.#sent(note);
    return this.say(text);
  }

  stop() {
    this.agent.abortRun();
  }

  // answer returns false when the question cannot be answered now.
  answer(id, approved) {
    if (this.busy) return false;
    this.#answers.set(id, approved);
    this.#close(id, approved ? "Approved" : "Declined");
    const asked = this.agent.pendingInterrupts;
    if (asked.every((i) => this.#answers.has(i.id))) {
      this.#run(asked.map((i) => ({ interruptId: i.id, status: "resolved", payload: { approved: this.#answers.get(i.id) } })));
    }
    return true;
  }

  #ask(text) {
    // Every interrupt is answered or abandoned; a person who changes the subject abandons it.
    const abandoned = this.agent.pendingInterrupts.map((i) => ({ interruptId: i.id, status: "cancelled" }));
    this.#closeAll("Left unanswered");
    this.agent.addMessage({ id: newId("message-"), role: "user", content: text });
    return this.#run(abandoned.length ? abandoned : undefined);
  }

  // The run emits what was said as a message. Until then it is a note.
  async #steer(text) {
    const { running } = this;
    const note = this.#unsent(text);
    const taken = await this.agent.steer(text).catch(() => false);
    this.#sent(note);
    if (taken) return;
    if (this.running !== running) return this.say(text); // it has ended meanwhile
    this.#note({ id: newId("note-"), kind: "info", text: `The agent does not listen now: “${text}”`, after: this.#last() });
  }

  #unsent(text) {
    return this.#note({ id: newId("unsent-"), kind: "unsent", text });
  }

  #sent(note) {
    this.notes = this.notes.filter((n) => n !== note);
    this.#changed();
  }

  async #run(resume) {
    this.#answers.clear();
    this.#next = new Promise((resolve) => (this.#begun = resolve));
    this.#starting = this.agent.runAgent({ resume }).catch((error) => this.#failed(error));
    this.#changed();
    await this.#starting;
    this.#starting = undefined;
    this.#begun();
    this.#changed();
  }

  #subscriber() {
    const changed = () => void this.#changed();
    return {
      onEvent: changed,
      onMessagesChanged: changed,
      onStateChanged: changed,
      onRunStartedEvent: ({ event }) => {
        this.running = event.runId;
        this.#begun?.();
        this.#closeAll("Answered on another screen");
      },
      onTextMessageStartEvent: ({ event }) => void this.growing.add(event.messageId),
      onTextMessageEndEvent: ({ event, textMessageBuffer }) => {
        this.growing.delete(event.messageId);
        if (this.agent.messages.find((m) => m.id === event.messageId)?.role === "assistant") this.#spoken(textMessageBuffer);
      },
      onToolCallEndEvent: ({ event }) => void this.called.add(event.toolCallId),
      onRunFinishedEvent: ({ event, outcome, interrupts, messages, state }) => {
        this.#over();
        const after = messages.at(-1)?.id;
        if (outcome === "interrupt") for (const i of interrupts) this.#question(i, after);
        if (outcome !== "cancelled") return;
        this.#note({ id: `stopped-${event.runId}`, kind: "info", text: "The agent was stopped.", after });
        // A run that was cancelled emits nothing any more, so its plan cannot tell.
        return { state: stopPlan(state) };
      },
      onRunErrorEvent: ({ event, messages }) => {
        const run = this.running;
        this.#over();
        this.#note({ id: `error-${run}`, kind: "error", text: `The run failed: ${event.message}`, after: messages.at(-1)?.id });
      },
      onRunFailed: ({ error }) => {
        this.#failed(error);
        return { stopPropagation: true };
      },
    };
  }

  #over() {
    this.running = undefined;
    this.#next = this.#starting;
    this.growing.clear();
    this.#changed();
  }

  #failed(error) {
    this.#over();
    if (error.reason === "http") this.#blocked = true;
    else if (error.name !== "AbortError") this.noteError(describe(error));
  }

  noteError(text) {
    this.#note({ id: newId("note-"), kind: "error", text, after: this.#last() });
  }

  #last() {
    return this.agent.messages.at(-1)?.id;
  }

  // A run that is shown again says again what the page has noted already.
  #note(note) {
    if (!this.notes.some((n) => n.id === note.id)) this.notes.push(note);
    this.#changed();
    return note;
  }

  #question({ id, message, reason }, after) {
    const known = this.notes.find((n) => n.id === id);
    if (known) known.outcome = undefined; // it is asked still
    else this.#note({ id, kind: "question", text: message ?? reason, after });
    this.#spoken(message ?? reason);
  }

  #close(id, outcome) {
    for (const n of this.notes) if (n.id === id) n.outcome = outcome;
    this.#changed();
  }

  #closeAll(outcome) {
    for (const n of this.notes) if (n.kind === "question") n.outcome ??= outcome;
  }
}

// stopPlan is a state whose plan was stopped at the step that was active.
export function stopPlan(state) {
  const steps = state?.plan?.steps;
  if (!Array.isArray(steps) || !steps.some((s) => s.status === "active")) return state;
  const at = (s) => (s.status === "active" ? { ...s, status: "stopped" } : s);
  return { ...state, plan: { ...state.plan, stopped: true, steps: steps.map(at) } };
}

// describe says of an error of the package what it is for the person.
function describe(error) {
  switch (error.code) {
    case "truncated":
      return "The server that made this answer is gone, and the answer ends here. Send your message again.";
    case "start_unknown":
      return "The server went away before it answered, so nobody knows whether it has begun. Send your message again.";
  }
  return `That did not work: ${error.message}`;
}
