package agloop_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// newNarrowViewer is newViewer whose kernel takes little.
func newNarrowViewer(t *testing.T, addr, key string) *viewer {
	t.Helper()
	p := testkit.Connect(t, addr, 4<<10)
	p.Upgrade("Sec-WebSocket-Protocol: "+wireProtocol(), "Authorization: "+key)
	v := viewerOf(t, p)
	v.into(v.next(), &v.hello)
	return v
}

// TestR2SlowReaderIsNotCut: whatever a viewer does not read stays in the logs, and comes when it reads; of
// several runs on one connection, large events among theirs, no event comes without its selector.
func TestR2SlowReaderIsNotCut(t *testing.T) {
	const pieces = 1500
	piece := func(id string, i int) string { return fmt.Sprintf("%s%d%s", id, i, strings.Repeat(".", 700)) }
	large := strings.Repeat("L", 80<<10)
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(_ context.Context, r *agloop.Run) error {
		m, err := r.TextMessage()
		for i := 0; i < pieces && err == nil; i++ {
			if err = m.Write(piece(r.Input.RunID, i)); err == nil && i == pieces/2 {
				err = m.Write(large)
			}
		}
		return errors.Join(err, m.Close())
	})})
	ids := []string{"a", "b", "c"}
	slow := newNarrowViewer(t, addr, "ann")
	fast := newViewer(t, addr, "ann")
	for _, id := range ids {
		slow.start(id, namedInput("t"+id, id))
	}
	testkit.Await(t, "the runs have begun", func() bool { return srv.Stats().Logged.Started == uint64(len(ids)) })
	for _, id := range ids { // some may have ended
		fast.attachAt(id, "t"+id, id, run.Cursor{})
	}
	read := func(v *viewer) {
		texts := map[string]*strings.Builder{"a": {}, "b": {}, "c": {}}
		for ended := 0; ended < len(ids); {
			f, err := v.read()
			if err != nil {
				t.Fatal(err)
			}
			var ev struct{ Delta string }
			switch {
			case f.of == nil:
				continue
			case f.name == "RUN_FINISHED":
				ended++
			}
			v.into(f, &ev)
			texts[f.of.RunID].WriteString(ev.Delta)
		}
		for _, id := range ids {
			var want strings.Builder
			for i := range pieces {
				want.WriteString(piece(id, i))
				if i == pieces/2 {
					want.WriteString(large)
				}
			}
			if texts[id].String() != want.String() {
				t.Errorf("%s: %d bytes of text, want %d", id, texts[id].Len(), want.Len())
			}
		}
	}
	read(fast)
	read(slow)
	slow.attachAt("x", "t", "nobody", run.Cursor{})
	slow.want(control.NameGone, &control.Gone{Ref: "x"})
}

// TestR9ThePreludeOnTheWire: who attaches or follows from 0 has the input's messages and its state, the
// state standing for no offset; who starts has neither, a second time neither.
func TestR9ThePreludeOnTheWire(t *testing.T) {
	_, addr := serveEach(t, agloop.ServerConfig{Agent: quick})
	input := `{"threadId":"t","runId":"r","messages":[{"id":"u","role":"user","content":"Hello"}],"state":{"n":1}}`
	starter := newViewer(t, addr, "ann")
	for _, ref := range []string{"1", "2"} {
		starter.start(ref, input)
		if f := starter.next(); f.name != "RUN_STARTED" || strings.Contains(string(f.body), "Hello") || f.first != 1 {
			t.Errorf("a start begins with %d %s", f.first, f.body)
		}
		if f := starter.next(); f.name != "RUN_FINISHED" || f.first != 2 {
			t.Errorf("a start goes on with %d %s", f.first, f.body)
		}
	}
	epoch := starter.attachments[1].cursor().Epoch
	v := newViewer(t, addr, "ann")
	v.attachAt("a", "t", "r", run.Cursor{})
	v.attachAt("b", "t", "r", run.Cursor{Epoch: epoch})
	other := newViewer(t, addr, "ann")
	other.ask(control.NameFollow, &control.Follow{Ref: "c", ThreadID: "t"})
	other.ask(control.NameFollow, &control.Follow{Ref: "d", ThreadID: "t", After: &control.After{
		RunID: "r", Epoch: run.FormatEpoch(epoch),
	}})
	for _, from := range []struct {
		v   *viewer
		ref string
	}{{v, "a"}, {v, "b"}, {other, "c"}, {other, "d"}} {
		f := from.v.next()
		for f.name == control.NameIdle {
			f = from.v.next()
		}
		if f.name != "RUN_STARTED" || !strings.Contains(string(f.body), "Hello") || f.first != 1 || f.through != 1 || f.of.Ref != from.ref {
			t.Errorf("%s begins with %d to %d %s", from.ref, f.first, f.through, f.body)
		}
		f = from.v.next()
		if f.name != "STATE_SNAPSHOT" || f.first != 2 || f.through != 1 {
			t.Errorf("%s goes on with %d to %d %s", from.ref, f.first, f.through, f.body)
		}
		if f = from.v.next(); f.name != "RUN_FINISHED" || f.first != 2 {
			t.Errorf("%s ends with %d %s", from.ref, f.first, f.body)
		}
	}
	v.attachAt("e", "t", "r", run.Cursor{Epoch: epoch, Offset: 1})
	if f := v.next(); f.name != "RUN_FINISHED" || f.first != 2 {
		t.Errorf("behind 1 comes %d %s", f.first, f.body)
	}
}

// TestR10ReasonsOfGone: each is told to who may read the run.
func TestR10ReasonsOfGone(t *testing.T) {
	_, addr := serveEach(t, agloop.ServerConfig{
		Runs: agloop.RunsConfig{WindowEvents: 8, WindowBytes: 4 << 10, FoldedBytes: 8 << 10},
		Agent: agloop.AgentFunc(func(_ context.Context, r *agloop.Run) error {
			for i := range 400 {
				if err := r.Emit(&agui.Custom{Name: "n", Value: json.RawMessage(fmt.Sprintf("%q", strings.Repeat("v", i%90)))}); err != nil {
					return err
				}
			}
			return nil
		}),
	})
	v := newViewer(t, addr, "ann")
	v.start("1", namedInput("t", "r"))
	_, last := v.ends()
	at := last.of.cursor()
	other := at
	other.Epoch++
	for _, tt := range []struct {
		id     string
		at     run.Cursor
		reason string
	}{
		{"r", other, "epoch"},
		{"r", run.Cursor{Epoch: at.Epoch, Offset: at.Offset + 1}, "future"},
		{"r", run.Cursor{Epoch: at.Epoch, Offset: run.MaxOffset}, "future"},
		{"r", at, "ended"},
		{"r", run.Cursor{Epoch: at.Epoch, Offset: 1}, "trimmed"},
		{"r", run.Cursor{}, "trimmed"},
		{"nobody", run.Cursor{}, ""},
		{"nobody", at, ""},
	} {
		v.attachAt("x", "t", tt.id, tt.at)
		v.want(control.NameGone, &control.Gone{Ref: "x", Reason: tt.reason})
	}
}

// TestR12SecondAttachment: it ends the first, and the 65th of a connection is rejected while the
// other 64 go on.
func TestR12SecondAttachment(t *testing.T) {
	w := newWriter()
	for i := range 65 {
		w.runs[fmt.Sprint(i)] = make(chan string, 10)
	}
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: w.agent()})
	v := newViewer(t, addr, "ann")
	for i := range 64 {
		id := fmt.Sprint(i)
		v.start(id, namedInput("t"+id, id))
		v.await("TEXT_MESSAGE_START")
	}
	v.start("64", namedInput("t64", "64"))
	v.want(control.NameRejected, &control.Rejected{Ref: "64", Code: control.CodeAttachments})
	v.attachAt("64", "t64", "64", run.Cursor{})
	v.want(control.NameRejected, &control.Rejected{Ref: "64", Code: control.CodeAttachments})
	at := v.attachments[1].cursor()
	v.attachAt("again", "t0", "0", at) // one that it has may come again
	v.attachAt("x", "t", "nobody", run.Cursor{})
	v.want(control.NameRejected, &control.Rejected{Ref: "x", Code: control.CodeAttachments})
	w.say("0", "text")
	if f := v.await("TEXT_MESSAGE_CONTENT"); f.of.Ref != "again" || f.first != 3 {
		t.Errorf("%d by %s", f.first, f.of.Ref)
	}
	v.ask(control.NameLeave, &control.Leave{Run: 2})
	v.ask(control.NameLeave, &control.Leave{Run: 2})
	v.ask(control.NameLeave, &control.Leave{Run: 999})
	v.ask(control.NameLeave, &control.Leave{})
	v.start("65", namedInput("t64", "64"))
	if f := v.await("TEXT_MESSAGE_START"); f.of.Ref != "65" {
		t.Errorf("%s", f.of.Ref)
	}
	testkit.Await(t, "64 are attached, and one run is left", func() bool {
		live := srv.Stats().Logged
		return live.Live == 65 && live.Viewers == 64 && live.Detached == 1
	})
	v.Close()
	testkit.Await(t, "nobody is attached", func() bool { return srv.Stats().Logged.Viewers == 0 })
}

// TestR12WhoseRunsGoOn: the run of a bare connection with a principal is cancelled when it goes, unless the config says that
// runs go on; leave back keeps what leave does not.
func TestR12WhoseRunsGoOn(t *testing.T) {
	for _, set := range []agloop.Disconnect{agloop.DisconnectDefault, agloop.DisconnectContinue, agloop.DisconnectCancel} {
		w := newWriter("bare", "r")
		srv, addr := serveEach(t, agloop.ServerConfig{Agent: w.agent(), Runs: agloop.RunsConfig{OnDisconnect: set}})
		live := func(id string) bool { return srv.Run(agloop.RunKey{Scope: "ann", Thread: id, Run: id}) != nil }
		bare := newWireOf(t, srv, addr, "ann")
		bare.send(namedInput("bare", "bare"))
		bare.await("TEXT_MESSAGE_START")
		v := newViewer(t, addr, "ann")
		v.start("1", namedInput("r", "r"))
		v.await("TEXT_MESSAGE_START")
		v.ask(control.NameLeave, &control.Leave{Run: 1, Back: true})
		bare.Close()
		testkit.Await(t, "the bare connection's viewer is gone", func() bool {
			return srv.Stats().Logged.Viewers == 1
		})
		testkit.Await(t, "its run is cancelled or not", func() bool { return live("bare") == (set == agloop.DisconnectContinue) })
		if !live("r") {
			t.Errorf("%v: the run of who comes back is over", set)
		}
		v.attachAt("2", "r", "r", v.attachments[1].cursor())
		v.attachAt("x", "t", "nobody", run.Cursor{})
		v.want(control.NameGone, &control.Gone{Ref: "x"})
		w.say("r", "text")
		if f := v.await("TEXT_MESSAGE_CONTENT"); f.of.Ref != "2" {
			t.Errorf("%v: by %s", set, f.of.Ref)
		}
		v.ask(control.NameLeave, &control.Leave{Run: 2})
		testkit.Await(t, "nobody is attached", func() bool { return srv.Stats().Logged.Viewers == 0 })
		testkit.Await(t, "the run is cancelled or not", func() bool { return live("r") == (set != agloop.DisconnectCancel) })
	}
}

// TestR15To19OnTheWire: who starts a name again, of a log, of none, and on a thread that is busy.
func TestR15To19OnTheWire(t *testing.T) {
	w := newWriter("r", "s", "q")
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: w.agent(), Runs: agloop.RunsConfig{
		OnBusyThread: agloop.BusyReject, Retention: 1,
	}})
	v := newViewer(t, addr, "ann")
	v.start("1", namedInput("t", "r"))
	v.await("TEXT_MESSAGE_START")
	v.start("2", namedInput("t", "r")+" ")
	if f := v.next(); f.name != "RUN_STARTED" || f.of.Ref != "2" { // R15: these are the bytes of the value
		t.Errorf("got %s %s", f.name, f.body)
	}
	v.await("TEXT_MESSAGE_START")
	v.start("3", `{"threadId":"t","runId":"r","messages": []}`)
	v.want(control.NameConflict, &control.Conflict{Ref: "3"})
	v.start("4", namedInput("t", "s"))
	v.want(control.NameRejected, &control.Rejected{Ref: "4", Code: "thread_busy"}) // R19
	w.end("r")
	v.ends()
	testkit.Await(t, "the log is gone", func() bool { return srv.Stats().Logged.Tombstones == 1 })
	v.start("5", namedInput("t", "r"))
	v.want(control.NameGone, &control.Gone{Ref: "5", Reason: control.ReasonEnded}) // R16
	if n := srv.Stats().Logged.Started; n != 1 {
		t.Errorf("the agent was called %d times", n)
	}
	// R17
	_, elsewhere := serveEach(t, agloop.ServerConfig{Agent: quick})
	boots := []string{v.hello.Boot, newViewer(t, addr, "bob").hello.Boot, newViewer(t, elsewhere, "ann").hello.Boot}
	if boots[0] != boots[1] || boots[0] == boots[2] || boots[0] == "" {
		t.Errorf("boots %q", boots)
	}
}

// TestR21OnTheWire: elsewhere (agentscope-java #2922) a replay asked again for an approval that had been
// given. Here an interrupt that a later run answers is not asked for again, neither of who attaches nor of
// who follows.
func TestR21OnTheWire(t *testing.T) {
	_, addr := serveEach(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(_ context.Context, r *agloop.Run) error {
		if len(r.Input.Resume) > 0 {
			return nil
		}
		return r.Emit(&agui.RunFinished{ThreadID: "t", RunID: r.Input.RunID, Outcome: &agui.Outcome{
			Type: agui.OutcomeInterrupt, Interrupts: []agui.Interrupt{{ID: "i1", Reason: "x"}, {ID: "i2", Reason: "x"}},
		}})
	})})
	v := newViewer(t, addr, "ann")
	ask := func(id, answers string, want ...string) {
		t.Helper()
		if id != "" {
			v.start(id, `{"threadId":"t","runId":"`+id+`","messages":[],"resume":[`+answers+`]}`)
			v.ends()
		}
		v.attachAt("a"+id, "t", "asks", run.Cursor{})
		follower := newViewer(t, addr, "ann")
		follower.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "t"})
		for _, v := range []*viewer{v, follower} {
			_, last := v.ends()
			for _, i := range []string{"i1", "i2"} {
				if has := strings.Contains(string(last.body), `"`+i+`"`); has != strings.Contains(strings.Join(want, " "), i) {
					t.Errorf("after %q: %s", id, last.body)
				}
			}
			if has := strings.Contains(string(last.body), "outcome"); has != (len(want) > 0) || last.of.RunID != "asks" {
				t.Errorf("after %q: %s", id, last.body)
			}
		}
	}
	v.start("asks", namedInput("t", "asks"))
	v.ends()
	ask("", "", "i1", "i2")
	ask("first", `{"interruptId":"i1","status":"resolved"}`, "i2")
	ask("second", `{"interruptId":"i2","status":"cancelled"}`)
}

// TestR22OnTheWire: a text is taken, or not where the run does not listen or ends first; the same id
// has the same answer, and every viewer sees what was taken.
func TestR22OnTheWire(t *testing.T) {
	listening, take, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(_ context.Context, r *agloop.Run) error {
		<-listening
		ready := r.Steering()
		if err := r.Emit(&agui.Custom{Name: "listens", Value: json.RawMessage("1")}); err != nil {
			return err
		}
		<-take
		<-ready
		if _, _, err := r.TakeSteer(); err != nil {
			return err
		}
		<-over
		return nil
	})})
	v := newViewer(t, addr, "ann")
	steer := func(ref, id, text string) {
		v.ask(control.NameSteer, &control.Steer{Ref: ref, ThreadID: "t", RunID: "r", ID: id, Text: text})
	}
	v.start("1", namedInput("t", "r"))
	v.await("RUN_STARTED")
	steer("early", "e", "too early")
	v.want(control.NameSteered, &control.Steered{Ref: "early", ID: "e"})
	close(listening)
	v.await("CUSTOM")
	steer("2", "s", "in French")
	steer("3", "s", "in French")
	close(take)
	var said []string
	answers := 0
	for len(said) < 3 || answers < 2 {
		f := v.next()
		if f.name == control.NameSteered {
			answers++
			var s control.Steered
			if v.into(f, &s); s.ID != "s" || !s.OK {
				t.Errorf("%+v", s)
			}
			continue
		}
		said = append(said, f.name)
		if !strings.Contains(string(f.body), `"s"`) {
			t.Errorf("%s", f.body)
		}
	}
	if got := strings.Join(said, " "); got != text3 {
		t.Errorf("said %s", got)
	}
	steer("4", "s", "in French")
	v.want(control.NameSteered, &control.Steered{Ref: "4", ID: "s", OK: true})
	steer("5", "late", "never taken")
	steer("6", "late", "never taken")
	v.attachAt("x", "t", "nobody", run.Cursor{}) // what is answered here, those wait for the run
	v.want(control.NameGone, &control.Gone{Ref: "x"})
	close(over)
	refs := map[string]bool{}
	for len(refs) < 2 {
		if f := v.next(); f.name == control.NameSteered {
			var s control.Steered
			if v.into(f, &s); s.OK || s.ID != "late" {
				t.Errorf("%+v", s)
			}
			refs[s.Ref] = true
		}
	}
	steer("7", "", "no id")
	v.await(control.NameRejected)
	testkit.Await(t, "the run is over", func() bool { return srv.Stats().Runs == 0 })
	steer("over", "o", "too late")
	v.want(control.NameSteered, &control.Steered{Ref: "over", ID: "o"})
	v.ask(control.NameSteer, &control.Steer{Ref: "none", ThreadID: "t", RunID: "nobody", ID: "o", Text: "x"})
	v.want(control.NameGone, &control.Gone{Ref: "none"})
	steer("8", "x\ny", "an id with a line")
	v.want(control.NameRejected, &control.Rejected{Ref: "8", Code: control.CodeMalformed, Field: "id"})
	steer("9", "x", strings.Repeat("x", run.MaxSteer+1))
	v.want(control.NameRejected, &control.Rejected{Ref: "9", Code: control.CodeMalformed, Field: "text"})
}
