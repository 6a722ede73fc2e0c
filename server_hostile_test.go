package agloop_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// TestMalformedControl: what is no control closes the connection, and what is wrong inside of one is
// told, once, with its ref.
func TestMalformedControl(t *testing.T) {
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: quick})
	for _, raw := range []string{
		`[`, `[]`, `["attach"]`, `["attach",]`, `["attach",1]`, `["attach",null]`, `["attach",[]]`, `["attach",{}`,
		`["attach",{}]]`, `["attach",{},{}]`, `[{}]`, `[1,{}]`, `["attach" {}]`, `["attach",{"ref":1,}]`,
		`["attach",{"ref":"1","threadId":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}]`,
	} {
		v := newViewer(t, addr, "ann")
		v.Put(testkit.Text(raw))
		v.WantGoodbye(frame.CloseUnsupported)
	}
	long := strings.Repeat("x", 10<<10)
	v := newViewer(t, addr, "ann")
	for _, tt := range []struct{ raw, ref, field string }{
		{`["attach",{"ref":7,"threadId":"t","runId":"r"}]`, "", "ref"},
		{`["attach",{"ref":"1","threadId":7,"runId":"r"}]`, "1", "threadId"},
		{`["attach",{"ref":"2","threadId":"t","runId":{}}]`, "2", "runId"},
		{`["attach",{"ref":"3","threadId":"t","runId":"r","epoch":3,"offset":1}]`, "3", "epoch"},
		{`["attach",{"ref":"4","threadId":"t","runId":"r","epoch":"00f1e2d3c4b5a697","offset":-1}]`, "4", "offset"},
		{`["attach",{"ref":"5","threadId":"t","runId":"r","epoch":"00f1e2d3c4b5a697","offset":1.5}]`, "5", "offset"},
		{`["attach",{"ref":"6","threadId":"t","runId":"r","epoch":"00f1e2d3c4b5a697","offset":1e3}]`, "6", "offset"},
		{`["attach",{"ref":"7","threadId":"t","runId":"r","epoch":"00f1e2d3c4b5a697","offset":"1"}]`, "7", "offset"},
		{`["attach",{"ref":"8","threadId":"t","runId":"r","epoch":"00f1e2d3c4b5a697","offset":99999999999999999999}]`, "8", "offset"},
		{`["attach",{"ref":"9","threadId":"t","runId":"r","epoch":"00f1e2d3c4b5a697","offset":9007199254740992}]`, "9", "offset"},
		{`["attach",{"ref":"10","threadId":"t","runId":"r","offset":1}]`, "10", "epoch"},
		{`["attach",{"ref":"11","threadId":"t","runId":"r","epoch":"00F1E2D3C4B5A697","offset":1}]`, "11", "epoch"},
		{`["attach",{"ref":"12","threadId":"t","runId":"r","epoch":"0f1","offset":1}]`, "12", "epoch"},
		{`["attach",{"ref":"13","threadId":"t","runId":"r","epoch":"+0f1e2d3c4b5a697","offset":1}]`, "13", "epoch"},
		{`["attach",{"ref":"14","threadId":"` + long + `","runId":"r"}]`, "14", "threadId"},
		{`["attach",{"ref":"15","threadId":"t","runId":"` + long + `"}]`, "15", "runId"},
		{`["attach",{"ref":"16","threadId":"t\n","runId":"r"}]`, "16", "threadId"},
		{`["attach",{"ref":"17","threadId":"t","runId":"r\u0000"}]`, "17", "runId"},
		{`["attach",{"ref":"` + long + `","threadId":"t","runId":"r"}]`, "", "ref"},
		{`["attach",{"ref":"` + long + `","threadId":1,"runId":"r"}]`, "", "threadId"},
		{`["follow",{"ref":"20","threadId":"` + long + `"}]`, "20", "threadId"},
		{`["follow",{"ref":"21","threadId":"\u0085"}]`, "21", "threadId"},
		{`["follow",{"ref":"22","threadId":"t","after":7}]`, "22", "after"},
		{`["follow",{"ref":"27","threadId":"t","after":{"epoch":"00f1e2d3c4b5a697","offset":1}}]`, "27", "after"},
		{`["follow",{"ref":"23","threadId":"t","after":{"runId":"r","epoch":"x","offset":1}}]`, "23", "after"},
		{`["follow",{"ref":"24","threadId":"t","after":{"runId":"r","epoch":"","offset":1}}]`, "24", "after"},
		{`["follow",{"ref":"25","threadId":"t","after":{"runId":"` + long + `","epoch":"","offset":0}}]`, "25", "after"},
		{`["follow",{"ref":"26","threadId":"t","after":{"runId":"r","epoch":"","offset":-1}}]`, "26", "after.offset"},
		{`["cancel",{"threadId":"t","runId":"` + long + `"}]`, "", "runId"},
		{`["cancel",{"threadId":"t\r","runId":"r"}]`, "", "threadId"},
		{`["cancel",{"threadId":"t","runId":7}]`, "", "runId"},
		{`["steer",{"ref":"31","threadId":"` + long + `","runId":"r","id":"i","text":"t"}]`, "31", "threadId"},
		{`["steer",{"ref":"32","threadId":"t","runId":"r\t","id":"i","text":"t"}]`, "32", "runId"},
		{`["steer",{"ref":"33","threadId":"t","runId":"r","id":"` + long + `","text":"t"}]`, "33", "id"},
		{`["steer",{"ref":"34","threadId":"t","runId":"r","id":7,"text":"t"}]`, "34", "id"},
		{`["leave",{"run":-1}]`, "", "run"},
		{`["leave",{"run":1.5}]`, "", "run"},
		{`["leave",{"ref":{}}]`, "", "ref"},
		{`["bind",{"ref":"40","secret":7}]`, "40", "secret"},
		{`["start",{"ref":7,"input":{}}]`, "", "ref"},
	} {
		v.Put(testkit.Text(tt.raw))
		f := v.next()
		var r control.Rejected
		if v.into(f, &r); f.name != control.NameRejected || r.Ref != tt.ref || r.Code != control.CodeMalformed || r.Field != tt.field {
			t.Errorf("%.120s: %s %.200s, want %s of %q", tt.raw, f.name, f.body, tt.field, tt.ref)
		}
	}
	for _, raw := range []string{`["start",{"ref":"1"}]`, `["start",{"ref":"1","input":null}]`, `["start",{"ref":"1","input":7}]`, `["start",{"ref":"1","input":[]}]`} {
		v.Put(testkit.Text(raw))
		f := v.next()
		if f.name != control.NameRejected || !strings.Contains(string(f.body), `"ref":"1","code":"invalid_input"`) {
			t.Errorf("%s: %s %s", raw, f.name, f.body)
		}
	}
	// A ref comes back as it was, whatever it holds, once for each request that has it.
	ref := "\"\\\u2028\U0001F600\x00\x1b</script>" + strings.Repeat("é", 40)
	for range 3 {
		v.attachAt(ref, "t", "nobody", run.Cursor{})
	}
	for range 3 {
		v.want(control.NameGone, &control.Gone{Ref: ref})
	}
	v.ask(control.NameStart, &control.Start{Ref: ref, Input: []byte(namedInput("t", "r"))})
	if _, last := v.ends(); last.of.Ref != ref {
		t.Errorf("the ref is %q", last.of.Ref)
	}
	v.Close()
	testkit.Await(t, "nothing is held", func() bool { return srv.Held() == 0 })
}

// TestInventedNames: who cancels and attaches what never was costs tombstones up to a bound, and
// nothing else.
func TestInventedNames(t *testing.T) {
	const names = 10_000
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: quick, Rates: agloop.Rates{Guesses: -1}})
	v := newViewer(t, addr, "ann")
	held := int64(0)
	for i := range names {
		v.ask(control.NameCancel, &control.Cancel{ThreadID: "t", RunID: fmt.Sprint("cancelled", i)})
		v.attachAt("x", "t", fmt.Sprint("attached", i), run.Cursor{})
		v.want(control.NameGone, &control.Gone{Ref: "x"})
		if i == 2000 {
			held = srv.Stats().Logged.LogBytes
		}
	}
	s := srv.Stats().Logged
	if s.Tombstones != 64 || s.Live != 0 || s.LogBytes > held+held/10 || held == 0 {
		t.Errorf("%+v, and %d bytes after 2,000", s, held)
	}
	if s.Gone.Unknown != names {
		t.Errorf("%d were told", s.Gone.Unknown)
	}
}

// TestConnectionsEndInTheMiddle: whatever a client was about when it goes, nothing is left of it.
func TestConnectionsEndInTheMiddle(t *testing.T) {
	srv, addr := serveEach(t, agloop.ServerConfig{
		Runs: agloop.RunsConfig{OnDisconnect: agloop.DisconnectCancel, Retention: time.Millisecond}, Rates: agloop.Rates{Guesses: -1},
		Agent: agloop.AgentFunc(func(ctx context.Context, r *agloop.Run) error {
			m, err := r.TextMessage()
			for err == nil {
				err = m.Write(strings.Repeat("x", 1000))
			}
			return err
		}),
	})
	newViewer(t, addr, "ann").Close() // the loops begin with the first connection
	before := runtime.NumGoroutine()
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		v := newViewer(t, addr, "ann")
		thread := fmt.Sprint("t", i%7)
		for j := range rnd.IntN(6) {
			id := fmt.Sprintf("%d-%d", i, j)
			switch rnd.IntN(6) {
			case 0, 1:
				v.start(id, namedInput(thread, id))
			case 2:
				v.ask(control.NameFollow, &control.Follow{Ref: id, ThreadID: thread})
			case 3:
				v.attachAt(id, thread, fmt.Sprintf("%d-0", i-1), run.Cursor{})
			case 4:
				v.ask(control.NameCancel, &control.Cancel{ThreadID: thread, RunID: fmt.Sprintf("%d-0", i-1)})
			case 5:
				v.ask(control.NameSteer, &control.Steer{Ref: id, ThreadID: thread, RunID: fmt.Sprintf("%d-0", i-1), ID: "x", Text: "x"})
			}
		}
		for range rnd.IntN(20) {
			if rnd.IntN(3) == 0 {
				break
			}
			v.attachAt("sync", "t", "nobody", run.Cursor{})
			v.await(control.NameGone)
		}
		if i%2 == 0 {
			v.Reset()
		} else {
			v.Close()
		}
	}
	testkit.Await(t, "the runs are over", func() bool { return srv.Stats().Runs == 0 && srv.Stats().Logged.Viewers == 0 })
	testkit.Await(t, "nothing is held", func() bool {
		return srv.Held() == 0 && srv.Stats().Connections == 0 && srv.Following() == 0 && srv.RunsTaken() == 0
	})
	testkit.Await(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before+4 })
}

// TestIdleTimeoutSparesViewers: a connection that is attached or follows waits for what others do.
func TestIdleTimeoutSparesViewers(t *testing.T) {
	w := newWriter("r")
	_, addr := serveEach(t, agloop.ServerConfig{
		Agent:  w.agent(),
		Limits: agloop.Limits{IdleTimeout: 300 * time.Millisecond},
	})
	attached, follows, bare := newViewer(t, addr, "ann"), newViewer(t, addr, "ann"), newViewer(t, addr, "ann")
	follows.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "u"})
	follows.want(control.NameIdle, &control.Idle{Ref: "f"})
	attached.start("1", namedInput("t", "r"))
	attached.await("TEXT_MESSAGE_START")
	bare.WantGoodbye(frame.CloseGoingAway)
	follows.attachAt("x", "t", "nobody", run.Cursor{})
	follows.want(control.NameGone, &control.Gone{Ref: "x"})
	w.end("r")
	attached.ends()
	attached.WantGoodbye(frame.CloseGoingAway) // when it has nothing to wait for
	follows.ask(control.NameLeave, &control.Leave{Ref: "f"})
	follows.WantGoodbye(frame.CloseGoingAway)
}

// TestShutdownOfViewers: all are told, followers go at once, others when their runs have ended, and a
// client that is away and does not come back keeps nobody waiting.
func TestShutdownOfViewers(t *testing.T) {
	w := newWriter("r", "s", "u")
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: w.agent(), DrainTimeout: time.Hour})
	follows, attached, away, rest := newViewer(t, addr, "ann"), newViewer(t, addr, "ann"), newViewer(t, addr, "ann"), newViewer(t, addr, "ann")
	follows.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "none"})
	follows.want(control.NameIdle, &control.Idle{Ref: "f"})
	attached.start("1", namedInput("t", "r"))
	attached.await("TEXT_MESSAGE_START")
	attached.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "none"})
	attached.want(control.NameIdle, &control.Idle{Ref: "f"})
	away.start("1", namedInput("u", "u"))
	away.await("TEXT_MESSAGE_START")
	away.ask(control.NameLeave, &control.Leave{Run: 1, Back: true})
	away.attachAt("x", "t", "nobody", run.Cursor{})
	away.want(control.NameGone, &control.Gone{Ref: "x"})
	ended := make(chan error, 1)
	go func() { ended <- srv.Shutdown(context.Background()) }()
	for _, v := range []*viewer{follows, attached, away, rest} {
		v.want(control.NameGoing, &control.Going{RetryAfter: 1})
	}
	follows.WantGoodbye(frame.CloseGoingAway)
	rest.WantGoodbye(frame.CloseGoingAway)
	attached.start("2", namedInput("t2", "s"))
	attached.want(control.NameRejected, &control.Rejected{Ref: "2", Code: "shutting_down"})
	w.say("r", "still here")
	w.end("r")
	if text, last := attached.ends(); text != "still here" || last.name != "RUN_FINISHED" {
		t.Errorf("got %q", text)
	}
	attached.WantGoodbye(frame.CloseGoingAway)
	w.end("u")
	away.WantGoodbye(frame.CloseGoingAway)
	if err := testkit.Receive(t, "Shutdown", ended); err != nil {
		t.Error(err)
	}
}

// TestShutdownCancelsViewedRuns: those that go on when DrainTimeout is over end as cancelled, and
// their viewers are told before they are closed.
func TestShutdownCancelsViewedRuns(t *testing.T) {
	w := newWriter("r")
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: w.agent(), DrainTimeout: 1})
	v := newViewer(t, addr, "ann")
	v.start("1", namedInput("t", "r"))
	v.await("TEXT_MESSAGE_START")
	v.start("2", namedInput("t", "queued"))
	if f := v.await("RUN_STARTED"); f.of.Ref != "2" {
		t.Errorf("by %s", f.of.Ref)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Shutdown(context.Background()) }()
	for range 2 {
		if _, last := v.ends(); !strings.Contains(string(last.body), `"cancelled"`) {
			t.Errorf("got %s", last.body)
		}
	}
	v.WantGoodbye(frame.CloseGoingAway)
	if err := testkit.Receive(t, "Shutdown", ended); err != nil {
		t.Error(err)
	}
}

// TestCloseWhileEverythingGoesOn: Close returns, and nothing is left.
func TestCloseWhileEverythingGoesOn(t *testing.T) {
	for _, end := range []func(*agloop.Server) error{
		(*agloop.Server).Close,
		func(srv *agloop.Server) error { return srv.Shutdown(context.Background()) },
	} {
		srv, addr := serveEach(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(ctx context.Context, r *agloop.Run) error {
			m, err := r.TextMessage()
			for err == nil {
				err = m.Write("text")
			}
			return err
		})})
		var viewers []*viewer
		for i := range 12 {
			v := newViewer(t, addr, "ann")
			v.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: fmt.Sprint("t", i%3)})
			v.start("1", namedInput(fmt.Sprint("t", i%4), fmt.Sprint("r", i)))
			v.attachAt("2", "t0", "r0", run.Cursor{})
			viewers = append(viewers, v)
		}
		for _, v := range viewers {
			go func() {
				for {
					if op, _, err := v.Message(); err != nil || op == frame.Close {
						v.Close()
						return
					}
				}
			}()
		}
		testkit.Await(t, "runs go on", func() bool { return srv.Stats().Logged.Live > 3 })
		if err := end(srv); err != nil {
			t.Error(err)
		}
		testkit.Await(t, "nothing is left", func() bool {
			return srv.Held() == 0 && srv.Stats().Runs == 0 && srv.RunsTaken() == 0 && srv.Following() == 0
		})
	}
}
