package run

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// Activity is something that the frontend shows beside the conversation and that changes, such as a
// plan or a search. There is nothing to close. Use it from one goroutine at a time.
type Activity struct {
	owner owner
	id    string
	kind  string
	shown json.RawMessage // what the client has; nil: that is not certain
}

// Activity shows an activity: ACTIVITY_SNAPSHOT with a fresh id. content is encoded by encoding/json
// and must come to an object. Errors as Emit, and those of encoding/json.
func (r *Run) Activity(activityType string, content any) (*Activity, error) {
	return owner{run: r}.activity(activityType, content)
}

func (o owner) activity(kind string, content any) (*Activity, error) {
	a := &Activity{owner: o, id: newID("activity-"), kind: kind}
	if err := a.Set(content); err != nil {
		return nil, err
	}
	return a, nil
}

// ID is the id of the activity, which is a message of the conversation.
func (a *Activity) ID() string { return a.id }

// Set makes content what is shown: by ACTIVITY_DELTA or ACTIVITY_SNAPSHOT, whichever is fewer bytes of
// JSON, and by nothing when it is shown already. Errors as those of Run.Activity.
func (a *Activity) Set(content any) error {
	raw, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("agloop: content of activity %q: %w", a.kind, err)
	}
	ev, err := a.change(raw)
	if err != nil || ev == nil {
		return err
	}
	err = a.owner.emit(ev)
	if _, refused := errors.AsType[*event.FieldError](err); refused && a.shown != nil {
		// Where patches have a closer limit, the snapshot may pass.
		err = a.owner.emit(&agui.ActivitySnapshot{MessageID: a.id, ActivityType: a.kind, Content: raw})
	}
	if err == nil {
		a.shown = raw
	}
	return err
}

// change is the event that makes raw what is shown, nil for none.
func (a *Activity) change(raw json.RawMessage) (agui.Event, error) {
	whole := &agui.ActivitySnapshot{MessageID: a.id, ActivityType: a.kind, Content: raw}
	if a.shown == nil {
		return whole, nil
	}
	ops, err := agui.Diff(a.shown, raw)
	if err != nil || len(ops) == 0 {
		return nil, err
	}
	delta := &agui.ActivityDelta{MessageID: a.id, ActivityType: a.kind, Patch: ops}
	all, err := event.Append(nil, whole)
	if err != nil {
		return whole, nil // so that Emit says what is wrong with it
	}
	// A patch that is refused has values that nest too deep, which the content by itself may not.
	if patch, err := event.Append(nil, delta); err != nil || len(all) <= len(patch) {
		return whole, nil
	}
	return delta, nil
}

// Patch changes the content by hand: ACTIVITY_DELTA. Where an operation does not apply to what a client
// has, it leaves the content as it is, so the next Set sends all of it. Errors as Emit.
func (a *Activity) Patch(ops ...agui.PatchOp) error {
	a.shown = nil
	return a.owner.emit(&agui.ActivityDelta{MessageID: a.id, ActivityType: a.kind, Patch: ops})
}
