package agui

// ownerID is who an item belongs to: a subagent, or the parent agent when sub is false. A subagent
// whose id is "" is not the parent.
type ownerID struct {
	id  string
	sub bool
}

func ownerOf(tag *string) ownerID {
	if tag == nil {
		return ownerID{}
	}
	return ownerID{id: *tag, sub: true}
}

// agrees reports whether an event tagged tag may continue an item of owner o.
func (o ownerID) agrees(tag *string) bool {
	return tag == nil || o.sub && *tag == o.id
}

func (o ownerID) tag() *string {
	if !o.sub {
		return nil
	}
	return &o.id
}

// itemKind is one of the three kinds of items that a chunk can open. Ids are unique within a kind.
type itemKind uint8

const (
	itemText itemKind = iota
	itemCall
	itemReasoning
)

// chunk is a *_CHUNK event of any kind.
type chunk struct {
	kind   itemKind
	event  EventType
	base   *Base
	id     *string
	role   Role
	name   *string // of a text message or of the tool
	parent *string
	delta  *string
}

func asChunk(ev Event) (chunk, bool) {
	switch e := ev.(type) {
	case *TextMessageChunk:
		return chunk{itemText, EventTypeTextMessageChunk, &e.Base, e.MessageID, e.Role, e.Name, nil, e.Delta}, true
	case *ToolCallChunk:
		return chunk{itemCall, EventTypeToolCallChunk, &e.Base, e.ToolCallID, "", e.ToolCallName, e.ParentMessageID, e.Delta}, true
	case *ReasoningMessageChunk:
		return chunk{itemReasoning, EventTypeReasoningMessageChunk, &e.Base, e.MessageID, "", nil, nil, e.Delta}, true
	}
	return chunk{}, false
}

// hasContent reports whether the chunk expands to a content event. A chunk that opens an item
// carries its metadata on the START as well, so metadata alone needs a content event only on a
// later chunk.
func (c *chunk) hasContent(opens bool) bool {
	return c.delta != nil || len(c.base.RawEvent) > 0 || !opens && len(c.base.Metadata) > 0
}

// lane is the item that one owner has open by chunks, with the members of the chunk that opened it.
type lane struct {
	owner  ownerID
	kind   itemKind
	id     string
	role   Role
	name   *string
	parent *string
}

// lanes holds the lanes in use, in the order their items opened.
type lanes []lane

func (ls lanes) find(owner ownerID) int {
	for i := range ls {
		if ls[i].owner == owner {
			return i
		}
	}
	return -1
}

func (ls lanes) findItem(kind itemKind, id string) int {
	for i := range ls {
		if ls[i].kind == kind && ls[i].id == id {
			return i
		}
	}
	return -1
}

// laneFor finds the lane of a chunk. at is its index, or -1 when the owner has no item open; opens
// reports whether the chunk starts a new item there instead of continuing the open one.
func (ls lanes) laneFor(c *chunk) (owner ownerID, at int, opens bool, err error) {
	owner, at, err = ls.resolve(c)
	if err != nil {
		return owner, at, false, err
	}
	if at >= 0 {
		held := &ls[at]
		if held.kind == c.kind && (c.id == nil || *c.id == held.id) {
			return owner, at, false, held.agree(c)
		}
	}
	switch {
	case c.id == nil:
		return owner, at, false, &OrderError{Event: c.event, Rule: RuleChunkID}
	case c.kind == itemCall && c.name == nil:
		return owner, at, false, &OrderError{Event: c.event, Rule: RuleChunkName, ID: *c.id}
	}
	return owner, at, true, nil
}

func (ls lanes) resolve(c *chunk) (owner ownerID, at int, err error) {
	tag := c.base.SubagentRunID
	if c.id != nil {
		if at := ls.findItem(c.kind, *c.id); at >= 0 {
			if !ls[at].owner.agrees(tag) {
				return ls[at].owner, at, &OrderError{Event: c.event, Rule: RuleOwner, ID: *c.id}
			}
			return ls[at].owner, at, nil
		}
	}
	owner = ownerOf(tag)
	at = ls.find(owner)
	if c.id != nil || tag != nil || at >= 0 && ls[at].kind == c.kind {
		return owner, at, nil
	}
	// The chunk has neither id nor owner, and the parent has no item to continue. So it continues
	// the open item of its kind if there is exactly one.
	only := -1
	for i := range ls {
		if ls[i].kind != c.kind {
			continue
		}
		if only >= 0 {
			return owner, at, &OrderError{Event: c.event, Rule: RuleChunkAmbiguous}
		}
		only = i
	}
	if only >= 0 {
		return ls[only].owner, only, nil
	}
	return owner, at, nil
}

// agree checks that members which a later chunk repeats equal those of the first.
func (l *lane) agree(c *chunk) error {
	same := func(later, first *string) bool {
		return later == nil || first != nil && *later == *first
	}
	if c.role != "" && c.role != l.role || !same(c.name, l.name) || !same(c.parent, l.parent) {
		return &OrderError{Event: c.event, Rule: RuleChunkConflict, ID: l.id}
	}
	return nil
}

// newLane returns the lane that a chunk opens. It copies the members, because the chunk may be
// reused.
func newLane(owner ownerID, c *chunk) lane {
	l := lane{owner: owner, kind: c.kind, id: *c.id, name: clonePointer(c.name), parent: clonePointer(c.parent)}
	if c.kind == itemText {
		if l.role = c.role; l.role == "" {
			l.role = RoleAssistant
		}
	}
	return l
}

func clonePointer(s *string) *string {
	if s == nil {
		return nil
	}
	return new(*s)
}

// laneScope is the lanes that an event closes before it takes effect.
type laneScope struct {
	all   bool // every lane
	one   bool // the lane of owner
	owner ownerID
}

func (r laneScope) covers(owner ownerID) bool { return r.all || r.one && r.owner == owner }

// closedBy returns the lanes that an event closes which is not a chunk.
func closedBy(ev Event) laneScope {
	switch e := ev.(type) {
	case *RunStarted, *RunFinished, *RunError, *MessagesSnapshot:
		return laneScope{all: true}
	case *Raw, *ActivitySnapshot, *ActivityDelta, *ReasoningEncryptedValue, *SubagentStarted:
		return laneScope{}
	case *SubagentFinished:
		return laneScope{one: true, owner: ownerID{e.SubagentRunID, true}}
	case *SubagentError:
		return laneScope{one: true, owner: ownerID{e.SubagentRunID, true}}
	}
	return laneScope{one: true, owner: ownerOf(ev.Common().SubagentRunID)}
}

// continues returns the item that ev, an explicit event, adds to or ends. ok is false when there is
// none.
func continues(ev Event) (kind itemKind, id string, ok bool) {
	switch e := ev.(type) {
	case *TextMessageContent:
		return itemText, e.MessageID, true
	case *TextMessageEnd:
		return itemText, e.MessageID, true
	case *ToolCallArgs:
		return itemCall, e.ToolCallID, true
	case *ToolCallEnd:
		return itemCall, e.ToolCallID, true
	case *ReasoningMessageContent:
		return itemReasoning, e.MessageID, true
	case *ReasoningMessageEnd:
		return itemReasoning, e.MessageID, true
	}
	return 0, "", false
}
