package agui

import "strconv"

// The rules an [OrderError] can name.
const (
	RuleFirstEvent     = "a stream starts with RUN_STARTED or RUN_ERROR"
	RuleRunActive      = "a run is active already"
	RuleRunFinished    = "the run has finished"
	RuleRunFailed      = "the run has failed"
	RuleOtherRun       = "the active run has another runId"
	RuleOtherThread    = "the stream belongs to another threadId"
	RuleInterruptTwice = "two interrupts have the same id"

	RuleAlreadyOpen = "it is open already"
	RuleNotOpen     = "it is not open"
	RuleStillOpen   = "it is still open at the end of the run"
	RuleOwner       = "it belongs to another owner"
	RuleParentOwner = "its parent message belongs to another owner"

	RuleSubagentReused  = "a subagentRunId is never reused within a run"
	RuleSubagentUnknown = "the parent subagent was not announced in this run"

	RuleChunkID        = "the first chunk of an item needs its id"
	RuleChunkName      = "the first chunk of a tool call needs toolCallName"
	RuleChunkConflict  = "a later chunk contradicts the first"
	RuleChunkAmbiguous = "the chunk could continue several items"
	RuleChunkMixed     = "an item opened by chunks takes no explicit events"
)

// OrderError is an event that is not allowed at its place in the stream.
type OrderError struct {
	// Event is the type of the event.
	Event EventType
	// Rule is the rule it breaks, one of the Rule constants.
	Rule string
	// ID is the message, call, step, subagent or run concerned; it may be empty.
	ID string
}

// Error names the event, the id and the rule.
func (e *OrderError) Error() string {
	if e.ID == "" {
		return "agloop: " + string(e.Event) + ": " + e.Rule
	}
	id := e.ID
	if len(id) > 128 {
		id = id[:128]
	}
	return "agloop: " + string(e.Event) + " " + strconv.Quote(id) + ": " + e.Rule
}

type phase uint8

const (
	phaseNew phase = iota
	phaseRunning
	phaseFinished
	phaseFailed
)

// item is a message, a call, or a reasoning message with the span of the same id. It is kept after
// its end, because its owner is checked until the run ends.
type item struct {
	owner  ownerID
	open   bool
	chunks bool // opened by chunks; implies open
	span   bool // a reasoning span is open
	opened int  // when open became true
	spanAt int  // when span became true
}

type stepKey struct {
	owner ownerID
	name  string
}

type subagent struct {
	active bool
	opened int
}

// Order verifies the order of one stream of events: one or more runs of one thread, one after the
// other. The zero value is ready and stands before the first event. It keeps the ids of the active
// run and forgets them at its end.
type Order struct {
	phase     phase
	hasThread bool // threadID is set, possibly to ""
	threadID  string
	runID     string

	openCount  int // counts what was opened in the run
	texts      map[string]*item
	calls      map[string]*item
	reasoning  map[string]*item
	explicit   int // items and spans opened by explicit events
	lanes      lanes
	activities map[string]ownerID
	steps      map[stepKey]int
	subagents  map[string]*subagent
	running    int // active subagents

	recent [3]recent // of texts, calls and reasoning, since the last other event
}

// recent is the item found last. Most events continue the message of the event before, which then
// needs no lookup in a map.
type recent struct {
	id string
	it *item
}

func (r *recent) find(items map[string]*item, id string) *item {
	if r.it == nil || r.id != id {
		r.id, r.it = id, items[id]
	}
	return r.it
}

// Active reports whether a run has started and not ended.
func (o *Order) Active() bool { return o.phase == phaseRunning }

// Done reports whether the last event ended a run, in order or not. A stream that ends while Done
// is false is truncated and must not be taken for a success.
func (o *Order) Done() bool { return o.phase == phaseFinished || o.phase == phaseFailed }

// Failed reports whether the last event was a RUN_ERROR, which may also follow RUN_FINISHED.
func (o *Order) Failed() bool { return o.phase == phaseFailed }

// ThreadID returns the thread of the stream, or "" before the first RUN_STARTED.
func (o *Order) ThreadID() string { return o.threadID }

// RunID returns the run started last, or "" before the first RUN_STARTED.
func (o *Order) RunID() string { return o.runID }

// Check checks ev as the next event of the stream. A chunk is checked as the events it expands to.
// The error is an [*OrderError], and the state is then as before. Only strings of ev are kept.
func (o *Order) Check(ev Event) error {
	if o.phase == phaseRunning && len(o.lanes) == 0 {
		// Most events of a stream are of these three types. Without open chunks they need one
		// lookup.
		switch e := ev.(type) {
		case *TextMessageContent:
			return checkOpen(o.recent[0].find(o.texts, e.MessageID), EventTypeTextMessageContent, e.MessageID, e.SubagentRunID)
		case *ToolCallArgs:
			return checkOpen(o.recent[1].find(o.calls, e.ToolCallID), EventTypeToolCallArgs, e.ToolCallID, e.SubagentRunID)
		case *ReasoningMessageContent:
			return checkOpen(o.recent[2].find(o.reasoning, e.MessageID), EventTypeReasoningMessageContent, e.MessageID, e.SubagentRunID)
		}
	}
	o.recent = [3]recent{}
	if err := o.checkPhase(ev); err != nil {
		return err
	}
	if c, ok := asChunk(ev); ok {
		return o.checkChunk(&c)
	}
	r := closedBy(ev)
	if err := o.checkEvent(ev, r); err != nil {
		return err
	}
	o.closeLanes(r)
	o.apply(ev)
	return nil
}

func (o *Order) checkPhase(ev Event) error {
	t := ev.Type()
	fail := func(rule string) error { return &OrderError{Event: t, Rule: rule} }
	switch o.phase {
	case phaseNew:
		if t != EventTypeRunStarted && t != EventTypeRunError {
			return fail(RuleFirstEvent)
		}
	case phaseRunning:
		if t == EventTypeRunStarted {
			return fail(RuleRunActive)
		}
	case phaseFinished:
		if t != EventTypeRunStarted && t != EventTypeRunError {
			return fail(RuleRunFinished)
		}
	case phaseFailed:
		if t != EventTypeRunStarted {
			return fail(RuleRunFailed)
		}
	}
	return nil
}

// checkOpen checks that an explicit event may continue or close item it.
func checkOpen(it *item, t EventType, id string, tag *string) error {
	switch {
	case it == nil || !it.open:
		return &OrderError{Event: t, Rule: RuleNotOpen, ID: id}
	case it.chunks:
		return &OrderError{Event: t, Rule: RuleChunkMixed, ID: id}
	case !it.owner.agrees(tag):
		return &OrderError{Event: t, Rule: RuleOwner, ID: id}
	}
	return nil
}

// checkStart checks that an item may open: it is not open, or is open by chunks in a lane that r
// closes first, and its owner is not another.
func (o *Order) checkStart(it *item, t EventType, kind itemKind, id string, tag *string, r laneScope) error {
	if it == nil {
		return nil
	}
	if it.open {
		at := -1
		if it.chunks {
			at = o.lanes.findItem(kind, id)
		}
		if at < 0 || !r.covers(o.lanes[at].owner) {
			return &OrderError{Event: t, Rule: RuleAlreadyOpen, ID: id}
		}
	}
	if !it.owner.agrees(tag) {
		return &OrderError{Event: t, Rule: RuleOwner, ID: id}
	}
	return nil
}

// checkCall checks the start of a tool call and returns the owner it inherits.
func (o *Order) checkCall(t EventType, id string, parent, tag *string, r laneScope) (ownerID, error) {
	it := o.calls[id]
	if err := o.checkStart(it, t, itemCall, id, tag, r); err != nil {
		return ownerID{}, err
	}
	owner := ownerOf(tag)
	if parent == nil {
		return owner, nil
	}
	message := o.texts[*parent]
	if message == nil {
		return owner, nil
	}
	if !message.owner.agrees(tag) || it != nil && it.owner != message.owner {
		return owner, &OrderError{Event: t, Rule: RuleParentOwner, ID: id}
	}
	return message.owner, nil
}

func (o *Order) checkChunk(c *chunk) error {
	owner, at, opens, err := o.lanes.laneFor(c)
	if err != nil || !opens {
		return err
	}
	// The open item of the lane ends first. No other lane is closed.
	r := laneScope{one: true, owner: owner}
	tag := c.base.SubagentRunID
	var inherited ownerID
	switch c.kind {
	case itemText:
		inherited, err = owner, o.checkStart(o.texts[*c.id], c.event, c.kind, *c.id, tag, r)
	case itemCall:
		inherited, err = o.checkCall(c.event, *c.id, c.parent, tag, r)
	case itemReasoning:
		inherited, err = owner, o.checkStart(o.reasoning[*c.id], c.event, c.kind, *c.id, tag, r)
	}
	if err != nil {
		return err
	}
	if at >= 0 {
		o.closeLanes(r)
	}
	o.lanes = append(o.lanes, newLane(owner, c))
	it := o.openItem(c.kind, *c.id, inherited)
	it.chunks = true
	return nil
}
