package agloop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// viewer is a client of agloop.v1 that sees every frame, and counts as rule R40 says.
type viewer struct {
	*testkit.Peer
	t     *testing.T
	hello control.Hello

	at          uint64                 // attachment that the next event belongs to
	attachments map[uint64]*attachment // all there were
	first       map[string]uint64      // offset at which what was asked for by a ref begins
}

// attachment is what a viewer knows of one.
type attachment struct {
	control.Run        // of its first selector
	next        uint64 // offset of the next event
	through     uint64 // what the next frame stands for, where alone
	alone       bool
	received    uint64 // offset of the last event
}

// seen is one frame that a viewer got.
type seen struct {
	name string // of a control, or the type of an event
	body json.RawMessage
	of   *attachment // of an event
	// first and through are the offsets of an event.
	first, through uint64
}

// newViewer connects and speaks agloop.v1, as the principal of that key, "" as nobody.
func newViewer(t *testing.T, addr, key string) *viewer {
	t.Helper()
	fields := []string{"Sec-WebSocket-Protocol: " + wireProtocol()}
	if key != "" {
		fields = append(fields, "Authorization: "+key)
	}
	v := viewerOf(t, testkit.Dial(t, addr, fields...))
	f := v.next()
	if f.name != control.NameHello {
		t.Fatalf("the first frame is %s", f.name)
	}
	v.into(f, &v.hello)
	return v
}

// viewerOf is a viewer on a connection that speaks agloop.v1.
func viewerOf(t *testing.T, p *testkit.Peer) *viewer {
	return &viewer{Peer: p, t: t, attachments: make(map[uint64]*attachment), first: make(map[string]uint64)}
}

func (v *viewer) into(f seen, body any) {
	v.t.Helper()
	if err := json.Unmarshal(f.body, body); err != nil {
		v.t.Fatalf("%s %s: %v", f.name, f.body, err)
	}
}

// Put sends frames.
func (v *viewer) Put(frames ...[]byte) {
	v.t.Helper()
	v.Peer.Put(wireFrames(frames)...)
}

// ask sends a control.
func (v *viewer) ask(name string, body any) {
	v.t.Helper()
	b, err := control.Append(nil, name, body)
	if err != nil {
		v.t.Fatal(err)
	}
	v.Put(testkit.Text(string(b)))
}

// start sends an input under a ref.
func (v *viewer) start(ref, input string) {
	v.t.Helper()
	v.first[ref] = 1
	v.Put(testkit.Text(`["start",{"ref":"` + ref + `","input":` + input + `}]`))
}

// read returns the next frame, or how the connection ended.
func (v *viewer) read() (f seen, err error) {
	v.t.Helper()
	op, p, err := v.Message()
	for ; err == nil && op == frame.Ping; op, p, err = v.Message() {
		v.Put(testkit.Message(frame.Pong, p))
	}
	if err != nil {
		return f, err
	}
	if op != wireOpcode() {
		v.t.Fatalf("a frame of opcode %v: %s", op, p)
	}
	p = wireText(v.t, p)
	if control.IsControl(p) {
		name, body, err := control.Parse(p)
		if err != nil {
			v.t.Fatalf("%s: %v", p, err)
		}
		if name == control.NameRun {
			v.choose(body)
		}
		return seen{name: name, body: body}, nil
	}
	var ev struct{ Type string }
	if err := json.Unmarshal(p, &ev); err != nil {
		v.t.Fatalf("%s: %v", p, err)
	}
	a := v.attachments[v.at]
	if a == nil {
		v.t.Fatalf("%s without a selector", p)
	}
	f = seen{name: ev.Type, body: p, of: a, first: a.next, through: a.next}
	if a.alone {
		f.through, v.at, a.alone = a.through, 0, false
	}
	a.next = f.through + 1
	a.received = max(a.received, f.through)
	return f, nil
}

// select_ acts on a selector.
func (v *viewer) choose(body json.RawMessage) {
	v.t.Helper()
	var r control.Run
	v.into(seen{name: control.NameRun, body: body}, &r)
	a := v.attachments[r.Run]
	switch {
	case a == nil:
		if r.Epoch == "" || len(r.Epoch) != 16 {
			v.t.Fatalf("the first selector is %s", body)
		}
		if first, ok := v.first[r.Ref]; ok && r.Offset != first {
			v.t.Fatalf("%s begins at %d, want %d", r.Ref, r.Offset, first)
		}
		a = &attachment{Run: r}
		v.attachments[r.Run] = a
	case r.Offset != a.next:
		v.t.Fatalf("after offset %d comes %s", a.next-1, body)
	}
	a.next = r.Offset
	if a.alone = r.Through != nil; a.alone {
		a.through = *r.Through
	}
	v.at = r.Run
}

// next returns the next frame that is no selector.
func (v *viewer) next() seen {
	v.t.Helper()
	for {
		f, err := v.read()
		if err != nil {
			v.t.Fatal(err)
		}
		if f.name != control.NameRun {
			return f
		}
	}
}

// await reads up to a frame of that name.
func (v *viewer) await(name string) seen {
	v.t.Helper()
	for {
		if f := v.next(); f.name == name {
			return f
		}
	}
}

// events reads the next n events, as they are on the wire.
func (v *viewer) events(n int) (frames [][]byte) {
	v.t.Helper()
	for len(frames) < n {
		f := v.next()
		if f.of == nil {
			v.t.Fatalf("got %s %s", f.name, f.body)
		}
		frames = append(frames, bytes.Clone(f.body))
	}
	return frames
}

// want reads the next frame, which must be a control with those members.
func (v *viewer) want(name string, body any) {
	v.t.Helper()
	f := v.next()
	want, _ := json.Marshal(body)
	if f.name != name || string(f.body) != string(want) {
		v.t.Errorf("got %s %s, want %s %s", f.name, f.body, name, want)
	}
}

// ends reads up to a terminal event and returns the text of all messages, and the offset behind.
func (v *viewer) ends() (text string, last seen) {
	v.t.Helper()
	var b strings.Builder
	for {
		f := v.next()
		var ev struct{ Delta string }
		v.into(f, &ev)
		b.WriteString(ev.Delta)
		if f.name == "RUN_FINISHED" || f.name == "RUN_ERROR" {
			return b.String(), f
		}
	}
}

// cursor is where an attachment stands.
func (a *attachment) cursor() run.Cursor {
	epoch, _ := run.ParseEpoch(a.Epoch)
	return run.Cursor{Epoch: epoch, Offset: a.received}
}

// attachAt asks for what is behind a cursor.
func (v *viewer) attachAt(ref, thread, id string, at run.Cursor) {
	v.t.Helper()
	v.first[ref] = at.Offset + 1
	c := control.Attach{Ref: ref, ThreadID: thread, RunID: id, Offset: at.Offset}
	if at.Epoch != 0 {
		c.Epoch = run.FormatEpoch(at.Epoch)
	}
	v.ask(control.NameAttach, &c)
}

// namedInput is an input of a run.
func namedInput(thread, id string) string {
	return fmt.Sprintf(`{"threadId":%q,"runId":%q,"messages":[]}`, thread, id)
}

// writer is an agent that says what it is told to by a channel of the run, and ends when that is
// closed.
type writer struct{ runs map[string]chan string }

func newWriter(ids ...string) *writer {
	w := &writer{make(map[string]chan string)}
	for _, id := range ids {
		w.runs[id] = make(chan string, 4096)
	}
	return w
}

func (w *writer) say(id string, texts ...string) {
	for _, s := range texts {
		w.runs[id] <- s
	}
}

func (w *writer) end(id string) { close(w.runs[id]) }

func (w *writer) agent() agloop.Agent {
	return agloop.AgentFunc(func(ctx context.Context, r *agloop.Run) error {
		m, err := r.TextMessage()
		if err != nil {
			return err
		}
		for {
			select {
			case text, more := <-w.runs[r.Input.RunID]:
				if !more {
					return m.Close()
				}
				if err := m.Write(text); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}
