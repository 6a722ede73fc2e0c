package agloop_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// quick is an agent whose runs end at once.
var quick = agloop.AgentFunc(func(context.Context, *agloop.Run) error { return nil })

// runsOf starts runs of a thread on a connection, one after another, to their end.
func (v *viewer) runsOf(thread string, ids ...string) {
	v.t.Helper()
	for _, id := range ids {
		v.start(id, namedInput(thread, id))
		if _, last := v.ends(); last.of.RunID != id {
			v.t.Fatalf("%s ended before %s", last.of.RunID, id)
		}
	}
}

// wantRun reads a run of a follow to its end.
func (v *viewer) wantRun(ref, id string) seen {
	v.t.Helper()
	_, last := v.ends()
	if last.of.Ref != ref || last.of.RunID != id {
		v.t.Errorf("%s of %s ended, want %s of %s", last.of.RunID, last.of.Ref, id, ref)
	}
	return last
}

// TestR20FollowOfConcurrentStarts: whatever starts while a follow begins comes once, and that of one
// client in the order of its starts; those of several have none.
func TestR20FollowOfConcurrentStarts(t *testing.T) {
	const rounds, starters, each = 6, 4, 5
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: quick})
	for round := range rounds {
		thread := fmt.Sprint("t", round)
		var wg sync.WaitGroup
		for n := range starters {
			v := newViewer(t, addr, "ann")
			wg.Go(func() {
				for i := range each {
					id := fmt.Sprintf("%d-%d", n, i)
					v.runsOf(thread, id)
				}
			})
		}
		v := newViewer(t, addr, "ann")
		v.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: thread})
		var got []string
		for len(got) < starters*each {
			_, last := v.ends()
			got = append(got, last.of.RunID)
		}
		wg.Wait()
		var want []string
		for info := range srv.Runs("ann") {
			if info.Thread == thread {
				want = append(want, info.Run)
			}
		}
		// Each client starts one behind the other, so its runs have the order of their names.
		byClient := func(a, b string) int { return strings.Compare(a[:1], b[:1]) }
		slices.SortStableFunc(got, byClient)
		slices.SortStableFunc(want, byClient)
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("got  %v\nwant %v", got, want)
		}
		v.await(control.NameIdle)
		v.Close()
	}
}

// TestR20FollowAfter: a follow goes on behind a known run, at its end, and of an unknown one says so
// and gives what is live, in the order of the starts.
func TestR20FollowAfter(t *testing.T) {
	w := newWriter("l1", "l2", "l3")
	for _, id := range []string{"a", "b"} {
		w.runs[id] = make(chan string)
		w.end(id)
	}
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: w.agent()})
	starter := newViewer(t, addr, "ann")
	starter.runsOf("t", "a", "b")
	end := starter.attachments[1].cursor()
	testkit.Await(t, "the runs are over", func() bool { return srv.Stats().Runs == 0 })
	epoch := run.FormatEpoch(end.Epoch)

	v := newViewer(t, addr, "ann")
	for _, tt := range []struct {
		ref    string
		offset uint64
		epoch  string
		want   string
	}{
		{"start", 0, "", "a from 1, b from 1, idle"},
		{"start of its epoch", 0, epoch, "a from 1, b from 1, idle"},
		{"inside", 2, epoch, "a from 3, b from 1, idle"},
		{"end", end.Offset, epoch, "b from 1, idle"},
		{"future", end.Offset + 1, epoch, "gone a future, b from 1, idle"},
		{"another epoch", 2, "00000000000000ff", "gone a epoch, b from 1, idle"},
	} {
		v.ask(control.NameFollow, &control.Follow{
			Ref: tt.ref, ThreadID: "t", After: &control.After{RunID: "a", Epoch: tt.epoch, Offset: tt.offset},
		})
		if got := v.story(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.ref, got, tt.want)
		}
		v.ask(control.NameLeave, &control.Leave{Ref: tt.ref})
	}

	for _, id := range []string{"l1", "l2", "l3"} { // the later ones wait for their thread
		starter.start(id, namedInput("t", id))
	}
	testkit.Await(t, "three are live", func() bool { return srv.Stats().Logged.Live == 3 })
	for _, ref := range []string{"x", "y", "z"} {
		v.ask(control.NameFollow, &control.Follow{
			Ref: ref, ThreadID: "t", After: &control.After{RunID: "nobody", Epoch: epoch, Offset: 2},
		})
		f := v.await(control.NameGone)
		var gone control.Gone
		v.into(f, &gone)
		if gone.Ref != ref || gone.RunID != "nobody" {
			t.Errorf("%+v", gone)
		}
		v.ask(control.NameLeave, &control.Leave{Ref: ref})
	}
	last := newViewer(t, addr, "ann")
	last.ask(control.NameFollow, &control.Follow{
		Ref: "l", ThreadID: "t", After: &control.After{RunID: "nobody", Epoch: epoch, Offset: 2},
	})
	last.await(control.NameGone)
	for _, id := range []string{"l1", "l2", "l3"} {
		w.end(id)
		last.wantRun("l", id)
	}
	last.want(control.NameIdle, &control.Idle{Ref: "l"})
}

// story reads up to an idle, and says what came.
func (v *viewer) story() string {
	v.t.Helper()
	var said []string
	for from := uint64(0); ; {
		f := v.next()
		if f.of != nil && from == 0 {
			from = f.first
		}
		switch f.name {
		case "RUN_FINISHED", "RUN_ERROR":
			said = append(said, fmt.Sprintf("%s from %d", f.of.RunID, from))
			from = 0
		case control.NameGone:
			var g control.Gone
			v.into(f, &g)
			said = append(said, strings.TrimSpace("gone "+g.RunID+" "+g.Reason))
		case control.NameRejected:
			var r control.Rejected
			v.into(f, &r)
			return strings.Join(append(said, "rejected "+r.Code), ", ")
		case control.NameIdle:
			return strings.Join(append(said, "idle"), ", ")
		}
	}
}

// TestR20FollowAfterABuriedRun: of a run whose log is gone nobody knows whether the client has all of
// it, so it is told.
func TestR20FollowAfterABuriedRun(t *testing.T) {
	_, addr := serveEach(t, agloop.ServerConfig{Agent: quick, Runs: agloop.RunsConfig{Retention: 1}})
	starter := newViewer(t, addr, "ann")
	starter.runsOf("t", "a")
	epoch := starter.attachments[1].Epoch
	v := newViewer(t, addr, "ann")
	testkit.Await(t, "the log is gone", func() bool {
		v.attachAt("x", "t", "a", run.Cursor{})
		f := v.next()
		for f.name != control.NameGone && f.name != "RUN_FINISHED" {
			f = v.next()
		}
		return f.name == control.NameGone
	})
	v = newViewer(t, addr, "ann") // which has attached to nothing
	v.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "t", After: &control.After{RunID: "a", Epoch: epoch, Offset: 1}})
	if got := v.story(); got != "gone a ended, idle" {
		t.Errorf("got %s", got)
	}
}

// TestR20FollowNamesWhatItCannotGive: AuthorizeRun refuses one run, or says nothing about it in time;
// the follow goes on, and is idle again.
func TestR20FollowNamesWhatItCannotGive(t *testing.T) {
	silent := make(chan struct{})
	srv := agloop.NewServer(agloop.ServerConfig{Agent: quick, Runs: agloop.RunsConfig{
		AuthorizeRun: func(ctx context.Context, _ agloop.Principal, action agloop.Action, k agloop.RunKey) (agloop.RunKey, error) {
			switch {
			case action == agloop.ActionJoin && strings.HasPrefix(k.Run, "secret"):
				return k, errors.New("no")
			case action == agloop.ActionJoin && k.Run == "slow":
				<-silent
			}
			return k, ctx.Err()
		},
	}})
	defer close(silent)
	srv.SetControlTime(50e6)
	_, addr := serveOn(t, listenLocal(t), srv)
	starter := newViewer(t, addr, "")
	starter.runsOf("t", "a", "secret", "slow", "b")
	v := newViewer(t, addr, "")
	v.ask(control.NameBind, &control.Bind{Ref: "b", Secret: starter.hello.Secret})
	v.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "t"})
	if got, want := v.story(), "a from 1, gone secret, gone slow, b from 1, idle"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	starter.runsOf("t", "secret 2")
	if got, want := v.story(), "gone secret 2, idle"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	starter.runsOf("t", "c")
	if got, want := v.story(), "c from 1, idle"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestR20FollowOfAFullConnection: where no attachment is left for a run, that is gone, and the follow
// gives the next.
func TestR20FollowOfAFullConnection(t *testing.T) {
	w := newWriter()
	for i := range 65 {
		w.runs[fmt.Sprint(i)] = make(chan string)
	}
	for _, id := range []string{"x", "y"} {
		w.runs[id] = make(chan string)
		close(w.runs[id])
	}
	_, addr := serveEach(t, agloop.ServerConfig{Agent: w.agent()})
	v := newViewer(t, addr, "ann")
	for i := range 64 {
		id := fmt.Sprint(i)
		v.start(id, namedInput("t"+id, id))
		v.await("TEXT_MESSAGE_START")
	}
	v.start("64", namedInput("t64", "64"))
	v.want(control.NameRejected, &control.Rejected{Ref: "64", Code: control.CodeAttachments})
	v.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "t"})
	v.want(control.NameIdle, &control.Idle{Ref: "f"})
	starter := newViewer(t, addr, "ann")
	starter.runsOf("t", "x")
	if got := v.story(); got != "gone x, idle" {
		t.Errorf("got %s", got)
	}
	w.end("0")
	v.ends()
	starter.runsOf("t", "y")
	if got := v.story(); got != "y from 1, idle" {
		t.Errorf("got %s", got)
	}
}

// TestR20ManyFollowers: each connection, and each follow of a connection, has every run.
func TestR20ManyFollowers(t *testing.T) {
	const conns, runs = 40, 5
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: quick})
	followers := make([]*viewer, conns)
	for i := range followers {
		followers[i] = newViewer(t, addr, "ann")
		followers[i].ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "t"})
		followers[i].want(control.NameIdle, &control.Idle{Ref: "f"})
	}
	starter := newViewer(t, addr, "ann")
	for i := range runs {
		starter.runsOf("t", fmt.Sprint(i))
	}
	for _, v := range followers {
		for i := range runs {
			for f := v.next(); f.name != "RUN_FINISHED"; f = v.next() {
			}
			if _, ok := v.attachments[uint64(i+1)]; !ok || v.attachments[uint64(i+1)].RunID != fmt.Sprint(i) {
				t.Fatalf("run %d came as %+v", i, v.attachments)
			}
		}
		v.await(control.NameIdle)
	}
	v := followers[0]
	for i := range 63 {
		v.ask(control.NameFollow, &control.Follow{Ref: fmt.Sprint(i), ThreadID: "u"})
		v.want(control.NameIdle, &control.Idle{Ref: fmt.Sprint(i)})
	}
	v.ask(control.NameFollow, &control.Follow{Ref: "more", ThreadID: "u"})
	v.want(control.NameRejected, &control.Rejected{Ref: "more", Code: control.CodeAttachments})
	v.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "u"})
	v.want(control.NameRejected, &control.Rejected{Ref: "f", Code: control.CodeMalformed, Field: "ref"})
	for _, v := range followers {
		v.Close()
	}
	starter.Close()
	testkit.Await(t, "all are gone", func() bool { return srv.Stats().Connections == 0 && srv.Following() == 0 })
}

// TestR20FollowOfOneThread: the thread that has no name is one of its own.
func TestR20FollowOfOneThread(t *testing.T) {
	_, addr := serveEach(t, agloop.ServerConfig{Agent: quick})
	starter := newViewer(t, addr, "ann")
	starter.runsOf("t", "a")
	v := newViewer(t, addr, "ann")
	v.ask(control.NameFollow, &control.Follow{Ref: "f"})
	if got := v.story(); got != "idle" {
		t.Errorf("got %s", got)
	}
}

// TestR20OwnRunsAreThoseThatBegan: a start that was refused makes no run the connection's own.
func TestR20OwnRunsAreThoseThatBegan(t *testing.T) {
	w := newWriter("busy", "r")
	_, addr := serveEach(t, agloop.ServerConfig{Agent: w.agent(), Runs: agloop.RunsConfig{OnBusyThread: agloop.BusyReject}})
	starter := newViewer(t, addr, "ann")
	starter.start("1", namedInput("t", "busy"))
	starter.await("TEXT_MESSAGE_START")
	v := newViewer(t, addr, "ann")
	v.start("1", namedInput("t", "r"))
	v.want(control.NameRejected, &control.Rejected{Ref: "1", Code: "thread_busy"})
	v.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "t"})
	w.end("busy")
	w.end("r")
	v.wantRun("f", "busy")
	v.want(control.NameIdle, &control.Idle{Ref: "f"})
	starter.ends()
	starter.start("2", namedInput("t", "r"))
	v.wantRun("f", "r")
	// Nor does a conflict.
	v.want(control.NameIdle, &control.Idle{Ref: "f"})
	v.start("2", `{"threadId":"t","runId":"busy","messages":[], "state":{}}`)
	v.want(control.NameConflict, &control.Conflict{Ref: "2"})
	v.ask(control.NameFollow, &control.Follow{Ref: "g", ThreadID: "t"})
	if got := v.story(); got != "busy from 1, r from 1, idle" {
		t.Errorf("got %s", got)
	}
}

// TestR20LeaveOfAFollow: what the client asked for by itself stays when it leaves the follow, and
// leaving it twice, or to come back, is leaving it.
func TestR20LeaveOfAFollow(t *testing.T) {
	w := newWriter("r", "s", "u")
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: w.agent(), Runs: agloop.RunsConfig{OnDisconnect: agloop.DisconnectCancel}})
	starter := newViewer(t, addr, "ann")
	starter.start("1", namedInput("t", "r"))
	starter.await("TEXT_MESSAGE_START")
	v := newViewer(t, addr, "ann")
	v.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "t"})
	v.await("TEXT_MESSAGE_START")
	v.attachAt("a", "t", "r", run.Cursor{}) // it ends that of the follow
	if f := v.await("TEXT_MESSAGE_START"); f.of.Ref != "a" {
		t.Errorf("it came by %s", f.of.Ref)
	}
	v.ask(control.NameLeave, &control.Leave{Ref: "f"})
	v.ask(control.NameLeave, &control.Leave{Ref: "f"})
	v.attachAt("x", "t", "nobody", run.Cursor{})
	v.want(control.NameGone, &control.Gone{Ref: "x"})
	w.say("r", "more")
	w.end("r")
	if text, last := v.ends(); text != "more" || last.of.Ref != "a" {
		t.Errorf("got %q by %s", text, last.of.Ref)
	}
	v.ask(control.NameFollow, &control.Follow{Ref: "g", ThreadID: "u"})
	v.want(control.NameIdle, &control.Idle{Ref: "g"})
	starter.start("2", namedInput("u", "u"))
	if f := v.await("TEXT_MESSAGE_START"); f.of.Ref != "g" {
		t.Errorf("it came by %s", f.of.Ref)
	}
	starter.Close()
	v.ask(control.NameLeave, &control.Leave{Ref: "g", Back: true})
	testkit.Await(t, "the run that nobody sees is cancelled", func() bool { return srv.Stats().Runs == 0 })
	v.attachAt("y", "t", "nobody", run.Cursor{})
	v.want(control.NameGone, &control.Gone{Ref: "y"})
}

// TestR20FollowBehindAnAttachment: an attachment that takes the place of a follow's has the follow go
// on when it ends, however that is.
func TestR20FollowBehindAnAttachment(t *testing.T) {
	w := newWriter("r", "s")
	_, addr := serveEach(t, agloop.ServerConfig{Agent: w.agent()})
	starter := newViewer(t, addr, "ann")
	starter.start("1", namedInput("t", "r"))
	starter.await("TEXT_MESSAGE_START")
	v := newViewer(t, addr, "ann")
	v.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "t"})
	v.await("TEXT_MESSAGE_START")
	v.attachAt("a", "t", "r", run.Cursor{})
	v.await("TEXT_MESSAGE_START")
	v.ask(control.NameLeave, &control.Leave{Run: 2})
	v.want(control.NameIdle, &control.Idle{Ref: "f"})
	w.end("r")
	starter.ends()
	w.end("s")
	starter.runsOf("t", "s")
	v.wantRun("f", "s")
}

func listenLocal(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}
