package agloop_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// servePuppets starts a server of puppets, whose clients are principals.
func servePuppets(t *testing.T, cfg agloop.ServerConfig) (*puppets, *agloop.Server, string) {
	t.Helper()
	p := newPuppets(t)
	cfg.Agent = p
	srv, addr := serveEach(t, cfg)
	return p, srv, addr
}

// empties waits until a server has no connections and holds nothing.
func empties(t *testing.T, srv *agloop.Server) {
	t.Helper()
	testkit.Await(t, "nothing is left", func() bool {
		st := srv.Stats()
		return st.Connections == 0 && st.Runs == 0 && srv.Held() == 0 && srv.RunsTaken() == 0
	})
}

// hostBlocks is a server whose host's function blocks for the thread "blocks" until it is let go. A
// control may take so long.
func hostBlocks(t *testing.T, filter bool, within time.Duration) (p *puppets, srv *agloop.Server, addr string, letGo func()) {
	gate := make(chan struct{})
	letGo = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(letGo)
	wait := func(thread string) {
		if thread == "blocks" {
			<-gate
		}
	}
	cfg := agloop.ServerConfig{}
	if filter {
		cfg.Runs.FilterInput = func(_ context.Context, _ agloop.Principal, in *agui.RunAgentInput) error {
			wait(in.ThreadID)
			return nil
		}
	} else {
		cfg.Runs.AuthorizeRun = func(_ context.Context, _ agloop.Principal, _ agloop.Action, k agloop.RunKey) (agloop.RunKey, error) {
			wait(k.Thread)
			return k, nil
		}
	}
	p = newPuppets(t)
	cfg.Agent = p
	cfg.Authorize = func(_ context.Context, req *agloop.Request) (agloop.Grant, error) {
		return agloop.Grant{Principal: agloop.Principal{Key: req.Header.Get("Authorization")}}, nil
	}
	srv = agloop.NewServer(cfg)
	srv.SetControlTime(within)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, addr = serveOn(t, ln, srv)
	return p, srv, addr, letGo
}

// TestR27BytesThatWait: what is being handled does not count, nor does the room that it took.
func TestR27BytesThatWait(t *testing.T) {
	p, srv, addr, letGo := hostBlocks(t, true, time.Minute)
	v := newViewer(t, addr, "ann")
	large := strings.Replace(namedInput("blocks", "r"), "[]", `[{"id":"u","role":"user","content":"`+strings.Repeat("x", 9<<20)+`"}]`, 1)
	v.start("1", large)
	testkit.Await(t, "it is asked", func() bool { return srv.RunsTaken() == 1 })
	v.start("2", strings.ReplaceAll(large, `"r"`, `"s"`))
	v.attachAt("3", "t", "r", run.Cursor{})
	testkit.Await(t, "they wait", func() bool { return srv.Stats().MessagesIn == 3 })
	letGo()
	v.await(control.NameGone)
	v.Reset()
	p.end("r")
	p.end("s")
	empties(t, srv)
}

// TestR27TakesTooLong: a control that takes 5 s is rejected, and the next one has its turn; the place
// of a run whose filter is asked for longer is free when that returns.
func TestR27TakesTooLong(t *testing.T) {
	for _, filter := range []bool{false, true} {
		t.Run(fmt.Sprint("filter ", filter), func(t *testing.T) {
			_, srv, addr, letGo := hostBlocks(t, filter, 10*time.Millisecond)
			v := newViewer(t, addr, "ann")
			v.start("1", namedInput("blocks", "r"))
			v.want(control.NameRejected, &control.Rejected{Ref: "1", Code: control.CodeTimeout})
			v.alive()
			if n := srv.RunsTaken(); filter && n != 1 {
				t.Errorf("%d places are taken", n)
			}
			letGo()
			v.Reset()
			empties(t, srv)
		})
	}
}

// TestFilterThatFails: whatever it does, the start has one answer and its place is free again.
func TestFilterThatFails(t *testing.T) {
	p, srv, addr := servePuppets(t, agloop.ServerConfig{
		Logger: slog.New(slog.DiscardHandler),
		Runs: agloop.RunsConfig{FilterInput: func(_ context.Context, _ agloop.Principal, in *agui.RunAgentInput) error {
			switch in.RunID {
			case "panics":
				panic("no")
			case "exits":
				runtime.Goexit()
			case "errors":
				return errors.New("no")
			case "refuses":
				return &agloop.RefusedError{Reason: "no"}
			}
			return nil
		}},
	})
	v := newViewer(t, addr, "ann")
	for id, want := range map[string]string{
		"panics": run.CodeInternal, "exits": run.CodeInternal, "errors": run.CodeRefused, "refuses": run.CodeRefused,
	} {
		v.start(id, namedInput("t", id))
		var got control.Rejected
		if v.into(v.await(control.NameRejected), &got); got.Code != want || got.Ref != id {
			t.Errorf("%s: %+v", id, got)
		}
	}
	v.start("1", namedInput("t", "r"))
	v.await("RUN_STARTED")
	p.end("r")
	v.await("RUN_FINISHED")
	v.Reset()
	empties(t, srv)
	if n := srv.Stats().Panics; n != 1 {
		t.Errorf("%d panics", n)
	}
}

// TestStartRunAgain: a host that starts a run again gets it, also where no place is free.
func TestStartRunAgain(t *testing.T) {
	p, srv, _ := servePuppets(t, agloop.ServerConfig{Quotas: agloop.Quotas{Runs: 1}})
	first := startThere(t, srv, "t", "r")
	if again := startThere(t, srv, "t", "r"); again != first {
		t.Error("it is another run")
	}
	if _, err := srv.StartRun(t.Context(), agloop.RunKey{Scope: "ann", Thread: "u", Run: "s"}, nil); err != agloop.ErrTooManyRuns {
		t.Errorf("one too many: %v", err)
	}
	p.end("r")
	if err := first.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	testkit.Await(t, "the place is free", func() bool { return srv.RunsTaken() == 0 })
}

// TestR26AuthorizeRun: it is asked about names that do not exist, every refusal reads the same, and the
// scope that it returns is shared.
func TestR26AuthorizeRun(t *testing.T) {
	var asked atomic.Int64
	_, addr := serveEach(t, agloop.ServerConfig{Agent: quick, Rates: agloop.Rates{Guesses: -1}, Runs: agloop.RunsConfig{
		AuthorizeRun: func(_ context.Context, p agloop.Principal, action agloop.Action, k agloop.RunKey) (agloop.RunKey, error) {
			asked.Add(1)
			switch {
			case k.Thread == "shared":
				k.Scope = "team"
				return k, nil
			case k.Thread == "panics":
				panic("at the disco")
			case k.Thread == "ends":
				runtime.Goexit()
			case k.Thread == "refused", p.Key != k.Scope:
				return k, &agloop.RefusedError{Reason: "a secret reason"}
			}
			return k, nil
		},
	}})
	ann, bob := newViewer(t, addr, "ann"), newViewer(t, addr, "bob")
	for _, thread := range []string{"refused", "panics", "ends"} {
		for _, id := range []string{"a", "b"} {
			ann.start("s", namedInput(thread, id))
			ann.want(control.NameGone, &control.Gone{Ref: "s"})
			ann.attachAt("j", thread, id, run.Cursor{})
			ann.want(control.NameGone, &control.Gone{Ref: "j"})
			ann.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: thread})
			ann.want(control.NameGone, &control.Gone{Ref: "f"})
			ann.ask(control.NameSteer, &control.Steer{Ref: "t", ThreadID: thread, RunID: id, ID: "x", Text: "x"})
			ann.want(control.NameGone, &control.Gone{Ref: "t"})
			ann.ask(control.NameCancel, &control.Cancel{ThreadID: thread, RunID: id})
		}
	}
	bob.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "shared"})
	bob.want(control.NameIdle, &control.Idle{Ref: "f"})
	ann.runsOf("shared", "r")
	bob.wantRun("f", "r")
	bob.attachAt("a", "shared", "r", run.Cursor{})
	bob.await(control.NameIdle)
	if _, last := bob.ends(); last.of.Ref != "a" {
		t.Errorf("by %s", last.of.Ref)
	}
	if n := asked.Load(); n != 3*2*5+4 { // and a follow's join
		t.Errorf("asked %d times", n)
	}
}

// TestR27ControlsThatTakeLong: each is answered timeout, and those behind it have their turn.
func TestR27ControlsThatTakeLong(t *testing.T) {
	silent := make(chan struct{})
	srv := agloop.NewServer(agloop.ServerConfig{Agent: quick, Runs: agloop.RunsConfig{
		AuthorizeRun: func(_ context.Context, _ agloop.Principal, _ agloop.Action, k agloop.RunKey) (agloop.RunKey, error) {
			if k.Thread == "slow" {
				<-silent
			}
			return k, nil
		},
		FilterInput: func(ctx context.Context, _ agloop.Principal, in *agui.RunAgentInput) error {
			switch in.ThreadID {
			case "waits":
				<-ctx.Done()
				return ctx.Err()
			case "ends":
				runtime.Goexit()
			}
			return nil
		},
	}})
	defer close(silent)
	srv.SetControlTime(20e6)
	_, addr := serveOn(t, listenLocal(t), srv)
	v := newViewer(t, addr, "")
	timeout := func(ref string) { v.want(control.NameRejected, &control.Rejected{Ref: ref, Code: control.CodeTimeout}) }
	v.start("1", namedInput("slow", "r"))
	timeout("1")
	v.attachAt("2", "slow", "r", run.Cursor{})
	timeout("2")
	v.ask(control.NameFollow, &control.Follow{Ref: "3", ThreadID: "slow"})
	timeout("3")
	v.ask(control.NameSteer, &control.Steer{Ref: "4", ThreadID: "slow", RunID: "r", ID: "x", Text: "x"})
	timeout("4")
	v.ask(control.NameCancel, &control.Cancel{ThreadID: "slow", RunID: "r"})
	v.start("5", namedInput("waits", "r"))
	if f := v.await(control.NameRejected); !strings.Contains(string(f.body), `"timeout"`) {
		t.Errorf("got %s", f.body)
	}
	v.start("6", namedInput("ends", "r"))
	if f := v.await(control.NameRejected); !strings.Contains(string(f.body), `"ref":"6","code":"internal_error"`) {
		t.Errorf("got %s", f.body)
	}
	v.start("7", namedInput("t", "r"))
	v.await("RUN_FINISHED")
	testkit.Await(t, "no place is taken", func() bool { return srv.RunsTaken() == 0 })
}

// TestR28Kick: connections of the principal go, and with them their viewers.
func TestR28Kick(t *testing.T) {
	w := newWriter("r")
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: w.agent()})
	ann, other, bob := newViewer(t, addr, "ann"), newViewer(t, addr, "ann"), newViewer(t, addr, "bob")
	ann.start("1", namedInput("t", "r"))
	ann.await("TEXT_MESSAGE_START")
	other.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "t"})
	other.await("TEXT_MESSAGE_START")
	if n := srv.Peer("ann").Kick(4001, "revoked"); n != 2 {
		t.Errorf("%d connections", n)
	}
	ann.WantGoodbye(4001)
	other.WantGoodbye(4001)
	testkit.Await(t, "they are viewers no more", func() bool {
		s := srv.Stats().Logged
		return s.Viewers == 0 && s.Detached == 1 && srv.Following() == 0
	})
	bob.attachAt("x", "t", "r", run.Cursor{})
	bob.want(control.NameGone, &control.Gone{Ref: "x"})
}
