package agloop_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// oneFull reports whether a connection of the server waits until its peer reads.
func oneFull(srv *agloop.Server) (full bool) {
	srv.Conns(func(c *agloop.Conn) { full = full || c.Full() })
	return full
}

// TestR2SlowSocketHoldsLittle: elsewhere (elizaOS #31953) 56 MB were queued for one socket that nobody read.
// Here as much is emitted to one: its connection holds no more than the soft limit and one event, the log no
// more than its bounds, and when it reads it gets what there was in order, and then that the rest is gone.
func TestR2SlowSocketHoldsLittle(t *testing.T) {
	const size, events = 64 << 10, 56 << 20 / (64 << 10)
	const soft, window, folded = 64 << 10, 256 << 10, 512 << 10
	value := json.RawMessage(`"` + strings.Repeat("x", size-100) + `"`)
	bothThere, over := make(chan struct{}), make(chan struct{})
	var waiting, logged int64 // at the most
	var srv *agloop.Server
	var addr string
	srv, addr = serveEach(t, agloop.ServerConfig{
		Limits: agloop.Limits{SoftLimit: soft, WriteTimeout: -1},
		Runs:   agloop.RunsConfig{WindowBytes: window, FoldedBytes: folded},
		Agent: agloop.AgentFunc(func(_ context.Context, r *agloop.Run) (err error) {
			defer close(over)
			<-bothThere
			for i := range events {
				err = errors.Join(err, r.Emit(&agui.Custom{Name: fmt.Sprint(i + 2), Value: value}))
				srv.Conns(func(c *agloop.Conn) { waiting = max(waiting, int64(c.Buffered())) })
				logged = max(logged, srv.Stats().Logged.LogBytes)
			}
			return err
		}),
	})
	fast, slow := newViewer(t, addr, "ann"), newNarrowViewer(t, addr, "ann")
	slow.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "t"})
	slow.want(control.NameIdle, &control.Idle{Ref: "f"})
	fast.start("1", namedInput("t", "r"))
	fast.await("RUN_STARTED")
	slow.await("RUN_STARTED")
	go func() { _, _ = io.Copy(io.Discard, fast.Conn) }()
	close(bothThere)
	testkit.Receive(t, "all is emitted", over)
	if most := int64(soft + size + 1<<10); waiting > most || waiting < soft {
		t.Errorf("%d bytes waited for one connection, want up to %d", waiting, most)
	}
	// While what is older is folded its old form is still there.
	if most := int64(2 * (folded + 4*window)); logged > most || logged < folded {
		t.Errorf("the log had %d bytes, want up to %d", logged, most)
	}
	f := slow.next()
	for ; f.of != nil; f = slow.next() {
		var ev struct{ Name string }
		if slow.into(f, &ev); ev.Name != fmt.Sprint(f.first) {
			t.Fatalf("offset %d is that of %s", f.first, ev.Name)
		}
	}
	var gone control.Gone
	if slow.into(f, &gone); gone != (control.Gone{Ref: "f", RunID: "r", Reason: control.ReasonTrimmed}) {
		t.Errorf("got %s %s", f.name, f.body)
	}
	slow.want(control.NameIdle, &control.Idle{Ref: "f"})
	slow.alive()
}

// TestR31QuietRunOnAFullConnection: an attachment to a run that says nothing is answered when there is room,
// though there was none when it was asked for.
func TestR31QuietRunOnAFullConnection(t *testing.T) {
	p := newPuppets(t)
	srv, addr := serveTight(t, agloop.ServerConfig{Agent: p, Limits: agloop.Limits{SoftLimit: 8 << 10, WriteTimeout: -1}})
	v := newViewer(t, addr, "ann")
	v.start("1", namedInput("q", "quiet"))
	p.count("quiet", 2, 3, 10)
	v.events(3)
	at := v.attachments[1].cursor()
	slow, fast := newNarrowViewer(t, addr, "ann"), newViewer(t, addr, "ann")
	slow.start("1", namedInput("t", "loud"))
	p.count("loud", 2, 2, 10)
	fast.attachAt("1", "t", "loud", run.Cursor{})
	fast.events(2)
	for n := uint64(3); !oneFull(srv); n++ {
		p.count("loud", n, n, 1000)
		fast.events(1)
	}
	slow.attachAt("2", "q", "quiet", at)
	testkit.Await(t, "it is attached", func() bool {
		return srv.Run(agloop.RunKey{Scope: "ann", Thread: "q", Run: "quiet"}).Viewers() == 2
	})
	for slow.attachments[2] == nil { // with no event of the quiet run
		if _, err := slow.read(); err != nil {
			t.Fatal(err)
		}
	}
	if a := slow.attachments[2]; a.Offset != at.Offset+1 || a.Last != at.Offset || a.Ref != "2" {
		t.Errorf("%+v", a.Run)
	}
	p.count("quiet", 4, 4, 10)
	f := slow.next()
	for f.of != slow.attachments[2] { // what is left of the loud one
		f = slow.next()
	}
	if f.first != 4 {
		t.Errorf("offset %d of %s", f.first, f.of.Ref)
	}
}

// TestR11ProducerWaitsWhileViewersChange: a run waits for the most advanced of its viewers, and for none where
// there is none. Whichever comes, goes, is lost, comes back or takes the place of another, it goes on or
// waits as those say that are left.
func TestR11ProducerWaitsWhileViewersChange(t *testing.T) {
	const window = 16
	var emitted atomic.Uint64 // offset of the last event
	ends := make(chan error, 1)
	srv, addr := serveEach(t, agloop.ServerConfig{
		Runs: agloop.RunsConfig{WindowEvents: window},
		Agent: agloop.AgentFunc(func(_ context.Context, r *agloop.Run) (err error) {
			for offset := uint64(2); err == nil; offset++ {
				emitted.Store(offset - 1)
				err = r.Emit(&agui.Custom{Name: "n", Value: []byte("1")})
			}
			ends <- err
			return err
		}),
	})
	first, second, third := newViewer(t, addr, "ann"), newViewer(t, addr, "ann"), newViewer(t, addr, "ann")
	// fence reads until what was asked for before is carried out.
	fence := func(v *viewer) {
		t.Helper()
		v.attachAt("fence", "t", "nobody", run.Cursor{Epoch: 1})
		v.await(control.NameGone)
	}
	// away has a viewer say that it comes back, and returns the last offset that it has.
	away := func(v *viewer, number uint64) uint64 {
		t.Helper()
		v.ask(control.NameLeave, &control.Leave{Run: number, Back: true})
		fence(v)
		return v.attachments[number].received
	}
	stays := func(offset uint64) bool {
		t.Helper()
		for range 10 {
			fence(third)
		}
		return emitted.Load() == offset
	}
	waits := func(offset uint64) {
		t.Helper()
		testkit.Await(t, fmt.Sprint("the run is at ", offset), func() bool { return emitted.Load() == offset })
		if !stays(offset) {
			t.Errorf("the run has gone on to %d, want %d", emitted.Load(), offset)
		}
	}
	goesOn := func() {
		t.Helper()
		before := emitted.Load()
		testkit.Await(t, "the run goes on", func() bool { return emitted.Load() > before+10*window })
	}
	viewers := func(n int) {
		t.Helper()
		testkit.Await(t, fmt.Sprint(n, " see the run"), func() bool { return srv.Stats().Logged.Viewers == n })
	}
	first.start("1", namedInput("t", "r"))
	first.await("CUSTOM")
	at := first.attachments[1].cursor()
	at.Offset = away(first, 1)
	waits(at.Offset + window)

	second.attachAt("1", "t", "r", at) // one comes that reads
	goesOn()
	p2 := away(second, 1) // the most advanced goes away
	waits(p2 + window)
	first.ask(control.NameLeave, &control.Leave{Run: 1}) // the least advanced leaves
	viewers(1)
	waits(p2 + window)

	third.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "t"}) // one comes by a follow, from the start
	goesOn()
	third.ask(control.NameLeave, &control.Leave{Ref: "f"}) // and leaves: the one that is away is left
	fence(third)
	testkit.Await(t, "the run waits", func() bool { return stays(emitted.Load()) })

	at.Offset = p2
	second.attachAt("2", "t", "r", at) // it comes back, and takes its own place
	goesOn()
	p2 = away(second, 2)
	waits(p2 + window)
	second.Reset() // the last one is lost
	goesOn()

	third.attachAt("2", "t", "r", run.Cursor{Epoch: at.Epoch, Offset: p2})
	third.await("CUSTOM")
	p3 := away(third, 2)
	waits(p3 + window)
	first.ask(control.NameCancel, &control.Cancel{ThreadID: "t", RunID: "r"}) // by who does not see it
	if err := testkit.Receive(t, "the agent's end", ends); !errors.Is(err, context.Canceled) {
		t.Errorf("the agent ended with %v", err)
	}
}
