package run

import (
	"encoding/json"

	"github.com/agloop/agloop/codec/event"
)

// Folder lets tests fold.
type Folder struct{ *folder }

// NewFolder is newFolder.
func NewFolder(inputState json.RawMessage, most int) Folder {
	return Folder{newFolder(inputState, most, event.Limits{})}
}

// Add is add.
func (f Folder) Add(older, moved []Entry) ([]Entry, uint64) { return f.add(older, moved) }

// Rest is rest.
func (e Entry) Rest(after uint64) (Entry, bool) { return e.rest(after) }

// Size is size.
func (e Entry) Size() int { return e.size() }

// PatchState applies one operation as a folder does.
var PatchState = patchState

// FoldShape says what a folder sees in an event: "", or type, tag, id and delta.
func FoldShape(event []byte) string {
	e := scanFold(event)
	switch {
	case e.kind.isDelta():
		tag := "none"
		if e.tag != nil {
			tag = "<" + string(e.tag) + ">"
		}
		return foldHeads[e.kind] + " " + tag + " <" + string(e.id) + "> " + string(e.timestamp) + " " + string(e.delta)
	case e.kind.isState():
		return "state"
	case e.kind == foldOdd:
		return "odd"
	}
	return ""
}

// Prelude and WithoutInterrupts are what a viewer gets in the place of the first and last event.
var (
	Prelude           = prelude
	WithoutInterrupts = withoutInterrupts
)
