import type { BaseEvent, Message, State, ToolCall } from "@ag-ui/client";

interface Loose {
  type: string;
  messageId?: string;
  toolCallId?: string;
}

const emptied = ({ id, type, function: { name } }: ToolCall): ToolCall => ({ id, type, function: { name, arguments: "" } });

/**
 * Returns what makes held messages and state ready for a run that is replayed from its start: what
 * its events make is taken off, since they make it again. A message keeps its place.
 */
export function beforeReplay(history: BaseEvent[]) {
  const texts = new Set<string>();
  const calls = new Set<string>();
  const whole = new Set<string>(); // messages that one event makes
  for (const e of history as unknown as Loose[]) {
    const id = e.messageId ?? "";
    if (/^(TEXT|REASONING)_MESSAGE_(START|CHUNK)$/.test(e.type)) texts.add(id);
    else if (/^TOOL_CALL_(START|CHUNK)$/.test(e.type)) calls.add(e.toolCallId ?? "");
    else if (e.type === "TOOL_CALL_RESULT" || e.type === "ACTIVITY_SNAPSHOT") whole.add(id);
  }
  const patches = history.find((e) => e.type.startsWith("STATE_"))?.type === "STATE_DELTA";
  return (messages: readonly Message[], state: State, input: readonly Message[] = []) => ({
    messages: messages.flatMap((held): Message[] => {
      const m = held as Message & { toolCalls?: ToolCall[] };
      // A call that is there keeps its place, and so its message; one that is not makes a new message.
      const left = m.toolCalls?.map((c) => (calls.has(c.id) ? emptied(c) : c));
      const cut = m.toolCalls?.some((c) => calls.has(c.id));
      if (!texts.has(m.id) && !whole.has(m.id) && !cut) return [held];
      const given = input.find((other) => other.id === m.id);
      if (given) return [given];
      if (whole.has(m.id)) return [];
      const { metadata, encryptedValue, toolCalls, ...rest } = m as unknown as Record<string, unknown>;
      const kept: Record<string, unknown> = texts.has(m.id) ? { ...rest, content: "" } : rest;
      if (!texts.has(m.id) && metadata) kept.metadata = metadata;
      if (left?.length) kept.toolCalls = left;
      return [kept as unknown as Message];
    }),
    // Without a state of its own a run began with none.
    state: patches ? {} : state,
  });
}
