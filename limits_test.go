package agloop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// TestInputTooLargeIsTold: RUN_ERROR says what is wrong before the connection closes, and nothing
// of a run comes between.
func TestInputTooLargeIsTold(t *testing.T) {
	_, agent := gated()
	srv, addr := serve(t, agloop.ServerConfig{Agent: agent, Limits: agloop.Limits{MaxMessage: 4096}})
	for _, active := range []bool{false, true} {
		w := newWire(t, srv, addr)
		if active {
			w.send(inputOf("0", 4096))
			w.await("RUN_STARTED")
		}
		w.Write(testkit.Text(inputOf("1", 4097)))
		ev := w.next()
		if ev.Type != "RUN_ERROR" || ev.Code != "input_too_large" || !strings.Contains(ev.Message, "4096") {
			t.Errorf("got %+v", ev)
		}
		if ev := w.next(); ev.closed != 1009 {
			t.Errorf("then %+v, want close 1009", ev)
		}
		w.Close()
	}
	c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{Resume: agloop.Resume{Off: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for ev, err := range c.Run(t.Context(), &agui.RunAgentInput{ThreadID: "t", RunID: strings.Repeat("r", 12<<20)}) {
		if e, ok := ev.(*agui.RunError); err != nil || !ok || *e.Code != "input_too_large" {
			t.Errorf("the client got %v, %v", ev, err)
		}
	}
}

// TestInputListsAreBounded: messages and tools beyond their limits refuse the input alone.
func TestInputListsAreBounded(t *testing.T) {
	srv, addr := serve(t, agloop.ServerConfig{Agent: hello, Limits: agloop.Limits{MaxInputMessages: 3, MaxInputTools: 2}})
	w := newWire(t, srv, addr)
	input := func(messages, tools int) string {
		list := func(n int, element string) string { return strings.Repeat(","+element, n)[min(n, 1):] }
		return fmt.Sprintf(`{"threadId":"t","runId":"%d-%d","messages":[%s],"tools":[%s]}`, messages, tools,
			list(messages, `{"id":"m","role":"user","content":"x"}`), list(tools, `{"name":"n","description":"d"}`))
	}
	w.send(input(3, 2), input(4, 0), input(0, 3), input(1, 1))
	if got, want := w.ends(4), "3-2 input_too_large input_too_large 1-1"; got != want {
		t.Errorf("ends %s, want %s", got, want)
	}
}

// TestStateComesBack: what a server may send as a snapshot a client may send back.
func TestStateComesBack(t *testing.T) {
	state := []byte(`"` + strings.Repeat("s", 1_048_498) + `"`)
	_, addr := serve(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(_ context.Context, run *agloop.Run) error {
		if run.Input.State != nil && !bytes.Equal(run.Input.State, state) {
			return errors.New("another state")
		}
		return run.Emit(&agui.StateSnapshot{Snapshot: state})
	})})
	c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := &agui.RunAgentInput{ThreadID: "t", Messages: []agui.Message{}, ForwardedProps: []byte(`"what else a client sends"`)}
	for _, in.RunID = range []string{"1", "2"} {
		var types string
		for ev, err := range c.Run(t.Context(), in) {
			if err != nil {
				t.Fatal(err)
			}
			if snap, ok := ev.(*agui.StateSnapshot); ok {
				in.State = snap.Snapshot
			}
			types += string(ev.Type()) + " "
		}
		if types != "RUN_STARTED STATE_SNAPSHOT RUN_FINISHED " || !bytes.Equal(in.State, state) {
			t.Errorf("run %s: %s", in.RunID, types)
		}
	}
}

// TestClientTakesLargerEvents: a server of another make may send some more than ours does.
func TestClientTakesLargerEvents(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Handler: &script{frames: []string{
		`{"type":"RUN_STARTED","threadId":"t","runId":"r"}`,
		`{"type":"CUSTOM","name":"n","value":"` + strings.Repeat("v", 1<<20+100<<10) + `"}`,
		`{"type":"RUN_FINISHED","threadId":"t","runId":"r"}`,
	}}})
	c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := types(t, c, "r"); got != "RUN_STARTED CUSTOM RUN_FINISHED" {
		t.Errorf("events %s", got)
	}
}

// TestMaxEvent: it bounds Emit and SendEvent, whatever it is, and a client with the same limits
// takes the largest.
func TestMaxEvent(t *testing.T) {
	for _, maxEvent := range []int{5000, 6 << 20} {
		limits := agloop.Limits{MaxEvent: maxEvent}
		_, addr := serve(t, agloop.ServerConfig{Limits: limits, Agent: agloop.AgentFunc(func(_ context.Context, run *agloop.Run) error {
			ev := func(n int) *agui.Custom { // of n bytes
				frame := `{"type":"CUSTOM","name":"n","value":""}`
				return &agui.Custom{Name: "n", Value: []byte(`"` + strings.Repeat("v", n-len(frame)) + `"`)}
			}
			err := run.Emit(ev(maxEvent + 1))
			if !errors.Is(err, agloop.ErrEventTooBig) || strings.Contains(err.Error(), "MiB") ||
				!strings.Contains(err.Error(), fmt.Sprint(maxEvent)) || !strings.Contains(err.Error(), "MaxEvent") {
				t.Errorf("one byte too many: %v", err)
			}
			return run.Emit(ev(maxEvent))
		})})
		c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{Limits: limits})
		if err != nil {
			t.Fatal(err)
		}
		if got := types(t, c, "r"); got != "RUN_STARTED CUSTOM RUN_FINISHED" {
			t.Errorf("%d: events %s", maxEvent, got)
		}
		c.Close()
	}
}

// TestRunEndsBehindTheLargestEvent: a cancelled run waits for no room, and its end needs some.
func TestRunEndsBehindTheLargestEvent(t *testing.T) {
	for _, limits := range []agloop.Limits{
		{MaxEvent: 32 << 20},
		{MaxEvent: 32 << 20, HardLimit: 17 << 20},
	} {
		left := make(chan struct{})
		srv, addr := serve(t, agloop.ServerConfig{Limits: limits, Agent: agloop.AgentFunc(func(ctx context.Context, run *agloop.Run) error {
			defer close(left)
			if err := run.Emit(&agui.Custom{Name: "n", Value: []byte(`"` + strings.Repeat("v", 32<<20-100) + `"`)}); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		})})
		w := newWire(t, srv, addr)
		w.send(inputOf("0", 0))
		if got := w.next().Type; got != "RUN_STARTED" {
			t.Fatalf("got %s", got)
		}
		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(t.Context()) }()
		<-left // before anything of the event is read
		if got := w.ends(2); got != "cancelled:0 closed:1001" {
			t.Errorf("the run ended with %s", got)
		}
		w.Close()
		if err := <-down; err != nil {
			t.Error(err)
		}
	}
}

func TestMaxMessageDefaults(t *testing.T) {
	srv, addr := serve(t, agloop.ServerConfig{Agent: hello})
	w := newWire(t, srv, addr)
	w.send(inputOf("0", 10<<20))
	if got := w.ends(1); got != "0" {
		t.Errorf("an input of 10 MiB: %s", got)
	}
	w.Write(testkit.Text(inputOf("1", 10<<20+1)))
	if got := w.ends(2); got != "input_too_large closed:1009" {
		t.Errorf("one byte more: %s", got)
	}
	srv, addr = serve(t, agloop.ServerConfig{Handler: agloop.NopHandler{}})
	w = newWire(t, srv, addr)
	w.send(inputOf("0", 1<<20))
	w.Write(testkit.Text(inputOf("1", 1<<20+1)))
	if got := w.ends(1); got != "closed:1009" {
		t.Errorf("a handler's client: %s", got)
	}
}

// TestEventLimits: a server and its clients with the same limits exchange all that is within them, more
// than the defaults allow, and what is beyond is refused where it is made or comes in.
func TestEventLimits(t *testing.T) {
	nested := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	ops := func(n int) *agui.StateDelta {
		return &agui.StateDelta{Delta: slices.Repeat([]agui.PatchOp{{Op: agui.PatchAdd, Path: "/x", Value: []byte("1")}}, n)}
	}
	for _, limits := range []agloop.Limits{{}, {MaxPatchOps: 3, MaxDepth: 20, MaxID: 40}, {MaxPatchOps: 3000, MaxDepth: 1000, MaxID: 4000}} {
		full, err := limits.WithDefaults()
		if err != nil {
			t.Fatal(err)
		}
		srv, addr := serve(t, agloop.ServerConfig{Limits: limits, Agent: agloop.AgentFunc(func(_ context.Context, run *agloop.Run) error {
			for _, ev := range []agui.Event{&agui.StateSnapshot{Snapshot: nested(full.MaxDepth)}, ops(full.MaxPatchOps + 1)} {
				if _, ok := errors.AsType[*agloop.FieldError](run.Emit(ev)); !ok {
					return errors.New("what is beyond the limits was emitted")
				}
			}
			if err := run.Emit(&agui.StateSnapshot{Snapshot: nested(full.MaxDepth - 1)}); err != nil {
				return err
			}
			if err := run.Emit(&agui.StateSnapshot{Snapshot: []byte("{}")}); err != nil {
				return err
			}
			return run.Emit(ops(full.MaxPatchOps))
		})})
		for _, resume := range []agloop.Resume{{}, {Off: true}} {
			c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{Limits: limits, Resume: resume})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for _, tc := range []struct {
				id    int // bytes
				depth int
				want  string
			}{
				{full.MaxID, full.MaxDepth - 1, "RUN_STARTED STATE_SNAPSHOT STATE_SNAPSHOT STATE_DELTA RUN_FINISHED"},
				{full.MaxID + 1, 1, "RUN_ERROR"},
			} {
				var types []string
				id := strings.Repeat("r", tc.id-4) + fmt.Sprintf("%4v", resume.Off)[:4]
				for ev, err := range c.Run(t.Context(), &agui.RunAgentInput{ThreadID: id, RunID: id, State: nested(tc.depth)}) {
					if err != nil {
						types = append(types, err.Error())
						break
					}
					types = append(types, string(ev.Type()))
				}
				if got := strings.Join(types, " "); got != tc.want && !(tc.want == "RUN_ERROR" && strings.Contains(got, fmt.Sprintf("longer than %d bytes", full.MaxID))) {
					t.Errorf("limits %+v, Resume.Off %v, ids of %d bytes: %s, want %s", limits, resume.Off, tc.id, got, tc.want)
				}
			}
		}
		w := newWire(t, srv, addr)
		w.send(fmt.Sprintf(`{"threadId":"t","runId":"deep","messages":[],"state":%s}`, nested(full.MaxDepth)))
		if ev := w.next(); ev.Type != "RUN_ERROR" || !strings.Contains(ev.Message, fmt.Sprintf("deeper than %d levels", full.MaxDepth)) {
			t.Errorf("limits %+v: an input that nests too deep got %+v", limits, ev)
		}
	}
}
