package agloop_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// played is a transcript of which the client's lines are played to the real server, whose frames are
// held against the server's lines. Its runs emit what those lines say.
type played struct {
	t     *testing.T
	lines []said
	cfg   agloop.ServerConfig
	key   string // of the principal; "" for none
	srv   *agloop.Server
	addr  string
	runs  *puppets
	v     *viewer

	at      uint64            // attachment that the next event line is of
	runOf   map[uint64]string // by attachment
	offset  uint64            // of the next event line
	through uint64            // of it, where that is not offset
	emitted map[string]uint64 // offset of the last event, by run
	names   map[string]string // the file's words for what is random: the server's
}

// play begins to play a file.
func play(t *testing.T, name string, cfg agloop.ServerConfig) *played {
	t.Helper()
	p := &played{
		t: t, lines: readTranscript(t, filepath.Join("testdata/protocol", name+".ndjson")), cfg: cfg, key: "ann",
		runs: newPuppets(t), runOf: make(map[uint64]string), emitted: make(map[string]uint64),
		names: make(map[string]string),
	}
	p.cfg.Agent = p.runs
	p.serve()
	return p
}

func (p *played) serve() {
	p.t.Helper()
	if p.cfg.Authorize != nil {
		p.srv, p.addr = serve(p.t, p.cfg)
	} else {
		p.srv, p.addr = serveEach(p.t, p.cfg)
	}
}

// before starts a run that is there before the transcript begins, with the messages it has there.
func (p *played) before(id, state string) {
	p.t.Helper()
	startInput(p.t, p.srv, &agui.RunAgentInput{
		ThreadID: "t", RunID: id, State: json.RawMessage(state),
		Messages: []agui.Message{{ID: "u-" + id, Role: agui.RoleUser, Content: agui.TextContent("Hello")}},
	})
	p.emitted[id] = 1
}

// has notes that a run has emitted so much.
func (p *played) has(id string, offset uint64) { p.emitted[id] = offset }

// all plays what is left.
func (p *played) all() {
	p.t.Helper()
	for len(p.lines) > 0 {
		p.line()
	}
}

func (p *played) line() {
	p.t.Helper()
	l := p.lines[0]
	p.lines = p.lines[1:]
	name, body, err := control.Parse(l.Frame)
	switch {
	case l.Close != 0 && l.From == "client":
		p.v.Put(testkit.Closing(uint16(l.Close), ""))
		p.v = nil
	case l.Close != 0:
		p.v.Reset() // as a server does that ends
		p.v = nil
	case name == control.NameHello:
		p.hello(body)
	case l.From == "client":
		if name == control.NameLeave { // what is on its way then
			for len(p.lines) > 0 && p.lines[0].From == "server" && p.lines[0].Frame[0] == '{' {
				p.line()
			}
		}
		frame := string(l.Frame)
		for file, real := range p.names {
			frame = strings.ReplaceAll(frame, file, real)
		}
		listens := name == control.NameSteer && len(p.lines) > 2
		if listens {
			p.runs.do("r", func(r *agloop.Run) error { r.Steering(); return nil })
		}
		p.v.Put(testkit.Text(frame))
		if listens {
			p.steered()
		}
	case err == nil:
		p.control(name, body)
	default:
		p.event(l.Frame)
	}
}

// hello connects.
func (p *played) hello(body json.RawMessage) {
	p.t.Helper()
	p.v = newViewer(p.t, p.addr, p.key)
	var want control.Hello
	p.v.into(seen{name: control.NameHello, body: body}, &want)
	got := p.v.hello
	if got.Boot == "" || (got.Secret == "") != (want.Secret == "") {
		p.t.Errorf("hello %+v", got)
	}
	if want.Secret != "" {
		p.names[want.Secret] = got.Secret
	}
	want.Boot, want.Secret = got.Boot, got.Secret
	if got != want {
		p.t.Errorf("hello\n%+v, want\n%+v", got, want)
	}
}

// steered has the run take what was said to it, and notes what it emits for that.
func (p *played) steered() {
	p.t.Helper()
	p.runs.do("r", func(r *agloop.Run) error {
		<-r.Steering()
		_, _, err := r.TakeSteer()
		return err
	})
	p.emitted["r"] += 3
}

// frame is the next frame of the server.
func (p *played) frame() []byte {
	p.t.Helper()
	_, got, err := p.v.Message()
	if err != nil {
		p.t.Fatalf("%v, and %d lines are left", err, len(p.lines))
	}
	return got
}

// control holds the next frame against a line.
func (p *played) control(name string, body json.RawMessage) {
	p.t.Helper()
	if name == control.NameRun {
		p.readies(body)
	}
	got := p.frame()
	gotName, gotBody, err := control.Parse(got)
	if err != nil || gotName != name {
		p.t.Fatalf("the server says %s, want %s %s", got, name, body)
	}
	var want, is map[string]any
	if json.Unmarshal(body, &want) != nil || json.Unmarshal(gotBody, &is) != nil {
		p.t.Fatalf("%s", got)
	}
	if name == control.NameRun {
		p.selected(body, gotBody)
	}
	for _, m := range []map[string]any{want, is} {
		maps.DeleteFunc(m, func(member string, _ any) bool { return member == "epoch" || member == "retryAfter" })
		if m["field"] != nil { // it is meant for people
			m["field"] = true
		}
	}
	if !reflect.DeepEqual(want, is) {
		p.t.Errorf("the server says %s, want %s", got, body)
	}
}

// readies has a run emit the event that a selector comes with.
func (p *played) readies(body json.RawMessage) {
	p.t.Helper()
	var s control.Run
	p.v.into(seen{body: body}, &s)
	if id := p.runOf[s.Run]; s.Through == nil && s.Epoch == "" && s.Offset > p.emitted[id] {
		p.emitted[id] = s.Offset
		p.emit(id, p.lines[0].Frame)
	}
}

// selected notes what the next event lines are.
func (p *played) selected(body, real json.RawMessage) {
	p.t.Helper()
	var want, is control.Run
	p.v.into(seen{body: body}, &want)
	p.v.into(seen{body: real}, &is)
	if (want.Epoch == "") != (is.Epoch == "") {
		p.t.Errorf("the server says %s, want %s", real, body)
	}
	if want.Epoch != "" {
		p.names[want.Epoch], p.runOf[want.Run] = is.Epoch, want.RunID
	}
	p.at, p.offset, p.through = want.Run, want.Offset, want.Offset
	if want.Through != nil {
		p.through = *want.Through
	}
}

// event has the run emit an event unless it has, and holds the next frame against it.
func (p *played) event(want json.RawMessage) {
	p.t.Helper()
	id := p.runOf[p.at]
	if p.through == p.offset && p.offset > max(p.emitted[id], 1) {
		p.emit(id, want)
	}
	if p.through >= p.offset {
		p.emitted[id] = max(p.emitted[id], p.through)
	}
	p.offset = p.through + 1
	p.through = p.offset
	if got := p.frame(); !sameJSON(string(got), string(want)) {
		p.t.Errorf("the server says\n%s, want\n%s", got, want)
	}
}

// emit has a run emit what a line says.
func (p *played) emit(id string, line json.RawMessage) {
	p.t.Helper()
	ev, _, err := new(event.Decoder).DecodeEvent(line)
	if err != nil {
		p.t.Fatal(err)
	}
	if fin, ok := ev.(*agui.RunFinished); ok {
		if fin.Outcome == nil { // else it is cancelled
			p.runs.end(id)
		}
		return
	}
	if _, ok := ev.(*agui.TextMessageEnd); ok && p.isCancelled() {
		return
	}
	p.runs.emit(id, ev)
}

// isCancelled reports whether the next line ends the run as cancelled: what it has open is closed
// for it then.
func (p *played) isCancelled() bool {
	return len(p.lines) > 0 && strings.Contains(string(p.lines[0].Frame), `"cancelled"`)
}

// settles waits until an attachment at a cursor begins with a fold that stands for so much.
func (p *played) settles(id string, offset, through uint64) {
	p.t.Helper()
	testkit.Await(p.t, "it is folded", func() bool {
		v := newViewer(p.t, p.addr, p.key)
		defer v.Reset()
		v.attachAt("1", "t", id, run.Cursor{})
		for {
			f := v.next()
			if f.through >= through {
				return f.first <= offset && f.through == through
			}
		}
	})
}

// small is a config by which the newest event alone stays as it is.
var small = agloop.RunsConfig{WindowEvents: 2}

// TestServerTranscripts plays each file of testdata/protocol. What it takes for a run to go on in
// another process, this one has not.
func TestServerTranscripts(t *testing.T) {
	files, err := os.ReadDir("testdata/protocol")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name, _ := strings.CutSuffix(f.Name(), ".ndjson")
		act := serverTranscripts[name]
		if act == nil {
			if name != "going-durable" {
				t.Errorf("%s is not played", name)
			}
			continue
		}
		t.Run(name, func(t *testing.T) { act(t, name) })
	}
}
