// What the official client makes of a stream of events.
import { AbstractAgent, enforceEvents, transformChunks } from "@ag-ui/client";
import { from, lastValueFrom } from "rxjs";

class Replay extends AbstractAgent {
  constructor({ input, events }) {
    super({ threadId: "t", initialMessages: input?.messages, initialState: input?.state });
    this.events = events;
  }

  run() {
    return from(plain(this.events));
  }

  // unverified is a run whose events come in any order.
  unverified(subscriber) {
    const input = this.prepareRunAgentInput();
    const events = this.run().pipe(enforceEvents(), transformChunks());
    const changes = this.processApplyEvents(input, this.apply(input, events, [subscriber]), [subscriber]);
    return lastValueFrom(changes, { defaultValue: undefined });
  }
}

// reference is what the official client makes of a stream. An order that it refuses is an error,
// unless ordered is false.
export async function reference(stream, { ordered = true } = {}) {
  const agent = new Replay(stream);
  const ends = [];
  const subscriber = {
    onRunFinishedEvent({ event, outcome, result, pendingToolCallIds, interrupts }) {
      ends.push({
        outcome, result, interrupts, usage: event.usage,
        pendingToolCallIds: pendingToolCallIds?.length > 0 ? pendingToolCallIds : undefined,
      });
    },
  };
  await (ordered ? agent.runAgent({}, subscriber) : agent.unverified(subscriber));
  const { messages, state, pendingInterrupts } = agent;
  const { tools, context, forwardedProps, ...input } = agent.prepareRunAgentInput({
    runId: "next",
    ...(pendingInterrupts.length > 0 && { resume: pendingInterrupts.map((i) => ({ interruptId: i.id, status: "cancelled" })) }),
  });
  if (input.state === null) delete input.state; // reads the same, and only this is legal
  return plain({ messages, state, pendingInterrupts, ends, input });
}

// plain is value as it comes off the wire.
const plain = (value) => JSON.parse(JSON.stringify(value));
