package agloop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// TestR4OneEndOnCancel: elsewhere (a2a-rs #63) a run that was cancelled had two ends. Here several clients
// cancel a run while its agent ends by itself, with an end of its own, without, or with an error: each
// viewer, at once and later, has one end, and the same, and nothing behind it.
func TestR4OneEndOnCancel(t *testing.T) {
	const runs = 60
	var gates [runs]chan struct{}
	for i := range gates {
		gates[i] = make(chan struct{})
	}
	srv, addr := serveEach(t, agloop.ServerConfig{Logger: quiet, Agent: agloop.AgentFunc(func(_ context.Context, r *agloop.Run) error {
		i, err := strconv.Atoi(r.Input.RunID)
		if err != nil {
			return err
		}
		m, err := r.TextMessage()
		if err != nil {
			return err
		}
		<-gates[i]
		switch i % 3 {
		case 0:
			return errors.New("a failure")
		case 1:
			return errors.Join(m.Close(), r.Emit(&agui.RunFinished{Result: []byte("1")}))
		}
		return m.Close()
	})})
	starter, other, late := newViewer(t, addr, "ann"), newViewer(t, addr, "ann"), newViewer(t, addr, "ann")
	for i := range runs {
		id := fmt.Sprint(i)
		starter.start(id, namedInput("t"+id, id))
		starter.await("TEXT_MESSAGE_START")
		other.attachAt(id, "t"+id, id, run.Cursor{})
		other.await("TEXT_MESSAGE_START")
	}
	for i := range runs {
		id := fmt.Sprint(i)
		cancel := func(v *viewer) { v.ask(control.NameCancel, &control.Cancel{ThreadID: "t" + id, RunID: id}) }
		switch i / 3 % 3 {
		case 0:
			close(gates[i])
			cancel(other)
		case 1:
			cancel(other)
			close(gates[i])
		default:
			go close(gates[i])
			cancel(other)
		}
		cancel(starter)
	}
	for i := range runs {
		endsThere(t, srv, fmt.Sprint("t", i), fmt.Sprint(i))
		late.attachAt(fmt.Sprint(i), fmt.Sprint("t", i), fmt.Sprint(i), run.Cursor{})
	}
	ends := map[string][]byte{}
	for _, v := range []*viewer{starter, other, late} {
		ended := map[*attachment]bool{}
		v.attachAt("over", "t", "nobody", run.Cursor{Epoch: 1})
		for f := v.next(); f.name != control.NameGone; f = v.next() {
			if ended[f.of] {
				t.Errorf("run %s: %s comes behind the end", f.of.RunID, f.body)
			}
			if f.name != "RUN_FINISHED" && f.name != "RUN_ERROR" {
				continue
			}
			ended[f.of] = true
			if end := ends[f.of.RunID]; end == nil {
				ends[f.of.RunID] = bytes.Clone(f.body)
			} else if !bytes.Equal(end, f.body) {
				t.Errorf("run %s ends with %s, and with %s", f.of.RunID, end, f.body)
			}
		}
		if len(ended) != runs {
			t.Errorf("%d runs of %d have an end", len(ended), runs)
		}
	}
	if n := srv.Stats().Logged.Ended; n.Success+n.Cancelled+n.Error != runs {
		t.Errorf("%d runs ended as %+v", runs, n)
	}
}

// TestR18StopReachesTheAgent: elsewhere (ag-ui #2288) a stop closed the stream and the agent went on. Here
// leaving a run leaves its agent alone, and a cancel, of whichever client, ends its context with
// ErrCancelled, also of an agent that looks at no context and only emits.
func TestR18StopReachesTheAgent(t *testing.T) {
	more := &agui.Custom{Name: "more", Value: []byte("1")}
	type told struct {
		cause, err error
		late       int // events that were taken though it was stopped
	}
	ends := make(chan told, 1)
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(ctx context.Context, r *agloop.Run) (err error) {
		late := 0
		for err = r.Emit(more); err == nil; err = r.Emit(more) {
			if r.Input.RunID == "waits" {
				if ctx.Err() != nil {
					late++
				}
				<-ctx.Done()
			}
		}
		ends <- told{context.Cause(ctx), err, late}
		return err
	})})
	stopped := uint64(0)
	for _, id := range []string{"waits", "emits"} {
		for _, by := range []string{"itself", "another", "one that has left"} {
			t.Run(id+", stopped by "+by, func(t *testing.T) {
				thread := strings.ReplaceAll(by, " ", "-")
				c, another := newBreaker(t, addr).client(t, nil), newBreaker(t, addr).client(t, nil)
				stops, begun, heard := c, make(chan struct{}), make(chan string, 1)
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				hear := func(seq iter.Seq2[agui.Event, error]) {
					n, last := 0, ""
					for ev, err := range seq {
						if last = fmt.Sprint(err); err == nil {
							last = string(ev.Type())
						}
						if n++; n == 2 {
							close(begun)
						}
					}
					heard <- last
				}
				go hear(c.Run(ctx, inThread(thread, id)))
				testkit.Receive(t, "events", begun)
				switch by {
				case "another":
					stops = another
				case "one that has left":
					leave()
					testkit.Receive(t, "the end of the loop", heard)
					testkit.Await(t, "nobody sees the run", func() bool { return srv.Stats().Logged.Detached == 1 })
					if len(ends) != 0 {
						t.Error("who has left has stopped the run")
					}
				}
				if err := stops.Cancel(t.Context(), thread, id); err != nil {
					t.Error(err)
				}
				end := testkit.Receive(t, "the agent's end", ends)
				if end.cause != agloop.ErrCancelled || !errors.Is(end.err, context.Canceled) || end.late > 0 {
					t.Errorf("the context ended with %v, Emit with %v after %d more", end.cause, end.err, end.late)
				}
				if by != "one that has left" {
					if last := testkit.Receive(t, "the end of the loop", heard); last != "RUN_FINISHED" {
						t.Errorf("the last was %s", last)
					}
				}
				stopped++
				testkit.Await(t, "it has ended as cancelled", func() bool { return srv.Stats().Logged.Ended.Cancelled == stopped })
			})
		}
	}
}

// TestR26StrangersNeitherJoinNorStop: elsewhere (ihub-apps #1689) whoever knew the name of a run read it and
// stopped it. Here another principal and another session are told what they are told of a run that never
// was, whom AuthorizeRun lets read alone does no more, and a cancel of theirs changes nothing.
func TestR26StrangersNeitherJoinNorStop(t *testing.T) {
	p, srv, addr := servePuppets(t, agloop.ServerConfig{Logger: quiet, Runs: agloop.RunsConfig{
		AuthorizeRun: func(_ context.Context, by agloop.Principal, action agloop.Action, k agloop.RunKey) (agloop.RunKey, error) {
			switch {
			case by.Key != "reader":
				return k, nil
			case action == agloop.ActionJoin || action == agloop.ActionFollow:
				k.Scope = "ann"
				return k, nil
			}
			return k, errors.New("may not")
		},
	}})
	owner := newViewer(t, addr, "ann")
	owner.start("1", namedInput("t", "r"))
	p.count("r", 2, 4, 10)
	owner.events(4)
	at := owner.attachments[1].cursor()
	for _, key := range []string{"bob", ""} {
		story := func(id string) string { // of who does all there is with a run
			v := newViewer(t, addr, key)
			for _, at := range []run.Cursor{{}, at, {Epoch: at.Epoch, Offset: 1}, {Epoch: at.Epoch, Offset: at.Offset + 1}} {
				v.attachAt("a", "t", id, at)
			}
			v.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "t"})
			v.ask(control.NameFollow, &control.Follow{Ref: "g", ThreadID: "t", After: &control.After{
				RunID: id, Epoch: run.FormatEpoch(at.Epoch), Offset: 1,
			}})
			for range 2 {
				v.ask(control.NameCancel, &control.Cancel{ThreadID: "t", RunID: id})
				v.ask(control.NameSteer, &control.Steer{Ref: "s", ThreadID: "t", RunID: id, ID: "i", Text: "x"})
			}
			v.start("x", namedInput("t", id)) // which is a run of its own, and cancelled
			var told []string
			for name := ""; name != "RUN_FINISHED"; {
				f := v.next()
				name = f.name
				told = append(told, strings.ReplaceAll(name+" "+string(f.body), `"`+id+`"`, `"it"`))
			}
			return strings.Join(told, "\n")
		}
		if of, none := story("r"), story("none"); of != none {
			t.Errorf("%q is told\n%s\nand of a run that never was\n%s", key, of, none)
		}
	}
	reader := newViewer(t, addr, "reader")
	gone := func(ref string) { reader.want(control.NameGone, &control.Gone{Ref: ref}) }
	reader.attachAt("a", "t", "r", at)
	reader.ask(control.NameCancel, &control.Cancel{ThreadID: "t", RunID: "r"})
	reader.ask(control.NameSteer, &control.Steer{Ref: "s", ThreadID: "t", RunID: "r", ID: "i", Text: "x"})
	gone("s")
	reader.start("x", namedInput("t", "r"))
	gone("x")
	p.count("r", 5, 6, 10)
	p.end("r")
	for _, v := range []*viewer{owner, reader} {
		if got := v.events(3); !strings.Contains(string(got[2]), "RUN_FINISHED") || strings.Contains(string(got[2]), "cancelled") {
			t.Errorf("the run ends with %s", got[2])
		}
	}
	if n := srv.Stats().Logged.Started; n != 1 {
		t.Errorf("%d agents were called", n)
	}
}
