package agloop_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// TestR41RecoveryTellsTheEnd: elsewhere (Cloudflare agents #1485) a client showed a run as going on for ever,
// since the run ended while the connection was recovered. Here the end comes to whoever has not had it,
// also where it was sent and lost, and the client is of use.
func TestR41RecoveryTellsTheEnd(t *testing.T) {
	p, srv, addr := servePuppets(t, agloop.ServerConfig{})
	for name, tt := range map[string]struct {
		lost bool // the server has sent the end
		end  func(id string)
		want string
	}{
		"ended meanwhile":       {false, p.end, "finished "},
		"the end was lost":      {true, p.end, "finished "},
		"failed meanwhile":      {false, p.fail, "RUN_ERROR"},
		"the error was lost":    {true, p.fail, "RUN_ERROR"},
		"cancelled elsewhere":   {false, func(id string) { cancelElsewhere(t, addr, id) }, "finished "},
		"the cancel's end lost": {true, func(id string) { cancelElsewhere(t, addr, id) }, "finished "},
	} {
		t.Run(name, func(t *testing.T) {
			id := strings.ReplaceAll(name, " ", "-")
			r, far := newBreaker(t, addr), newBreaker(t, addr)
			c, viewer := r.client(t, nil), far.client(t, nil)
			w := running(t, c, inThread(id, id))
			p.count(id, 2, 3, 10)
			follow := watching(t, func(ctx context.Context) iter.Seq2[agui.Event, error] { return viewer.Follow(ctx, id) })
			for _, w := range []*watch{w, follow} {
				w.want("started "+id, "2", "3")
			}
			for _, b := range []*breaker{r, far} {
				if b.deafen(); !tt.lost {
					b.down()
				}
			}
			if !tt.lost {
				testkit.Await(t, "nobody sees the run", func() bool {
					l := srv.Run(agloop.RunKey{Scope: "ann", Thread: id, Run: id})
					return l != nil && l.Viewers() == 0
				})
			}
			tt.end(id)
			endsThere(t, srv, id, id)
			for _, b := range []*breaker{r, far} {
				b.cutAll(cutReset)
				b.up()
			}
			want := tt.want
			if strings.HasSuffix(want, " ") {
				want += id
			}
			w.want(want)
			w.wantEnd(nil)
			follow.want(want)
			next := running(t, c, inThread(id, id+"-next"))
			p.end(id + "-next")
			next.want("started "+id+"-next", "finished "+id+"-next")
			next.wantEnd(nil)
			follow.want("started "+id+"-next", "finished "+id+"-next")
		})
	}
}

// cancelElsewhere has another client stop a run.
func cancelElsewhere(t *testing.T, addr, id string) {
	t.Helper()
	v := newViewer(t, addr, "ann")
	v.ask(control.NameCancel, &control.Cancel{ThreadID: id, RunID: id})
	v.alive()
}

// TestR12SequencesOfOneRun: elsewhere (Cloudflare agents #1742) a client that resumed twice had the text
// twice. Here several sequences of a run are begun while the client is still recovering: one goes on and
// has the text once, the others say that it was taken from them.
func TestR12SequencesOfOneRun(t *testing.T) {
	const sequences = 4
	p, _, addr := servePuppets(t, agloop.ServerConfig{})
	for i := range 8 {
		id := fmt.Sprint(i)
		r := newBreaker(t, addr)
		c := r.client(t, nil)
		type heard struct {
			text string
			err  error
		}
		ended, begun := make(chan heard, sequences), make(chan struct{}, 1)
		hear := func(seq iter.Seq2[agui.Event, error]) {
			var h heard
			for ev, err := range seq {
				if e, ok := ev.(*agui.TextMessageContent); ok {
					h.text += e.Delta
					select {
					case begun <- struct{}{}:
					default:
					}
				}
				h.err = err
			}
			ended <- h
		}
		go hear(c.Run(t.Context(), inThread(id, id)))
		p.say(id, "3 ", "4 ")
		testkit.Receive(t, "text", begun)
		r.cutAll(cutReset)
		for range sequences - 1 {
			go hear(c.Attach(t.Context(), id, id, agloop.Cursor{}))
		}
		p.add(id, "5 ", "6 ")
		for range sequences - 1 {
			h := testkit.Receive(t, "the end of a sequence", ended)
			gone, ok := errors.AsType[*agloop.GoneError](h.err)
			if !ok || gone.Reason != control.ReasonRevoked || !strings.HasPrefix("3 4 5 6 ", h.text) {
				t.Errorf("run %s: a sequence has %q and ended with %v", id, h.text, h.err)
			}
		}
		p.add(id, "7 ")
		p.closes(id)
		p.end(id)
		if h := testkit.Receive(t, "the end of the run", ended); h.err != nil || h.text != "3 4 5 6 7 " {
			t.Errorf("run %s: the last sequence has %q and ended with %v", id, h.text, h.err)
		}
	}
}

// TestR40CursorIsOfTheLog: elsewhere (langgraphjs #2689) a cursor was the number of an event on its
// connection, so the next connection went on somewhere else. Here it is the place in the log: however late
// a client has joined, over however many connections, and whatever else comes over them.
func TestR40CursorIsOfTheLog(t *testing.T) {
	p, srv, addr := servePuppets(t, agloop.ServerConfig{})
	startThere(t, srv, "t", "r")
	startThere(t, srv, "u", "x")
	both := func(from, to uint64) { // in turn
		for ; from <= to; from++ {
			p.count("r", from, from, 10)
			p.count("x", from, from, 10)
		}
	}
	both(2, 9)
	v := newViewer(t, addr, "ann")
	v.attachAt("1", "t", "r", run.Cursor{})
	at := v.next().of.cursor()
	at.Offset = 6

	r := newBreaker(t, addr)
	first := r.client(t, nil)
	stands := func(c *agloop.Client, offset uint64) {
		t.Helper()
		testkit.Await(t, fmt.Sprint(offset, " is applied"), func() bool { return c.Cursor("t", "r").Offset == offset })
		if got := c.Cursor("t", "r").Epoch; got != at.Epoch {
			t.Errorf("the epoch is %x, want %x", got, at.Epoch)
		}
	}
	other := watching(t, func(ctx context.Context) iter.Seq2[agui.Event, error] {
		return first.Attach(ctx, "u", "x", agloop.Cursor{})
	})
	w := attaching(t, first, "r", at)
	other.want("started x", "2", "3", "4", "5", "6", "7", "8", "9")
	w.want("7", "8", "9")
	stands(first, 9)
	for n := uint64(10); n < 20; n++ {
		r.cutAll(cutReset)
		both(n, n)
		other.want(fmt.Sprint(n))
		w.want(fmt.Sprint(n))
		stands(first, n)
	}
	at = first.Cursor("t", "r")
	first.Close()
	second := r.client(t, nil)
	w = attaching(t, second, "r", at)
	both(20, 20)
	w.want("20")
	stands(second, 20)
}

// busyApplication keeps its text, and each cursor with the text that was stored in one write with it.
type busyApplication struct {
	text   string
	stored []textAt
}

type textAt struct {
	offset uint64
	text   string
}

func (b *busyApplication) Load(string, string) (agloop.Cursor, error) { return agloop.Cursor{}, nil }

func (b *busyApplication) Save(_, _ string, at agloop.Cursor) error {
	b.stored = append(b.stored, textAt{at.Offset, b.text})
	return nil
}

// TestR45FoldBehindABusyApplication: a fold comes while the application is in the middle of an event, of
// which the server has folded what follows. The text is that of all pieces, and each cursor is behind
// exactly the pieces that were applied.
func TestR45FoldBehindABusyApplication(t *testing.T) {
	const most = 2000
	p, _, addr := servePuppets(t, agloop.ServerConfig{Runs: agloop.RunsConfig{WindowEvents: 8}})
	other := newViewer(t, addr, "ann") // who hears everything, so that the run goes on
	app := new(busyApplication)
	c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{
		Header: map[string][]string{"Authorization": {"ann"}}, MaxPending: 2 << 10, Cursors: app, Protocols: []string{wireProtocol()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	next, folds := uint64(3), 0
	more := func() { // while the application is in the middle of an event
		p.do("r", func(r *agloop.Run) error {
			for end := next + 200; next < end; next++ {
				if err := r.Emit(&agui.TextMessageContent{MessageID: "m", Delta: fmt.Sprint(next, " ")}); err != nil {
					return err
				}
			}
			return nil
		})
		for other.attachments[1] == nil || other.attachments[1].received < next-1 {
			other.next()
		}
		if next > most {
			p.closes("r")
			p.end("r")
		}
	}
	for ev, err := range c.Run(t.Context(), inThread("t", "r")) {
		if err != nil {
			t.Fatal(err)
		}
		switch e := ev.(type) {
		case *agui.RunStarted:
			other.attachAt("1", "t", "r", run.Cursor{})
			p.say("r")
		case *agui.TextMessageStart:
			more()
		case *agui.TextMessageContent:
			app.text += e.Delta
			if strings.Count(e.Delta, " ") > 1 {
				folds++
			}
			if strings.HasSuffix(e.Delta, fmt.Sprint(next-1, " ")) && next < most {
				more()
			}
		}
	}
	var want strings.Builder
	wants := map[uint64]string{1: "", 2: ""}
	for i := uint64(3); i < next; i++ {
		fmt.Fprint(&want, i, " ")
		wants[i] = want.String()
	}
	wants[next], wants[next+1] = want.String(), want.String()
	if app.text != want.String() {
		t.Errorf("the text is %.300q", app.text)
	}
	for _, at := range app.stored {
		if at.text != wants[at.offset] {
			t.Errorf("at cursor %d the text has %d bytes, want %d", at.offset, len(at.text), len(wants[at.offset]))
		}
	}
	if last := app.stored[len(app.stored)-1]; folds == 0 || last.offset != next+1 {
		t.Errorf("%d folds came, and the last cursor is %d, want %d", folds, last.offset, next+1)
	}
}
