package run

import (
	"encoding/json"
	"fmt"

	"github.com/agloop/agloop/agui"
)

// Activity is something that the frontend shows beside the conversation and that changes, such as a
// plan or a search. There is nothing to close. Use it from one goroutine at a time.
type Activity struct {
	owner owner
	id    string
	kind  string
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

// Set replaces the content: ACTIVITY_SNAPSHOT. Errors as those of Run.Activity.
func (a *Activity) Set(content any) error {
	raw, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("agloop: content of activity %q: %w", a.kind, err)
	}
	return a.owner.emit(&agui.ActivitySnapshot{MessageID: a.id, ActivityType: a.kind, Content: raw})
}

// Patch changes the content: ACTIVITY_DELTA. Where an operation does not apply to what a client has,
// it leaves the content as it is. Errors as Emit.
func (a *Activity) Patch(ops ...agui.PatchOp) error {
	return a.owner.emit(&agui.ActivityDelta{MessageID: a.id, ActivityType: a.kind, Patch: ops})
}
