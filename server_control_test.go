package agloop_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// TestRunOutlivesItsConnection: what was missed comes behind the cursor, and nothing twice.
func TestRunOutlivesItsConnection(t *testing.T) {
	w := newWriter("r")
	_, addr := serve(t, agloop.ServerConfig{Agent: w.agent()})
	first := newViewer(t, addr, "")
	first.start("1", namedInput("t", "r"))
	w.say("r", "one ", "two ")
	first.await("TEXT_MESSAGE_CONTENT")
	f := first.await("TEXT_MESSAGE_CONTENT")
	at := f.of.cursor()
	if at.Offset != 4 || f.of.Ref != "1" || f.of.RunID != "r" || f.of.ThreadID != "t" {
		t.Errorf("at %v, first selector %+v", at, f.of.Run)
	}
	secret := first.hello.Secret
	first.Reset()
	w.say("r", "three ")
	second := newViewer(t, addr, "")
	second.ask(control.NameBind, &control.Bind{Ref: "b", Secret: secret})
	second.attachAt("2", "t", "r", at)
	w.say("r", "four")
	w.end("r")
	text, last := second.ends()
	if text != "three four" || last.through != 8 || last.name != "RUN_FINISHED" {
		t.Errorf("got %q up to %d %s", text, last.through, last.name)
	}
	second.attachAt("3", "t", "r", run.Cursor{})
	if text, last := second.ends(); text != "one two three four" || last.through != 8 || last.of.Last != 8 {
		t.Errorf("from the start: %q up to %d", text, last.through)
	}
}

// TestSeveralRunsOnOneConnection: each has a selector of its own, and its events in order.
func TestSeveralRunsOnOneConnection(t *testing.T) {
	w := newWriter("a", "b", "c")
	srv, addr := serve(t, agloop.ServerConfig{Agent: w.agent()})
	v := newViewer(t, addr, "")
	for _, id := range []string{"a", "b", "c"} {
		v.start(id, namedInput("t"+id, id))
	}
	for range 50 {
		for _, id := range []string{"a", "b", "c"} {
			w.say(id, id)
		}
	}
	for _, id := range []string{"a", "b", "c"} {
		w.end(id)
	}
	texts := map[string]*strings.Builder{"a": {}, "b": {}, "c": {}}
	for ended := 0; ended < 3; {
		f := v.next()
		var ev struct{ Delta string }
		v.into(f, &ev)
		texts[f.of.Ref].WriteString(ev.Delta)
		if f.name == "RUN_FINISHED" {
			ended++
		}
	}
	for id, b := range texts {
		if b.String() != strings.Repeat(id, 50) {
			t.Errorf("%s got %q", id, b)
		}
	}
	testkit.Await(t, "nothing is held", func() bool { return srv.Stats().Runs == 0 })
}

// TestR18CancelOnTheWire: it needs no answer, may come twice, before the run and after it.
func TestR18CancelOnTheWire(t *testing.T) {
	w := newWriter("r", "early")
	_, addr := serve(t, agloop.ServerConfig{Agent: w.agent()})
	v := newViewer(t, addr, "")
	v.start("1", namedInput("t", "r"))
	v.await("TEXT_MESSAGE_START")
	for range 2 {
		v.ask(control.NameCancel, &control.Cancel{ThreadID: "t", RunID: "r"})
	}
	if f := v.await("TEXT_MESSAGE_END"); f.through != 3 {
		t.Errorf("the message ends at %d", f.through)
	}
	if f := v.next(); f.name != "RUN_FINISHED" || !strings.Contains(string(f.body), `"cancelled"`) {
		t.Errorf("got %s", f.body)
	}
	v.ask(control.NameCancel, &control.Cancel{ThreadID: "t", RunID: "r"})
	v.ask(control.NameCancel, &control.Cancel{ThreadID: "t", RunID: "early"})
	v.start("2", namedInput("t", "early"))
	if f := v.next(); f.name != "RUN_STARTED" || f.first != 1 {
		t.Errorf("got %s %s", f.name, f.body)
	}
	if f := v.next(); f.name != "RUN_FINISHED" || !strings.Contains(string(f.body), `"cancelled"`) {
		t.Errorf("got %s", f.body)
	}
}

// TestR20FollowOnTheWire: the runs of a thread come one after another, those to come included.
func TestR20FollowOnTheWire(t *testing.T) {
	w := newWriter("a", "b", "c", "own")
	srv, addr := serve(t, agloop.ServerConfig{Agent: w.agent()})
	starter := newViewer(t, addr, "")
	starter.start("1", namedInput("t", "a"))
	starter.await("TEXT_MESSAGE_START")
	v := newViewer(t, addr, "")
	v.ask(control.NameBind, &control.Bind{Ref: "b", Secret: starter.hello.Secret})
	v.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "t"})
	w.say("a", "A")
	w.end("a")
	if text, last := v.ends(); text != "A" || last.of.Ref != "f" || last.of.RunID != "a" {
		t.Errorf("got %q of %+v", text, last.of.Run)
	}
	v.want(control.NameIdle, &control.Idle{Ref: "f"})
	starter.ends()
	starter.start("2", namedInput("t", "b"))
	w.say("b", "B")
	w.end("b")
	if text, last := v.ends(); text != "B" || last.of.RunID != "b" {
		t.Errorf("got %q of %+v", text, last.of.Run)
	}
	v.want(control.NameIdle, &control.Idle{Ref: "f"})
	// Its own runs are left out.
	v.start("o", namedInput("t", "own"))
	w.end("own")
	if _, last := v.ends(); last.of.Ref != "o" {
		t.Errorf("its own run came as %+v", last.of.Run)
	}
	v.ask(control.NameLeave, &control.Leave{Ref: "f"})
	v.ask(control.NameSteer, &control.Steer{Ref: "s", ThreadID: "t", RunID: "own", ID: "x", Text: "hi"})
	v.want(control.NameSteered, &control.Steered{Ref: "s", ID: "x"})
	testkit.Await(t, "no run is live", func() bool { return srv.Stats().Runs == 0 })
}

// TestR18CancelAndGo: a cancel holds though its client goes right behind it, also while the server is
// busy with what came before.
func TestR18CancelAndGo(t *testing.T) {
	w := newWriter("r")
	gate := make(chan struct{})
	srv, addr := serve(t, agloop.ServerConfig{Agent: w.agent(), Runs: agloop.RunsConfig{
		AuthorizeRun: func(_ context.Context, _ agloop.Principal, action agloop.Action, key agloop.RunKey) (agloop.RunKey, error) {
			if action == agloop.ActionFollow {
				<-gate
			}
			return key, nil
		},
	}})
	v := newViewer(t, addr, "")
	v.start("1", namedInput("t", "r"))
	v.await("TEXT_MESSAGE_START")
	v.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "t"})
	v.ask(control.NameSteer, &control.Steer{Ref: "s", ThreadID: "t", RunID: "r", ID: "x", Text: "hi"})
	v.ask(control.NameCancel, &control.Cancel{ThreadID: "t", RunID: "r"})
	v.Reset()
	testkit.Await(t, "the connection is gone", func() bool { return srv.Stats().Connections == 0 })
	close(gate)
	testkit.Await(t, "the run is cancelled", func() bool { return srv.Stats().Logged.Ended.Cancelled == 1 })
	testkit.Await(t, "nothing is held", func() bool { return srv.Held() == 0 })
}

// TestR31QuietRun: an attachment is answered at once, also where the run says nothing for long.
func TestR31QuietRun(t *testing.T) {
	w := newWriter("r")
	_, addr := serve(t, agloop.ServerConfig{Agent: w.agent()})
	v := newViewer(t, addr, "")
	v.start("1", namedInput("t", "r"))
	at := v.await("TEXT_MESSAGE_START").of.cursor()
	v.attachAt("2", "t", "r", at)
	f, err := v.read()
	if err != nil || f.name != control.NameRun || v.attachments[2] == nil || v.attachments[2].Offset != at.Offset+1 || v.attachments[2].Last != at.Offset {
		t.Fatalf("got %s %s, %v", f.name, f.body, err)
	}
	w.say("r", "x")
	w.end("r")
	if text, last := v.ends(); text != "x" || last.of != v.attachments[2] || last.of.Ref != "2" {
		t.Errorf("got %q of %+v", text, last.of)
	}
}

// TestR27LargeControlInHand: what is being carried out does not wait any more, so that a client that
// keeps to its limits may send on.
func TestR27LargeControlInHand(t *testing.T) {
	gate, asked := make(chan struct{}), make(chan struct{}, 1)
	_, addr := serve(t, agloop.ServerConfig{
		Agent: hello, Limits: agloop.Limits{MaxMessage: 64 << 10},
		Runs: agloop.RunsConfig{FilterInput: func(context.Context, agloop.Principal, *agui.RunAgentInput) error {
			asked <- struct{}{}
			<-gate
			return nil
		}},
	})
	v := newViewer(t, addr, "")
	large := `{"threadId":"t","runId":"r","messages":[{"id":"m","role":"user","content":"` + strings.Repeat("x", 60<<10) + `"}]}`
	v.start("1", large)
	testkit.Receive(t, "the start is in hand", asked)
	for range 3 {
		v.attachAt("2", "t", "nobody", run.Cursor{})
	}
	close(gate)
	for gone, ended := 0, false; gone < 3 || !ended; {
		switch f := v.next(); f.name {
		case control.NameGone:
			gone++
		case "RUN_FINISHED":
			ended = true
		}
	}
}

// TestKnownRunNeedsNoPlace: who starts a run again that has been executed gets it, however many go on
// and whatever the filter says now.
func TestKnownRunNeedsNoPlace(t *testing.T) {
	w := newWriter("busy")
	refuse := new(atomic.Bool)
	srv, addr := serve(t, agloop.ServerConfig{
		Agent: agloop.AgentFunc(func(ctx context.Context, r *agloop.Run) error {
			if r.Input.RunID == "busy" {
				return w.agent().Run(ctx, r)
			}
			return nil
		}),
		Quotas: agloop.Quotas{Runs: 1},
		Runs: agloop.RunsConfig{FilterInput: func(context.Context, agloop.Principal, *agui.RunAgentInput) error {
			if refuse.Load() {
				return &agloop.RefusedError{}
			}
			return nil
		}},
	})
	v := newViewer(t, addr, "")
	v.start("1", namedInput("t", "r"))
	v.ends()
	testkit.Await(t, "the place is free", func() bool { return srv.RunsTaken() == 0 })
	v.start("2", namedInput("u", "busy"))
	v.await("TEXT_MESSAGE_START")
	refuse.Store(true)
	v.start("3", namedInput("t", "r"))
	if _, last := v.ends(); last.of == nil || last.of.Ref != "3" {
		t.Errorf("got %+v", last)
	}
	w.end("busy")
}

// TestBareViewerGoesWithItsConnection: also where the server has cancelled its runs before.
func TestBareViewerGoesWithItsConnection(t *testing.T) {
	srv, addr := serveEach(t, agloop.ServerConfig{
		Limits: agloop.Limits{SoftLimit: 4 << 10, WriteTimeout: -1},
		Agent: agloop.AgentFunc(func(ctx context.Context, r *agloop.Run) error {
			big := &agui.Custom{Name: "big", Value: []byte(`"` + strings.Repeat("x", 64<<10) + `"`)}
			for {
				if err := r.Emit(big); err != nil {
					return err
				}
			}
		}),
	})
	slow := testkit.Connect(t, addr, 4<<10)
	slow.Upgrade("Authorization: ann")
	slow.Put(testkit.Text(inputOnce("slow")))
	testkit.Await(t, "the agent is called", func() bool { return srv.Live() == 1 })
	over := make(chan error, 1)
	go func() { over <- srv.Shutdown(t.Context()) }()
	testkit.Await(t, "the run has ended", func() bool { return srv.Stats().Logged.Ended.Cancelled == 1 })
	slow.Reset()
	if err := testkit.Receive(t, "Shutdown returns", over); err != nil {
		t.Error(err)
	}
}

// TestR27SixtyFourControlsWait: one more closes the connection.
func TestR27SixtyFourControlsWait(t *testing.T) {
	asked, gate := make(chan struct{}, 100), make(chan struct{})
	srv, addr := serve(t, agloop.ServerConfig{Agent: quick, Rates: agloop.Rates{Guesses: -1}, Runs: agloop.RunsConfig{
		AuthorizeRun: func(_ context.Context, _ agloop.Principal, _ agloop.Action, k agloop.RunKey) (agloop.RunKey, error) {
			asked <- struct{}{}
			<-gate
			return k, nil
		},
	}})
	for _, most := range []int{64, 65} {
		v := newViewer(t, addr, "")
		v.attachAt("first", "t", "r", run.Cursor{})
		testkit.Receive(t, "it is being handled", asked)
		for range most {
			v.attachAt("x", "t", "r", run.Cursor{})
		}
		if most == 65 {
			v.WantGoodbye(frame.ClosePolicy)
			continue
		}
		for range most {
			gate <- struct{}{}
		}
		gate <- struct{}{}
		for range most + 1 {
			v.await(control.NameGone)
			if most == 64 {
				for len(asked) > 0 {
					<-asked
				}
			}
		}
	}
	close(gate)
	testkit.Await(t, "nothing is held", func() bool { return srv.Held() == 0 })
}

// TestR30BareInput: it is a start without a ref.
func TestR30BareInput(t *testing.T) {
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: quick})
	v := newViewer(t, addr, "ann")
	v.Put(testkit.Text(namedInput("t", "r")))
	if _, last := v.ends(); last.of.Ref != "" || last.of.RunID != "r" {
		t.Errorf("%+v", last.of.Run)
	}
	v.start("1", namedInput("t", "r")) // the same bytes
	if _, last := v.ends(); last.of.Ref != "1" || last.of.Epoch != v.attachments[1].Epoch {
		t.Errorf("%+v", last.of.Run)
	}
	v.Put(testkit.Text(`{"threadId":"t"}`))
	if f := v.next(); f.name != control.NameRejected || !strings.Contains(string(f.body), `"invalid_input"`) {
		t.Errorf("got %s %s", f.name, f.body)
	}
	// R32
	for _, unknown := range []string{`["dance",{"ref":"1"}]`, `["",{}]`, `["hello",{}]`, `["run",{"run":1}]`} {
		v.Put(testkit.Text(unknown))
	}
	v.attachAt("x", "t", "nobody", run.Cursor{})
	v.want(control.NameGone, &control.Gone{Ref: "x"})
	if n := srv.Stats().Logged.Unknown; n != 4 {
		t.Errorf("%d unknown controls", n)
	}
}

// TestR30ProtobufIsChosen: of who offers both, wants it; who offers neither has the bare wire.
func TestR30ProtobufIsChosen(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Agent: quick})
	for offer, want := range map[string]string{
		"agloop.v1.proto": control.ProtocolProto, "agloop.v2.json": "", "agloop.v2.proto": "", "other, agloop.v1.json": control.Protocol,
		"agloop.v1.proto, agloop.v1.json": control.ProtocolProto, "agloop.v1.json, agloop.v1.proto": control.ProtocolProto,
	} {
		p := testkit.Connect(t, addr, 0)
		if got := p.Upgrade("Sec-WebSocket-Protocol: " + offer)["Sec-WebSocket-Protocol"]; got != want {
			t.Errorf("%s: chosen is %q", offer, got)
		}
	}
}
