package event_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/internal/testkit"
)

func TestNotesAreBounded(t *testing.T) {
	const many = 209_703 // in an input of 1 MiB
	var sixteen, seventeen []event.Note
	for i := range 17 {
		n := event.Note{Kind: event.NoteStripped, Event: "RunAgentInput", Path: fmt.Sprintf("x%d", i)}
		if i < 16 {
			sixteen = append(sixteen, n)
		}
		n.Event, n.Path = "MESSAGES_SNAPSHOT", fmt.Sprintf("messages[%d]", i)
		seventeen = append(seventeen, n)
	}
	unknown := func(n int) (s string) {
		for i := range n {
			s += fmt.Sprintf(`,"x%d":0`, i)
		}
		return s
	}
	const head = `{"threadId":"t","runId":"r","messages":[]`
	for name, tc := range map[string]struct {
		data string
		want []event.Note
	}{
		"sixteen":   {head + unknown(16) + "}", sixteen},
		"one more":  {head + unknown(17) + "}", append(slices.Clone(sixteen), event.Note{Kind: event.NoteStripped, Event: "RunAgentInput", Count: 1})},
		"very many": {head + unknown(16) + strings.Repeat(`,"":0`, many-16) + "}", append(slices.Clone(sixteen), event.Note{Kind: event.NoteStripped, Event: "RunAgentInput", Count: many - 16})},
		"of two kinds": {
			head + unknown(16) + `,"forwardedProps":null,"tools":[{"name":"","description":"","parameters":null}],"x16":1}`,
			append(slices.Clone(sixteen), event.Note{Kind: event.NoteStripped, Event: "RunAgentInput", Count: 1},
				event.Note{Kind: event.NoteTranslated, Event: "RunAgentInput", Count: 2}),
		},
	} {
		in, notes, err := event.DecodeRunAgentInput([]byte(tc.data))
		if err != nil || in.ThreadID != "t" {
			t.Fatalf("%s: %v", name, err)
		}
		if !slices.Equal(notes, tc.want) {
			t.Errorf("%s: notes %v, want %v", name, notes, tc.want)
		}
	}
	// What was noted of an element is forgotten when that is stripped as a whole, also what was only
	// counted.
	var elements []string
	for range 17 {
		elements = append(elements, `{"role":"user","id":"m","content":[`+strings.TrimSuffix(strings.Repeat(`{"type":"later"},`, 20), ",")+`],"role":"later"}`)
	}
	for _, typ := range []event.SerializerType{event.OptimizedJSON, event.JSON} {
		s, err := event.NewSerializer(typ)
		if err != nil {
			t.Fatal(err)
		}
		_, notes, err := s.DecodeEvent([]byte(`{"type":"MESSAGES_SNAPSHOT","messages":[` + strings.Join(elements, ",") + `]}`))
		want := append(slices.Clone(seventeen[:16]), event.Note{Kind: event.NoteStripped, Event: "MESSAGES_SNAPSHOT", Count: 1})
		if err != nil || !slices.Equal(notes, want) {
			t.Errorf("%s: notes %v, error %v, want %v", typ, notes, err, want)
		}
	}
}

// What it costs to note and to leave out what nobody knows grows with the size of an input, by as much
// as a server admits for decoding at most.
func TestNotesCostWhatDecodingMay(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	const size = 1 << 20
	for name, data := range map[string]string{
		"members":  `{"threadId":"t","runId":"r","messages":[]` + strings.Repeat(`,"":0`, size/5) + `}`,
		"first":    `{` + strings.Repeat(`"":0,`, size/5) + `"threadId":"t","runId":"r","messages":[]}`,
		"elements": `{"threadId":"t","runId":"r","messages":[` + strings.TrimSuffix(strings.Repeat(`{"role":""},`, size/12), ",") + `]}`,
		"one each": `{"threadId":"t","runId":"r","messages":[],"context":[` + strings.TrimSuffix(strings.Repeat(`{"description":"","value":"","":0},`, size/35), ",") + `]}`,
	} {
		if _, _, err := event.DecodeRunAgentInput([]byte(data)); err != nil { // it brings what is used again
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, _, err := event.DecodeRunAgentInput([]byte(data)); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if took := (after.TotalAlloc - before.TotalAlloc) / size; took > 12 {
			t.Errorf("%s: decoding takes %d bytes for each byte", name, took)
		}
	}
}

func TestNotesHaveAText(t *testing.T) {
	for want, n := range map[string]event.Note{
		"stripped tools[0].x":       {Kind: event.NoteStripped, Event: "RunAgentInput", Path: "tools[0].x"},
		"stripped 7 more":           {Kind: event.NoteStripped, Event: "RunAgentInput", Count: 7},
		"dropped LATER":             {Kind: event.NoteDropped, Event: "LATER"},
		"translated THINKING_START": {Kind: event.NoteTranslated, Event: "THINKING_START"},
		"warned of protocolVersion": {Kind: event.NoteWarned, Event: "RUN_STARTED", Path: "protocolVersion"},
	} {
		if got := n.String(); got != want {
			t.Errorf("%+v is %q, want %q", n, got, want)
		}
	}
}

// A peer that is newer is told of in one voice, whether it is by its minor or its major number, and so
// is one that does not say what it speaks.
func TestNotesOfProtocolVersions(t *testing.T) {
	for version, noted := range map[string]bool{
		"1.0": false, "0.9": false, "01.0": false,
		"1.1": true, "1.99999999999999999999": true, "2.0": true, "": true, "1": true, "1.0.0": true, "new": true,
	} {
		var want []event.Note
		if noted {
			want = []event.Note{{Kind: event.NoteWarned, Event: "RUN_STARTED", Path: "protocolVersion"}}
		}
		for _, typ := range []event.SerializerType{event.OptimizedJSON, event.JSON} {
			s, err := event.NewSerializer(typ)
			if err != nil {
				t.Fatal(err)
			}
			ev, notes, err := s.DecodeEvent([]byte(`{"type":"RUN_STARTED","threadId":"t","runId":"r","protocolVersion":"` + version + `"}`))
			if err != nil || !slices.Equal(notes, want) || *ev.(*agui.RunStarted).ProtocolVersion != version {
				t.Errorf("%s, %q: %v, notes %v, error %v", typ, version, ev, notes, err)
			}
		}
		if noted {
			want[0].Event = "RunAgentInput"
		}
		_, notes, err := event.DecodeRunAgentInput([]byte(`{"threadId":"t","runId":"r","messages":[],"protocolVersion":"` + version + `"}`))
		if err != nil || !slices.Equal(notes, want) {
			t.Errorf("input, %q: notes %v, error %v", version, notes, err)
		}
	}
}
