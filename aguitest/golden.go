package aguitest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// updateGolden is the variable of the environment that has golden files written. A flag would be one
// of the host's test binary.
const updateGolden = "AGUITEST_UPDATE"

// WantGolden wants the events of the golden file: one JSON object a line, as [Result.Golden] writes
// them. name is a path without its extension under testdata; "" is the name of the test. With
// AGUITEST_UPDATE=1 in the environment it writes the file and wants nothing.
func (r *Result) WantGolden(name string) {
	r.t.Helper()
	got := r.Golden()
	if name == "" {
		name = r.t.Name()
	}
	path := filepath.Join("testdata", filepath.FromSlash(unsafeInNames.ReplaceAllString(name, "_"))+".ndjson")
	if os.Getenv(updateGolden) == "1" {
		if err := writeGolden(path, got); err != nil {
			r.t.Errorf("aguitest: golden file: %v", err)
		}
		return
	}
	want, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.t.Errorf("aguitest: there is no golden file %s; %s=1 writes it\n%s", path, updateGolden, r)
	case err != nil:
		r.t.Errorf("aguitest: golden file: %v", err)
	default:
		if diff := diffLines(got, bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n"))); diff != "" {
			r.t.Errorf("aguitest: the run is not that of %s; %s=1 writes it anew\n%s", path, updateGolden, diff)
		}
	}
}

// unsafeInNames is what some file systems do not take in the name of a file.
var unsafeInNames = regexp.MustCompile(`[^A-Za-z0-9._/-]`)

func writeGolden(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// diffLines shows the first line that differs, "" when none does.
func diffLines(got, want []byte) string {
	a, b := splitLines(got), splitLines(want)
	for i := range max(len(a), len(b)) {
		x, y := "nothing: the run has fewer events", "nothing: the run has more events"
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return fmt.Sprintf("line %d of %d, %d wanted:\ngot  %s\nwant %s", i+1, len(a), len(b), x, y)
		}
	}
	return ""
}

func splitLines(b []byte) []string {
	text := strings.TrimSuffix(string(b), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// Golden is the run as one JSON object a line, with what differs from run to run replaced: each id
// by its kind and the order in which it first came, such as "message-2", timestamps by 0, the id of
// a hidden error by "id". Ids within open places stay, such as state, metadata and raw events.
func (r *Result) Golden() []byte {
	r.t.Helper()
	n := normalizer{names: make(map[string]string), counts: make(map[string]int)}
	var out []byte
	for _, ev := range r.Events {
		// A copy, since the events are the caller's.
		raw, err := event.Append(nil, ev)
		if err == nil {
			ev, _, err = new(event.Decoder).DecodeEvent(raw)
		}
		if err != nil || ev == nil {
			r.t.Errorf("aguitest: golden file: an event cannot be written: %v", err)
			continue
		}
		n.event(ev)
		if out, err = event.Append(out, ev); err != nil {
			r.t.Errorf("aguitest: golden file: %v", err)
			continue
		}
		out = append(out, '\n')
	}
	return out
}

// normalizer gives ids names that do not change from run to run.
type normalizer struct {
	names  map[string]string
	counts map[string]int
}

// kinds are the members that hold ids, and what the ids are of. "id" depends on what has it.
var kinds = map[string]string{
	"threadId": "thread", "runId": "run", "parentRunId": "run",
	"messageId": "message", "parentMessageId": "message",
	"toolCallId": "call", "parentToolCallId": "call", "pendingToolCallIds": "call",
	"subagentRunId": "subagent", "parentSubagentRunId": "subagent",
	"interruptId": "interrupt", "interruptIds": "interrupt",
	"entityId": "entity", // of a message or a call, that has a name already
}

var idKinds = map[reflect.Type]string{
	reflect.TypeFor[agui.Message]():   "message",
	reflect.TypeFor[agui.ToolCall]():  "call",
	reflect.TypeFor[agui.Interrupt](): "interrupt",
}

// hiddenID is the id of an error that the client may not read.
var hiddenID = regexp.MustCompile(`\(id [0-9a-f]{12}\)`)

func (n *normalizer) event(ev agui.Event) {
	n.walk(reflect.ValueOf(ev).Elem())
	if b := ev.Common(); b.Timestamp != nil {
		b.Timestamp = new(int64)
	}
	if e, ok := ev.(*agui.RunError); ok {
		e.Message = hiddenID.ReplaceAllString(e.Message, "(id)")
	}
}

// walk renames the ids in the struct v and what it holds. What is raw JSON is open, and stays.
func (n *normalizer) walk(v reflect.Value) {
	for i := range v.NumField() {
		field, tag := v.Field(i), v.Type().Field(i).Tag.Get("json")
		name, _, _ := strings.Cut(tag, ",")
		kind := kinds[name]
		if name == "id" {
			kind = idKinds[v.Type()]
		}
		n.value(field, kind)
	}
}

func (n *normalizer) value(v reflect.Value, kind string) {
	switch v.Kind() {
	case reflect.String:
		if kind != "" {
			v.SetString(n.rename(v.String(), kind))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			n.value(v.Elem(), kind)
		}
	case reflect.Struct:
		n.walk(v)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range v.Len() {
			n.value(v.Index(i), kind)
		}
	}
}

func (n *normalizer) rename(id, kind string) string {
	name, known := n.names[id]
	if !known {
		n.counts[kind]++
		name = fmt.Sprintf("%s-%d", kind, n.counts[kind])
		n.names[id] = name
	}
	return name
}
