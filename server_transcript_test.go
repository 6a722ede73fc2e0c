package agloop_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/internal/testkit"
)

// stage plays the client's lines of a transcript to a real server, whose agent says what the server's
// lines want of it, and holds what the server sends against those lines.
type stage struct {
	t    *testing.T
	addr string
	key  string
	v    *viewer
	real []string // what the file calls otherwise, and its real name, in turn
	says chan json.RawMessage

	selector json.RawMessage // of the server, whose event is still to come
}

// newStage makes a server for a transcript. The client is a principal unless the file has a secret.
func newStage(t *testing.T, secret bool) *stage {
	t.Helper()
	s := &stage{t: t, key: "ann", says: make(chan json.RawMessage, 100)}
	if secret {
		s.key = ""
	}
	_, s.addr = serveEach(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(ctx context.Context, r *agloop.Run) error {
		for {
			select {
			case raw := <-s.says:
				if raw == nil {
					return nil
				}
				ev, _, err := new(event.Decoder).DecodeEvent(raw)
				if err == nil {
					err = r.Emit(ev)
				}
				if err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})})
	return s
}

// line plays one line.
func (s *stage) line(l said) {
	s.t.Helper()
	switch {
	case l.Close != 0:
		s.v.Reset()
	case l.From == "client":
		s.v.Put(testkit.Text(strings.NewReplacer(s.real...).Replace(string(l.Frame))))
	case control.IsControl(l.Frame):
		s.control(l.Frame)
	default:
		s.event(l.Frame)
	}
}

// control holds a control of the server against its line.
func (s *stage) control(line json.RawMessage) {
	s.t.Helper()
	name, want, err := control.Parse(line)
	if err != nil {
		s.t.Fatal(err)
	}
	if name == control.NameHello {
		s.v = newViewer(s.t, s.addr, s.key)
		var h control.Hello
		if err := json.Unmarshal(want, &h); err != nil || (h.Secret == "") != (s.v.hello.Secret == "") || h.Version != s.v.hello.Version {
			s.t.Errorf("%s, and the server greets with %+v", line, s.v.hello)
		}
		if h.Secret != "" {
			s.real = append(s.real, h.Secret, s.v.hello.Secret)
		}
		return
	}
	if name == control.NameRun { // it comes with the event behind it
		s.selector = line
		return
	}
	f, err := s.v.read()
	if err != nil {
		s.t.Fatal(err)
	}
	if f.name != name || !sameJSON(string(f.body), string(want)) {
		s.t.Errorf("the server says %s %s, want %s", f.name, f.body, line)
	}
}

// wantSelector holds the selector before an event against its line.
func (s *stage) wantSelector() {
	s.t.Helper()
	_, body, err := control.Parse(s.selector)
	if err != nil {
		s.t.Fatal(err)
	}
	f, err := s.v.read()
	if err != nil {
		s.t.Fatal(err)
	}
	var got, want control.Run
	s.v.into(f, &got)
	if err := json.Unmarshal(body, &want); err != nil {
		s.t.Fatal(err)
	}
	if want.Epoch != "" {
		s.real = append(s.real, want.Epoch, got.Epoch)
	}
	got.Epoch, got.Last, want.Epoch, want.Last = "", 0, "", 0
	if f.name != control.NameRun || !sameValue(got, want) {
		s.t.Errorf("the server says %s %s, want %s", f.name, f.body, s.selector)
	}
	s.selector = nil
}

func sameValue(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// event has the agent say an event, and holds what comes against it.
func (s *stage) event(line json.RawMessage) {
	s.t.Helper()
	var want struct {
		Type    string
		Outcome *agui.Outcome
	}
	if err := json.Unmarshal(line, &want); err != nil {
		s.t.Fatal(err)
	}
	switch {
	case want.Type == "RUN_STARTED" || want.Outcome != nil: // the server says it by itself
	case want.Type == "RUN_FINISHED":
		s.says <- nil
	default:
		s.says <- line
	}
	s.wantEvent(line)
}

func (s *stage) wantEvent(line json.RawMessage) {
	s.t.Helper()
	if s.selector != nil {
		s.wantSelector()
	}
	f, err := s.v.read()
	if err != nil {
		s.t.Fatal(err)
	}
	var got, want map[string]any
	if json.Unmarshal(f.body, &got) != nil || json.Unmarshal(line, &want) != nil {
		s.t.Fatalf("%s", f.body)
	}
	delete(got, "timestamp")
	delete(got, "protocolVersion") // of RUN_STARTED, which transcripts leave out
	if !sameValue(got, want) {
		s.t.Errorf("the server says %s, want %s", f.body, line)
	}
}

// TestTranscriptsOfTheServer plays those files of testdata/protocol that a real server can be made to
// answer so: others hold what a client must bear, such as trimmed logs or another server's codes.
func TestTranscriptsOfTheServer(t *testing.T) {
	for _, name := range []string{"start", "bind", "conflict", "gone", "cancel"} {
		t.Run(name, func(t *testing.T) {
			lines := readTranscript(t, "testdata/protocol/"+name+".ndjson")
			s := newStage(t, name == "bind")
			switch name {
			case "conflict":
				s.says <- nil
				newViewer(t, s.addr, s.key).runsOf("t", "r") // of another input
			case "gone":
				lines = append(lines[:1:1], lines[5:]...) // a name that never was
			}
			for i, l := range lines {
				if name == "cancel" && strings.Contains(string(l.Frame), `"TEXT_MESSAGE_END"`) {
					s.wantEvent(lines[i].Frame) // what is open is closed without the agent
					continue
				}
				s.line(l)
			}
		})
	}
}
