// Random streams of events that are valid for the official client: every event type, items that
// interleave and are reopened, subagents, chunks, patches, snapshots, and several runs in sequence.

// streams yields streams for ever, the same for the same seed: {input?, events}.
export function* streams(seed) {
  for (let n = 0; ; n++) yield new Stream(random(seed + n)).build();
}

// loggedRuns yields single runs for ever, as a hub has them: {input, events}, the events behind
// RUN_STARTED. Deltas often come in a row, and so do patches that apply.
export function* loggedRuns(seed) {
  for (let n = 0; ; n++) yield new Stream(random(seed + n)).logged();
}

// random is a generator of numbers from 0 to 1 that can be repeated (mulberry32).
export function random(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const texts = ["", "a", "Hello", " wörld", "\n", '"quoted"\\', "日本", "🙂", "\u2028", "<b>&</b>", "{", '"x":1}', "x".repeat(300)];
const values = [null, true, 0, -1.5, 1e21, "", "v", [], [1, null, { a: [] }], {}, { x: { y: 1 } }, [[1], [2, 3]]];
const roles = ["developer", "system", "assistant", "user"];
const activityTypes = ["plan", "search", ""];
const subagents = ["s1", "s2", ""];

class Stream {
  #random;
  #events = [];

  // What the order rules know of the run. Owners are null for the parent agent; items are
  // {owner, open, chunk} by their ids.
  #texts;
  #calls;
  #reasonings;
  #spans;
  #activities;
  #steps; // keys "owner name"
  #announced;
  #running;
  #lanes; // {kind, id} that chunks have open, by owner

  constructor(random) {
    this.#random = random;
  }

  build() {
    const stream = {};
    if (this.#chance(0.4)) {
      stream.input = {
        threadId: "t",
        runId: "r0",
        messages: this.#messages(),
        ...(this.#chance(0.7) && { state: this.#pick([{}, this.#state(), [1, 2], "text", 0]) }),
      };
    }
    const runs = 1 + this.#below(3);
    if (this.#chance(0.02)) this.#emit({ type: "RUN_ERROR", message: "refused" });
    for (let i = 0; i < runs; i++) this.#run(i);
    stream.events = this.#events;
    return stream;
  }

  // logged is one run with an input. Who joins it gets one message of each id.
  logged() {
    const list = this.#messages();
    const input = {
      threadId: "t", runId: "r0", tools: [], context: [],
      messages: list.filter((m, i) => list.findIndex((other) => other.id === m.id) === i),
      ...(this.#chance(0.7) && { state: this.#pick([{}, this.#state(), this.#state(), [1, 2], "text", 0, null]) }),
    };
    this.#begin();
    this.#adopt(input.messages, false);
    for (let i = 2 + this.#below(12); i > 0; i--) {
      this.#step();
      if (this.#chance(0.6)) this.#row();
    }
    if (this.#chance(0.15)) this.#emit({ type: "RUN_ERROR", message: "failed", ...this.#usage() });
    else {
      this.#close();
      this.#emit(this.#finished(0));
    }
    return { input, events: this.#events };
  }

  // row emits what models emit most: deltas of one item, one after another, now and then with a
  // state between them; or states alone. What that closes may be opened again.
  #row() {
    const lanes = [...this.#lanes];
    const items = [
      [this.#texts, "TEXT_MESSAGE_CONTENT", "messageId"],
      [this.#calls, "TOOL_CALL_ARGS", "toolCallId"],
      [this.#reasonings, "REASONING_MESSAGE_CONTENT", "messageId"],
    ].flatMap(([map, type, key]) => [...map].filter(([, item]) => item.open && !item.chunk).map(([id, { owner }]) => ({ event: { type, [key]: id }, owner })));
    const item = items.length > 0 && this.#chance(0.9) ? this.#pick(items) : undefined;
    const owner = item && this.#chance(0.5) ? item.owner : null;
    const states = item ? this.#pick([0, 0, 0.2, 0.9]) : 1;
    for (let i = (item || this.#chance(0.5)) && 2 + this.#below(6); i > 0; i--)
      if (this.#chance(states)) this.#stateOf(this.#chance(0.9) ? owner : this.#owner());
      else {
        this.#closeLane(owner);
        this.#emit({ ...item.event, delta: this.#pick(texts), ...this.#tag(owner) });
      }
    for (const [owner, lane] of lanes) if (!this.#lanes.has(owner) && this.#chance(0.5)) this.#reopen(owner, lane);
  }

  // reopen opens by a chunk what another lane had, under a name that is an error while that is open.
  #reopen(owner, lane) {
    const { type, key, id, items } = lane;
    if (items.get(id).open) return;
    const name = { TEXT_MESSAGE_CHUNK: { role: this.#pick(roles) }, TOOL_CALL_CHUNK: { toolCallName: "send" } }[type];
    this.#emit({ type, [key]: id, ...name, ...this.#tag(owner), delta: this.#pick(texts) });
    Object.assign(items.get(id), { open: true, chunk: true });
    this.#lanes.set(owner, lane);
  }

  // stateOf emits a snapshot, or mostly a patch that applies.
  #stateOf(owner) {
    this.#closeLane(owner);
    const event = this.#chance(0.2)
      ? { type: "STATE_SNAPSHOT", snapshot: this.#state() }
      : { type: "STATE_DELTA", delta: [{ op: "add", path: this.#pick(["/a", "/b", "/c"]), value: this.#pick(values) }] };
    this.#emit({ ...event, ...this.#tag(owner) });
  }

  // begin forgets the run before.
  #begin() {
    for (const map of ["texts", "calls", "reasonings", "spans", "activities", "lanes"]) this.#set(map, new Map());
    this.#steps = new Set();
    this.#announced = new Set();
    this.#running = new Set();
  }

  #run(n) {
    this.#begin();
    const started = { type: "RUN_STARTED", threadId: "t", runId: `r${n}`, ...this.#metadata(0.1) };
    if (this.#chance(0.4)) {
      started.input = { threadId: "t", runId: `r${n}`, messages: this.#messages(), tools: [], context: [] };
      this.#adopt(started.input.messages, false);
    }
    this.#emit(started);
    for (let i = 4 + this.#below(20); i > 0; i--) this.#step();
    if (this.#chance(0.15)) {
      this.#emit({ type: "RUN_ERROR", message: "failed", ...(this.#chance(0.5) && { code: "c" }), ...this.#usage() });
      return;
    }
    this.#close();
    this.#emit(this.#finished(n));
    if (this.#chance(0.05)) this.#emit({ type: "RUN_ERROR", message: "late" });
  }

  #set(name, map) {
    if (name === "texts") this.#texts = map;
    if (name === "calls") this.#calls = map;
    if (name === "reasonings") this.#reasonings = map;
    if (name === "spans") this.#spans = map;
    if (name === "activities") this.#activities = map;
    if (name === "lanes") this.#lanes = map;
  }

  // step emits one event, or none when what it wants is not allowed now.
  #step() {
    const steps = [
      [8, () => this.#startText()],
      [14, () => this.#continue(this.#texts, "TEXT_MESSAGE", "messageId", "CONTENT")],
      [5, () => this.#end(this.#texts, "TEXT_MESSAGE", "messageId")],
      [7, () => this.#startCall()],
      [8, () => this.#continue(this.#calls, "TOOL_CALL", "toolCallId", "ARGS")],
      [4, () => this.#end(this.#calls, "TOOL_CALL", "toolCallId")],
      [6, () => this.#result()],
      [4, () => this.#startReasoning()],
      [6, () => this.#continue(this.#reasonings, "REASONING_MESSAGE", "messageId", "CONTENT")],
      [3, () => this.#end(this.#reasonings, "REASONING_MESSAGE", "messageId")],
      [2, () => this.#span()],
      [4, () => this.#encrypted()],
      [12, () => this.#chunk()],
      [3, () => this.#emitOf(this.#owner(), { type: "STATE_SNAPSHOT", snapshot: this.#chance(0.8) ? this.#state() : this.#pick(values) })],
      [8, () => this.#emitOf(this.#owner(), { type: "STATE_DELTA", delta: this.#patch(true) })],
      [4, () => this.#snapshot()],
      [6, () => this.#activity()],
      [8, () => this.#activityDelta()],
      [1, () => this.#emit({ type: "RAW", event: this.#pick(values), ...this.#tag(this.#owner()), ...this.#metadata(0.3) })],
      [1, () => this.#emitOf(this.#owner(), { type: "CUSTOM", name: "n", value: this.#pick(values) })],
      [2, () => this.#stepEvent()],
      [3, () => this.#subagent()],
    ];
    let at = this.#below(steps.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, emit] of steps) if ((at -= weight) < 0) return emit();
  }

  #startText() {
    const id = this.#id();
    const owner = this.#openable(this.#texts, id);
    if (owner === undefined) return;
    this.#emitOf(owner, {
      type: "TEXT_MESSAGE_START", messageId: id,
      ...(this.#chance(0.6) && { role: this.#pick(roles) }),
      ...(this.#chance(0.2) && { name: this.#pick(["", "Ann"]) }),
    });
    this.#texts.set(id, { owner, open: true });
  }

  #startReasoning() {
    const id = this.#id();
    const owner = this.#openable(this.#reasonings, id, this.#spans);
    if (owner === undefined) return;
    this.#emitOf(owner, { type: "REASONING_MESSAGE_START", messageId: id, role: "reasoning" });
    this.#reasonings.set(id, { owner, open: true });
  }

  #startCall() {
    const id = this.#callId();
    let owner = this.#openable(this.#calls, id);
    if (owner === undefined) return;
    const parent = this.#parentOf(id, owner);
    this.#emitOf(owner, { type: "TOOL_CALL_START", toolCallId: id, toolCallName: this.#pick(["find", "send", ""]), ...parent });
    this.#calls.set(id, { owner, open: true });
  }

  // parentOf names a message of the same owner, or one that nobody knows.
  #parentOf(id, owner) {
    if (this.#chance(0.4)) return {};
    const parentMessageId = this.#chance(0.1) ? "" : this.#id();
    const parent = this.#texts.get(parentMessageId);
    return parent && parent.owner !== owner ? {} : { parentMessageId };
  }

  #continue(items, family, key, verb) {
    const id = this.#openItem(items);
    if (id !== undefined) this.#emitItem(items.get(id).owner, { type: `${family}_${verb}`, [key]: id, delta: this.#pick(texts) });
  }

  #end(items, family, key) {
    const id = this.#openItem(items);
    if (id === undefined) return;
    this.#emitItem(items.get(id).owner, { type: `${family}_END`, [key]: id });
    items.get(id).open = false;
  }

  #result() {
    const id = this.#id();
    const owner = this.#owner();
    if (this.#texts.get(id)?.open) return;
    this.#emitOf(owner, {
      type: "TOOL_CALL_RESULT", messageId: id, toolCallId: this.#callId(),
      content: this.#chance(0.7) ? this.#pick(texts) : this.#parts(),
      ...(this.#chance(0.5) && { role: "tool" }),
    });
    this.#texts.set(id, { owner, open: false });
  }

  #span() {
    const open = this.#openItem(this.#spans);
    if (open !== undefined && this.#chance(0.5)) {
      this.#emitItem(this.#spans.get(open).owner, { type: "REASONING_END", messageId: open });
      this.#spans.get(open).open = false;
      return;
    }
    const id = this.#id();
    const owner = this.#openable(this.#spans, id, this.#reasonings);
    if (owner === undefined) return;
    this.#emitOf(owner, { type: "REASONING_START", messageId: id });
    this.#spans.set(id, { owner, open: true });
  }

  #encrypted() {
    const call = this.#chance(0.5);
    const entityId = call ? this.#callId() : this.#id();
    this.#emit({
      type: "REASONING_ENCRYPTED_VALUE", subtype: call ? "tool-call" : "message", entityId,
      encryptedValue: this.#pick(texts), ...this.#metadata(0.2),
    });
  }

  // chunk opens, continues or replaces the item of one lane.
  #chunk() {
    const owner = this.#owner();
    const lane = this.#lanes.get(owner);
    const extra = { ...this.#metadata(0.3), ...(this.#chance(0.1) && { rawEvent: { chunk: 1 } }) };
    const delta = this.#chance(0.8) && { delta: this.#pick(texts) };
    if (lane && this.#chance(0.7)) {
      const { type, key, id } = lane;
      this.#emit({ type, ...this.#tag(owner), ...(this.#chance(0.5) && { [key]: id }), ...delta, ...extra });
      return;
    }
    const { kind, type, key, members } = this.#pick([
      { kind: "texts", type: "TEXT_MESSAGE_CHUNK", key: "messageId", members: this.#chance(0.5) ? { role: this.#pick(roles) } : {} },
      { kind: "calls", type: "TOOL_CALL_CHUNK", key: "toolCallId", members: { toolCallName: "find" } },
      { kind: "reasonings", type: "REASONING_MESSAGE_CHUNK", key: "messageId", members: {} },
    ]);
    const items = { texts: this.#texts, calls: this.#calls, reasonings: this.#reasonings }[kind];
    const id = kind === "calls" ? this.#callId() : this.#id();
    const known = items.get(id) ?? (kind === "reasonings" ? this.#spans.get(id) : undefined);
    if (known && (known.open || known.owner !== owner)) return;
    const parent = kind === "calls" ? this.#parentOf(id, owner) : {};
    this.#emit({ type, [key]: id, ...members, ...parent, ...this.#tag(owner), ...delta, ...extra });
    this.#closeLane(owner);
    items.set(id, { owner, open: true, chunk: true });
    this.#lanes.set(owner, { type, key, id, items });
  }

  #snapshot() {
    const messages = this.#messages();
    this.#closeLanes();
    this.#adopt(messages, true);
    const metadata = this.#pick([
      undefined, undefined, undefined,
      { k: 1 },
      { "@ag-ui/client": { authoritativeActivityTypes: null } },
      { "@ag-ui/client": { authoritativeActivityTypes: [] } },
      { "@ag-ui/client": { authoritativeActivityTypes: ["plan"] } },
      { "@ag-ui/client": { authoritativeActivityTypes: ["search", ""] } },
      { "@ag-ui/client": { authoritativeActivityTypes: ["plan", null] } },
      { "@ag-ui/client": { authoritativeActivityTypes: "plan" } },
      { "@ag-ui/client": { other: 1 } },
      { "@ag-ui/client": null },
      { "@ag-ui/client": ["plan"] },
      { "@ag-ui/client": "plan" },
    ]);
    this.#emit({ type: "MESSAGES_SNAPSHOT", messages, ...(metadata && { metadata }) });
  }

  #activity() {
    const id = this.#id();
    const owner = this.#owner();
    const replace = this.#pick([undefined, true, false]);
    this.#emit({
      type: "ACTIVITY_SNAPSHOT", messageId: id, activityType: this.#pick(activityTypes), content: this.#state(),
      ...(replace !== undefined && { replace }), ...this.#tag(owner), ...this.#metadata(0.3),
    });
    if (replace !== false || !this.#activities.has(id)) this.#activities.set(id, { owner });
  }

  #activityDelta() {
    const known = [...this.#activities.keys()];
    const id = known.length > 0 && this.#chance(0.8) ? this.#pick(known) : this.#id();
    this.#emit({
      type: "ACTIVITY_DELTA", messageId: id, activityType: this.#pick(activityTypes), patch: this.#patch(false),
      ...this.#metadata(0.3),
    });
  }

  #stepEvent() {
    const key = [...this.#steps][0];
    if (key !== undefined && this.#chance(0.5)) {
      this.#emitStep("STEP_FINISHED", key);
      this.#steps.delete(key);
      return;
    }
    const fresh = JSON.stringify([this.#owner(), this.#pick(["think", "write"])]);
    if (this.#steps.has(fresh)) return;
    this.#emitStep("STEP_STARTED", fresh);
    this.#steps.add(fresh);
  }

  #emitStep(type, key) {
    const [owner, stepName] = JSON.parse(key);
    this.#emitOf(owner, { type, stepName });
  }

  #subagent() {
    const running = [...this.#running];
    if (running.length > 0 && this.#chance(0.5)) return this.#endSubagent(this.#pick(running));
    const id = this.#pick(subagents);
    if (this.#announced.has(id)) return;
    this.#emit({
      type: "SUBAGENT_STARTED", subagentRunId: id, name: "helper",
      ...(this.#announced.size > 0 && this.#chance(0.5) && { parentSubagentRunId: [...this.#announced][0] }),
    });
    this.#announced.add(id);
    this.#running.add(id);
  }

  #endSubagent(id) {
    this.#closeLane(id);
    this.#running.delete(id);
    this.#emit(
      this.#pick([
        { type: "SUBAGENT_FINISHED", subagentRunId: id },
        { type: "SUBAGENT_FINISHED", subagentRunId: id, result: 1, outcome: { type: "suspended", interruptIds: ["i1"] } },
        { type: "SUBAGENT_ERROR", subagentRunId: id, message: "m" },
      ]),
    );
  }

  // close ends everything that RUN_FINISHED does not end by itself.
  #close() {
    for (const [items, family, key] of [
      [this.#texts, "TEXT_MESSAGE_END", "messageId"],
      [this.#calls, "TOOL_CALL_END", "toolCallId"],
      [this.#reasonings, "REASONING_MESSAGE_END", "messageId"],
      [this.#spans, "REASONING_END", "messageId"],
    ])
      for (const [id, item] of items)
        if (item.open && !item.chunk) {
          this.#emitItem(item.owner, { type: family, [key]: id });
          item.open = false;
        }
    for (const key of this.#steps) this.#emitStep("STEP_FINISHED", key);
    for (const id of this.#running) this.#endSubagent(id);
  }

  #finished(n) {
    const event = { type: "RUN_FINISHED", threadId: "t", runId: `r${n}`, ...this.#usage() };
    if (this.#chance(0.3)) event.result = this.#pick(values.filter((v) => v !== null));
    const outcome = this.#pick([
      undefined,
      { type: "success" },
      { type: "success", pendingToolCallIds: [] },
      { type: "success", pendingToolCallIds: ["c1", "c9"] },
      { type: "cancelled" },
      { type: "interrupt", interrupts: [{ id: "i1", reason: "r", message: "m", expiresAt: "2020-01-01T00:00:00Z" }] },
      { type: "interrupt", interrupts: [{ id: "i1", reason: "r" }, { id: "", reason: "", toolCallId: "c1", metadata: { a: 1 } }] },
    ]);
    return outcome ? { ...event, outcome } : event;
  }

  #usage() {
    return this.#chance(0.3) ? { usage: [{ model: "m", inputTokens: this.#below(9), outputTokens: 0 }] } : {};
  }

  #messages() {
    const list = [];
    for (let i = this.#below(6); i > 0; i--) list.push(this.#message());
    // Ids that occur twice are legal; their owners must then agree or the next events are not.
    return this.#chance(0.1) ? list : list.filter((m, i) => list.findIndex((o) => o.id === m.id) === i);
  }

  #message() {
    const role = this.#pick([...roles, "assistant", "tool", "activity", "reasoning"]);
    const message = { id: this.#id(), role };
    const text = this.#pick(texts);
    if (role === "activity") Object.assign(message, { activityType: this.#pick(activityTypes), content: this.#state() });
    else if (role === "assistant") {
      if (this.#chance(0.8)) message.content = text;
      if (this.#chance(0.5)) message.toolCalls = this.#toolCalls();
    } else message.content = ["user", "tool"].includes(role) && this.#chance(0.3) ? this.#parts() : text;
    if (role === "tool") Object.assign(message, { toolCallId: this.#callId(), ...(this.#chance(0.2) && { error: "e" }) });
    if (role !== "activity" && this.#chance(0.2)) message.encryptedValue = this.#pick(texts);
    if (roles.includes(role) && this.#chance(0.1)) message.name = "Bob";
    return { ...message, ...this.#tag(this.#owner()), ...this.#metadata(0.3) };
  }

  #toolCalls() {
    const calls = [];
    for (let i = this.#below(3); i > 0; i--)
      calls.push({
        id: this.#callId(), type: "function", function: { name: "find", arguments: this.#pick(texts) },
        ...(this.#chance(0.2) && { encryptedValue: "e" }), ...this.#metadata(0.2),
      });
    return calls;
  }

  #parts() {
    return this.#pick([
      [],
      [{ type: "text", text: "t", id: "p", metadata: { a: 1 } }],
      [{ type: "image", source: { type: "url", value: "u", mimeType: "image/png" } }, { type: "text", text: "" }],
      [{ type: "document", source: { type: "file", value: "f", provider: "p" }, metadata: 1 }],
    ]);
  }

  #state() {
    return this.#pick([
      {},
      { a: 1, list: [1, 2, 3], obj: { x: "v", deep: { y: null } } },
      { a: null, list: [], obj: {} },
      { list: [{ n: 1 }, { n: 2 }, [5]], "a/b": 1, "m~n": { "01": 1, "-1": 2 } },
    ]);
  }

  // patch has operations of which about one in three does not apply. An operation on the whole
  // document stands first, and alone when it may leave a scalar: that client then takes operations
  // on members of the scalar for done, where agui.Thread says that the patch does not apply.
  #patch(ofState) {
    if (ofState && this.#chance(0.1))
      return [this.#pick([{ op: "add", path: "", value: this.#pick(values) }, { op: "remove", path: "" }])];
    const ops = this.#chance(0.1) ? [{ op: this.#pick(["add", "replace"]), path: "", value: this.#state() }] : [];
    for (let i = this.#below(4); i > 0; i--) ops.push(this.#operation());
    return ops;
  }

  #operation() {
    const paths = [
      "/a", "/b", "/list", "/list/0", "/list/1", "/list/2", "/list/3", "/list/9", "/list/-", "/list/-1", "/list/01", "/list/+1", "/list/x",
      "/list/0/n", "/list/2/0", "/list/-/n", "/obj", "/obj/x", "/obj/deep", "/obj/deep/y", "/obj/deep/y/z", "/obj/none/z",
      "/a~1b", "/m~0n", "/m~0n/01", "/m~0n/-1", "/m~0n/007", "/__proto__/p", "/constructor/prototype/p",
    ];
    const path = this.#pick(paths);
    const value = this.#pick([...values, 1, 1, 2, "v"]);
    return this.#pick([
      { op: "add", path, value },
      { op: "add", path, value },
      { op: "replace", path, value },
      { op: "remove", path },
      { op: "remove", path, value, extra: 1 },
      { op: "test", path, value },
      { op: "test", path: "", value: {} },
      { op: "move", from: this.#pick(paths), path },
      { op: "copy", from: this.#pick(paths), path },
      { op: "copy", from: "", path },
    ]);
  }

  // adopt notes the owners that a list of messages gives.
  #adopt(messages, snapshot) {
    const own = (items, id, owner) => {
      const item = items.get(id);
      if (!item) items.set(id, { owner, open: false });
      else if (snapshot) item.owner = owner;
    };
    for (const m of messages) {
      const owner = m.subagentRunId ?? null;
      if (m.role === "activity") {
        if (snapshot || !this.#activities.has(m.id)) this.#activities.set(m.id, { owner });
      } else if (m.role === "reasoning") {
        own(this.#reasonings, m.id, owner);
        own(this.#spans, m.id, owner);
      } else own(this.#texts, m.id, owner);
      for (const call of m.toolCalls ?? []) own(this.#calls, call.id, owner);
    }
  }

  // openable is the owner under which an item may open, undefined when it may not. Items of the
  // same id in others share the owner.
  #openable(items, id, others) {
    const item = items.get(id);
    if (item?.open) return undefined;
    return (item ?? others?.get(id) ?? { owner: this.#owner() }).owner;
  }

  #openItem(items) {
    const open = [...items].filter(([, item]) => item.open && !item.chunk).map(([id]) => id);
    return open.length > 0 ? this.#pick(open) : undefined;
  }

  // emitItem emits an event of an item. It may leave out the tag, and is then of the parent's lane.
  #emitItem(owner, event) {
    const tagged = this.#chance(0.5);
    this.#closeLane(tagged ? owner : null);
    this.#emit({ ...event, ...(tagged && this.#tag(owner)), ...this.#metadata(0.2) });
  }

  // emitOf emits an event of an owner, which closes the owner's lane.
  #emitOf(owner, event) {
    this.#closeLane(owner);
    this.#emit({ ...event, ...this.#tag(owner), ...this.#metadata(0.2) });
  }

  #emit(event) {
    this.#events.push(this.#chance(0.05) && !event.timestamp ? { ...event, timestamp: 1700000000000 } : event);
  }

  #closeLane(owner) {
    const lane = this.#lanes.get(owner);
    if (!lane) return;
    const item = lane.items.get(lane.id);
    item.open = item.chunk = false;
    this.#lanes.delete(owner);
  }

  #closeLanes() {
    for (const owner of [...this.#lanes.keys()]) this.#closeLane(owner);
  }

  #tag(owner) {
    return owner === null ? {} : { subagentRunId: owner };
  }

  #metadata(p) {
    if (!this.#chance(p)) return {};
    const metadata = {};
    for (let i = this.#below(3); i > 0; i--) metadata[this.#pick(["a", "b", "ag-ui", "toString"])] = this.#pick(values);
    return { metadata };
  }

  // Few ids, so that they meet: also messages of different kinds have the same.
  #id() {
    return this.#pick(["m1", "m2", "m3", "m4", "m5", "c1", ""]);
  }

  #callId() {
    return this.#pick(["c1", "c2", "c3", "m1", ""]);
  }

  #owner() {
    return this.#chance(0.7) ? null : this.#pick(subagents);
  }

  #below(n) {
    return Math.floor(this.#random() * n);
  }

  #chance(p) {
    return this.#random() < p;
  }

  #pick(list) {
    return list[this.#below(list.length)];
  }
}
