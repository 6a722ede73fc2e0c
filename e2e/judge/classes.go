package main

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// class is a kind of difference that is known and meant, in docs/agui.md by its name. It has an example,
// an event or a stream, that is judged each time: a class that says more than is true fails.
type class struct {
	name   string
	event  string
	stream []string
	is     func(d *difference) bool
}

var (
	kindPlace = regexp.MustCompile(`(^|\.)(outcome\.type|content\[\d+\]\.type|source\.type|messages\[\d+\]\.role|(delta|patch)\[\d+\]\.op)$`)
	ofPart    = regexp.MustCompile(`content\[\d+\]\.(id|metadata)$`)
	setIssue  = regexp.MustCompile(`^invalid_value (role|subtype|input\.resume\.\d+\.status): Invalid option: `)
)

var classes = []class{
	{name: "what is no event", event: `{"messageId":"m"}`, is: func(d *difference) bool {
		f := d.ours.field()
		return d.event && d.theirs.Dropped && f.Event == "" && (f.Field == "" || f.Field == "type")
	}},
	{name: "a union without its kind", event: `{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"interrupts":[]}}`, is: func(d *difference) bool {
		f := d.ours.field()
		return d.event && d.theirs.Fatal == "" && kindPlace.MatchString(f.Field) &&
			(f.Reason == "required but missing" || f.Reason == "must be a string")
	}},
	{name: "a malformed member beside an unknown source", event: `{"type":"TOOL_CALL_RESULT","messageId":"m","toolCallId":"c","content":[{"type":"image","id":1,"source":{"type":"later"}}]}`, is: func(d *difference) bool {
		return d.event && d.theirs.Fatal == "" && ofPart.MatchString(d.ours.field().Field)
	}},
	{name: "limits", event: `{"type":"RAW","event":` + nested(64) + `}`, is: func(d *difference) bool {
		f := d.ours.field()
		return d.event && d.theirs.Fatal == "" && (f.Reason == "nested deeper than 64 levels" || f.Reason == "more than 1024 elements")
	}},
	{name: "a value outside of its set", event: `{"type":"TEXT_MESSAGE_START","messageId":"m","role":"later"}`, is: func(d *difference) bool {
		left := slices.ContainsFunc(d.notes, func(n event.Note) bool { return n.Kind == event.NoteDropped || n.Kind == event.NoteStripped })
		return d.event && d.ours.Fatal == "" && left && d.theirs.issues(setIssue)
	}},
	{name: "a member __proto__ of an operation", event: `{"type":"STATE_DELTA","delta":[{"op":"remove","path":"/a","__proto__":1}]}`, is: func(d *difference) bool {
		return d.event && d.ours.Kept.without("__proto__").equal(d.theirs.Kept)
	}},
	{name: "a stream that ends too early", stream: []string{
		`{"type":"RUN_STARTED","threadId":"t","runId":"r"}`,
	}, is: func(d *difference) bool {
		return !d.event && d.truncated && d.ours.agrees(d.theirs)
	}},
	{name: "chunks and explicit events of one item", stream: []string{
		`{"type":"RUN_STARTED","threadId":"t","runId":"r"}`,
		`{"type":"TEXT_MESSAGE_CHUNK","messageId":"m","subagentRunId":"s"}`,
		`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"d"}`,
	}, is: func(d *difference) bool {
		order, ok := errors.AsType[*agui.OrderError](d.ours.err)
		return ok && order.Rule == agui.RuleChunkMixed && d.ours.begins(d.theirs)
	}},
	{name: "a result with the id of a message of chunks", stream: []string{
		`{"type":"RUN_STARTED","threadId":"t","runId":"r"}`,
		`{"type":"TEXT_MESSAGE_CHUNK","messageId":"m","subagentRunId":"s"}`,
		`{"type":"TOOL_CALL_RESULT","messageId":"m","toolCallId":"c","content":""}`,
	}, is: func(d *difference) bool {
		order, ok := errors.AsType[*agui.OrderError](d.ours.err)
		return ok && d.side == "emit" && order.Event == agui.EventTypeToolCallResult && order.Rule == agui.RuleOwner && d.theirs.Fatal == ""
	}},
	{name: "names of runs, threads and interrupts", stream: []string{
		`{"type":"RUN_STARTED","threadId":"t","runId":"r"}`,
		`{"type":"RUN_FINISHED","threadId":"t","runId":"other"}`,
	}, is: func(d *difference) bool {
		order, ok := errors.AsType[*agui.OrderError](d.ours.err)
		return ok && (order.Rule == agui.RuleOtherRun || order.Rule == agui.RuleOtherThread || order.Rule == agui.RuleInterruptTwice) &&
			d.ours.begins(d.theirs)
	}},
}

// field is the error of a malformed event, the zero value for anything else.
func (v verdict) field() event.FieldError {
	if f, ok := errors.AsType[*event.FieldError](v.err); ok {
		return *f
	}
	return event.FieldError{}
}

// issues reports whether it is a refusal of the schema whose issues are all of a form.
func (v verdict) issues(form *regexp.Regexp) bool {
	for issue := range strings.SplitSeq(v.Fatal, "; ") {
		if !form.MatchString(issue) {
			return false
		}
	}
	return true
}

// begins reports whether w delivers at least what v does.
func (v verdict) begins(w verdict) bool {
	return len(v.Delivered) <= len(w.Delivered) && equalValues(v.Delivered, w.Delivered[:len(v.Delivered)])
}
