package agui

import (
	"bytes"
	"encoding/json"
	"slices"
)

// setActivity creates an activity or, unless Replace is false, replaces the message of its id. A
// replacement keeps the metadata of an activity and brings its own owner.
func (t *Thread) setActivity(e *ActivitySnapshot) error {
	replace := e.Replace == nil || *e.Replace
	old := t.byID[e.MessageID]
	if old != nil && !replace {
		if old.head.Role != RoleActivity {
			return &SkipError{Event: e.Type(), ID: e.MessageID, Reason: SkipNoActivity}
		}
		old.metadata.merge(e.Metadata)
		return nil
	}
	m := &threadMessage{kind: contentObject, object: bytes.Clone(e.Content), head: Message{
		ID: e.MessageID, Role: RoleActivity, ActivityType: new(e.ActivityType),
		SubagentRunID: clonePointer(e.SubagentRunID),
	}}
	if old == nil {
		t.push(m)
	} else {
		if old.head.Role == RoleActivity {
			m.metadata = old.metadata.clone()
		}
		t.replace(old, m)
	}
	m.metadata.merge(e.Metadata)
	return nil
}

// patchActivity changes the content of an activity. The metadata counts whether the patch applies
// or not. A patch whose result is no object does not apply, for no message could hold it.
func (t *Thread) patchActivity(e *ActivityDelta) error {
	old := t.byID[e.MessageID]
	switch {
	case old == nil:
		return &SkipError{Event: e.Type(), ID: e.MessageID, Reason: SkipNoMessage}
	case old.head.Role != RoleActivity:
		return &SkipError{Event: e.Type(), ID: e.MessageID, Reason: SkipNoActivity}
	}
	old.metadata.merge(e.Metadata)
	content, err := applyPatch(old.object, e.Patch)
	switch {
	case err != nil:
		return &SkipError{Event: e.Type(), ID: e.MessageID, Reason: err.Error()}
	case content[0] != '{':
		return &SkipError{Event: e.Type(), ID: e.MessageID, Reason: "the patch makes the content no object"}
	}
	m := &threadMessage{kind: contentObject, object: content, head: old.head, metadata: old.metadata.clone()}
	m.head.ActivityType = new(e.ActivityType)
	t.replace(old, m)
	return nil
}

// replace puts m in the place of old, the first message of its id. A snapshot that lists an id
// twice makes one message stand in two places; only the first of them changes then.
func (t *Thread) replace(old, m *threadMessage) {
	t.messages[slices.Index(t.messages, old)] = m
	if len(old.calls) > 0 {
		t.reindex()
		return
	}
	t.byID[m.head.ID] = m
}

// activityScope is which activities a MESSAGES_SNAPSHOT drops when it does not list them.
type activityScope struct {
	all   bool
	types []string
}

// activityMetadata is the key under which the official client lets a snapshot say what it owns.
const activityMetadata = "@ag-ui/client"

// scopeOf reads the scope: null is every type, a list those types. What is no declaration owns
// none; without one the snapshot owns every type when it lists any activity.
func scopeOf(e *MessagesSnapshot) activityScope {
	inferred := activityScope{all: slices.ContainsFunc(e.Messages, func(m Message) bool { return m.Role == RoleActivity })}
	var metadata map[string]json.RawMessage
	if len(e.Metadata) == 0 || json.Unmarshal(e.Metadata, &metadata) != nil {
		return inferred
	}
	own, ok := metadata[activityMetadata]
	if !ok {
		return inferred
	}
	var declared map[string]json.RawMessage
	if json.Unmarshal(own, &declared) != nil || declared == nil {
		return activityScope{}
	}
	list, ok := declared["authoritativeActivityTypes"]
	if !ok {
		return inferred
	}
	if isNull(list) {
		return activityScope{all: true}
	}
	var types []*string // null would be "" in a list of strings
	if json.Unmarshal(list, &types) != nil || slices.Contains(types, nil) {
		return activityScope{}
	}
	var scope activityScope
	for _, name := range types {
		scope.types = append(scope.types, *name)
	}
	return scope
}

// reconcile brings the conversation to what a snapshot lists: held messages are updated in their
// places, new ones appended, and those not listed dropped. Activities and reasoning are kept that
// the snapshot does not speak for.
func (t *Thread) reconcile(e *MessagesSnapshot) {
	scope := scopeOf(e)
	reasoning := slices.ContainsFunc(e.Messages, func(m Message) bool { return m.Role == RoleReasoning })
	kept := func(m *threadMessage) bool {
		switch m.head.Role {
		case RoleActivity:
			owned := m.head.ActivityType != nil && slices.Contains(scope.types, *m.head.ActivityType)
			return !scope.all && !owned
		case RoleReasoning:
			return !reasoning
		}
		return false
	}

	listed := make([]*threadMessage, len(e.Messages))
	last := make(map[string]*threadMessage, len(e.Messages)) // by id
	for i := range e.Messages {
		listed[i] = newThreadMessage(&e.Messages[i])
		last[e.Messages[i].ID] = listed[i]
	}
	messages := make([]*threadMessage, 0, len(listed))
	placed := make(map[string]bool, len(listed))
	for _, m := range t.messages {
		if update := last[m.head.ID]; update != nil {
			m = update
		} else if !kept(m) {
			continue
		}
		messages = append(messages, m)
		placed[m.head.ID] = true
	}
	for _, m := range listed {
		if !placed[m.head.ID] {
			messages = append(messages, m)
		}
	}
	t.messages = messages
	t.reindex()
}
