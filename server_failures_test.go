package agloop_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// TestR41LostLogs: a run whose log does not reach back to what a client has, or is gone, or is not known
// any more, or is another one by now, is truncated for it and says why. None begins again.
func TestR41LostLogs(t *testing.T) {
	p, srv, addr := servePuppets(t, agloop.ServerConfig{
		Runs: agloop.RunsConfig{WindowEvents: 8, WindowBytes: 4 << 10, FoldedBytes: 8 << 10, Retention: 1},
	})
	_, after, elsewhere := servePuppets(t, agloop.ServerConfig{})
	startThere(t, after, "epoch", "epoch")
	for _, tt := range []struct {
		name, reason string
		lose         func(r *breaker)
	}{
		{"trimmed", control.ReasonTrimmed, func(*breaker) {
			p.count("trimmed", 4, 400, 50)
			testkit.Await(t, "its start is gone", func() bool {
				return answer(t, addr, "ann", "trimmed", run.Cursor{}, false) == "gone trimmed"
			})
		}},
		{"expired", control.ReasonEnded, func(*breaker) {
			p.end("expired")
			testkit.Await(t, "its log is gone", func() bool { return srv.Stats().Logged.Tombstones == 1 })
		}},
		{"unknown", "", func(r *breaker) { r.moveTo(elsewhere) }},
		{"epoch", control.ReasonEpoch, func(r *breaker) { r.moveTo(elsewhere) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newBreaker(t, addr)
			w := running(t, r.client(t, nil), inThread(tt.name, tt.name))
			p.count(tt.name, 2, 3, 50)
			w.want("started "+tt.name, "2", "3")
			r.down()
			testkit.Await(t, "nobody sees the run", func() bool { return srv.Stats().Logged.Viewers == 0 })
			began := srv.Stats().Logged.Started + after.Stats().Logged.Started
			tt.lose(r)
			r.up()
			err := w.wantEnd(agloop.ErrTruncated)
			if gone, ok := errors.AsType[*agloop.GoneError](err); !ok || gone.Reason != tt.reason || gone.Run != tt.name {
				t.Errorf("the run ended with %v", err)
			}
			if n := srv.Stats().Logged.Started + after.Stats().Logged.Started; n != began {
				t.Errorf("%d agents were called for it again", n-began)
			}
		})
	}
}

// TestR12TwoSockets: the same secret and the same cursor on several connections at once: none of them
// takes the place of another, and each gets all.
func TestR12TwoSockets(t *testing.T) {
	p := newPuppets(t)
	_, addr := serve(t, agloop.ServerConfig{Agent: p})
	owner := newViewer(t, addr, "")
	owner.start("1", namedInput("t", "r"))
	p.count("r", 2, 9, 10)
	whole := owner.events(9)
	at := run.Cursor{Epoch: owner.attachments[1].cursor().Epoch, Offset: 4}
	all := []*viewer{owner}
	for range 3 {
		v := newViewer(t, addr, "")
		v.ask(control.NameBind, &control.Bind{Ref: "b", Secret: owner.hello.Secret})
		v.attachAt("1", "t", "r", at)
		if got := v.events(5); !slices.EqualFunc(got, whole[4:], bytes.Equal) {
			t.Errorf("got %s, want %s", got, whole[4:])
		}
		all = append(all, v)
	}
	p.count("r", 10, 12, 10)
	p.end("r")
	rest := owner.events(4)
	for _, v := range all[1:] {
		if got := v.events(4); !slices.EqualFunc(got, rest, bytes.Equal) {
			t.Errorf("got %s, want %s", got, rest)
		}
	}
	for _, v := range all {
		v.alive()
	}
}

// TestR41ServerDrain: a server that goes says so and begins nothing more. Runs have DrainTimeout, those
// that do not end by then are cancelled; their viewers have the end before the connection closes.
func TestR41ServerDrain(t *testing.T) {
	for drain, outcome := range map[time.Duration]string{0: `"cancelled"`, time.Minute: ``} {
		ends := make(chan agloop.RunEnd, 1)
		p, srv, addr := servePuppets(t, agloop.ServerConfig{
			DrainTimeout: drain, Hooks: agloop.Hooks{RunEnded: func(end agloop.RunEnd) { ends <- end }},
		})
		v, idle := newViewer(t, addr, "ann"), newViewer(t, addr, "ann")
		if v.hello.Resumable != control.ResumableProcess {
			t.Errorf("runs are %s", v.hello.Resumable)
		}
		idle.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "u"})
		idle.want(control.NameIdle, &control.Idle{Ref: "f"})
		if drain > 0 {
			v.start("0", namedInput("v", "first"))
			v.events(1)
		}
		v.start("1", namedInput("t", "r"))
		p.count("r", 2, 3, 10)
		v.events(3)
		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(t.Context()) }()
		v.want(control.NameGoing, &control.Going{RetryAfter: 1})
		idle.want(control.NameGoing, &control.Going{RetryAfter: 1})
		idle.WantGoodbye(frame.CloseGoingAway)
		if drain > 0 {
			v.start("2", namedInput("u", "late"))
			v.want(control.NameRejected, &control.Rejected{Ref: "2", Code: "shutting_down"})
			p.end("first") // and the other one goes on
			if _, last := v.ends(); last.of.RunID != "first" {
				t.Errorf("run %s ends", last.of.RunID)
			}
			testkit.Receive(t, "the end", ends)
			p.count("r", 4, 5, 10)
			v.events(2)
			p.end("r")
		}
		if f := v.next(); f.name != "RUN_FINISHED" || !strings.Contains(string(f.body), outcome) {
			t.Errorf("drain %v: the run ends with %s", drain, f.body)
		}
		v.WantGoodbye(frame.CloseGoingAway)
		if err := testkit.Receive(t, "the server is down", down); err != nil {
			t.Error(err)
		}
		if end := testkit.Receive(t, "the end", ends); (drain == 0) != errors.Is(end.Err, agloop.ErrShutdown) {
			t.Errorf("drain %v: the agent ended with %v", drain, end.Err)
		}
	}
}

// TestR12GoneForLong: a run whose client does not come back within Grace is cancelled, or goes on where
// the host says so. Whoever comes later has its end.
func TestR12GoneForLong(t *testing.T) {
	for _, grace := range []time.Duration{1, -1} {
		ends := make(chan agloop.RunEnd, 1)
		p, srv, addr := servePuppets(t, agloop.ServerConfig{
			Runs: agloop.RunsConfig{Grace: grace}, Hooks: agloop.Hooks{RunEnded: func(end agloop.RunEnd) { ends <- end }},
		})
		r := newBreaker(t, addr)
		w := running(t, r.client(t, nil), inputFor("r"))
		p.count("r", 2, 3, 10)
		w.want("started r", "2", "3")
		r.down()
		testkit.Await(t, "nobody sees the run", func() bool { return srv.Stats().Logged.Viewers == 0 })
		rest := []string{"finished r"}
		if grace < 0 {
			p.count("r", 4, 5, 10)
			p.end("r")
			rest = []string{"4", "5", "finished r"}
		}
		end := testkit.Receive(t, "the end", ends)
		if (grace > 0) != errors.Is(end.Err, agloop.ErrAbandoned) {
			t.Errorf("grace %v: the run ended with %v", grace, end.Err)
		}
		endsThere(t, srv, "t", "r")
		r.up()
		w.want(rest...)
		w.wantEnd(nil)
	}
}

// TestR14MemoryShort: logs of runs that have ended go first, then what is older of those that are longest
// without a viewer, one after another. Who asks for it is told so. A viewer keeps what it has not read,
// and runs go on.
func TestR14MemoryShort(t *testing.T) {
	const pieces, size, bound = 240, 500, 1 << 20
	p, srv, addr := servePuppets(t, agloop.ServerConfig{Runs: agloop.RunsConfig{
		WindowEvents: 8, WindowBytes: 4 << 10, LogBytes: bound,
	}})
	piece := strings.Repeat("x", size)
	epochs := map[string]uint64{}
	begin := func(key string) *viewer { // whose run has said so much, of which most is folded
		v := newViewer(t, addr, key)
		v.start("1", namedInput(key, key))
		p.say(key, slices.Repeat([]string{piece}, pieces)...)
		v.events(2 + pieces)
		epochs[key] = v.attachments[1].cursor().Epoch
		testkit.Await(t, "nothing is being folded", func() bool {
			stacks := make([]byte, 1<<20)
			return !bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("(*liveLog).startFolding"))
		})
		return v
	}
	behind := func(key string) string {
		t.Helper()
		return answer(t, addr, key, key, run.Cursor{Epoch: epochs[key], Offset: 1}, false)
	}
	ended := begin("ended")
	p.closes("ended")
	p.end("ended")
	ended.ends()
	endsThere(t, srv, "ended", "ended")
	for i, key := range []string{"away", "later"} {
		begin(key).Reset()
		testkit.Await(t, "nobody sees it", func() bool { return srv.Stats().Logged.Detached == i+1 })
	}
	seen := begin("seen")
	slow := newViewer(t, addr, "seen")

	more := func(n int) { // of a run that is too short to be folded, and takes what it says
		id := fmt.Sprint("host", n)
		if _, err := srv.StartRun(t.Context(), agloop.RunKey{Scope: "host", Thread: id, Run: id}, nil); err != nil {
			t.Fatal(err)
		}
		p.count(id, 2, 2, 3000)
	}
	n := 0
	for i, want := range []map[string]string{
		{"ended": "gone ended", "seen": "from 2"},
		{"ended": "gone ended", "away": "gone trimmed", "seen": "from 2"},
		{"ended": "gone ended", "away": "gone trimmed", "later": "gone trimmed", "seen": "from 2"},
	} {
		for ; srv.Stats().Logged.Shed <= uint64(i); n++ {
			more(n)
			testkit.Await(t, "logs keep to their bound", func() bool { return srv.Stats().Logged.LogBytes <= bound })
		}
		if n := srv.Stats().Logged.Shed; n != uint64(i+1) {
			t.Errorf("%d logs are shed, want %d", n, i+1)
		}
		for key, want := range want {
			if got := behind(key); got != want {
				t.Errorf("%d logs are shed, and of %s comes %s, want %s", i+1, key, got, want)
			}
		}
	}
	slow.attachAt("1", "seen", "seen", run.Cursor{})
	p.closes("seen")
	p.end("seen")
	for _, v := range []*viewer{seen, slow} {
		text, last := v.ends()
		if v == slow && text != strings.Repeat(piece, pieces) || last.name != "RUN_FINISHED" {
			t.Errorf("%d bytes of text came, and %s", len(text), last.name)
		}
	}
	for _, id := range []string{"away", "later"} {
		if srv.Run(agloop.RunKey{Scope: id, Thread: id, Run: id}) == nil {
			t.Errorf("run %s is over", id)
		}
	}
}
