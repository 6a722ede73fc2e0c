package agloop_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

// wire is a client of an agent that sends inputs as it likes, and sees every frame.
type wire struct {
	*testkit.Peer
	t    *testing.T
	srv  *agloop.Server
	sent uint64
}

// newWire connects to a server that has no other client.
func newWire(t *testing.T, srv *agloop.Server, addr string) *wire {
	t.Helper()
	return &wire{testkit.Dial(t, addr), t, srv, srv.Stats().MessagesIn}
}

// inputOf is an input of the run named id; padded fills it up to so many bytes.
func inputOf(id string, padded int) string {
	in := `{"threadId":"t","runId":"` + id + `","messages":[]}`
	return in + strings.Repeat(" ", max(0, padded-len(in)))
}

// inputs counts what inputOnce has made.
var inputs atomic.Int64

// inputOnce is an input that nobody has sent yet, on a thread of its own: runs of a principal that
// have the same name are one, and those of one thread follow each other. Its run id begins with id.
func inputOnce(id string) string {
	n := inputs.Add(1)
	return fmt.Sprintf(`{"threadId":"t%d","runId":"%s-%d","messages":[]}`, n, id, n)
}

// send sends inputs and returns when the server has them.
func (w *wire) send(inputs ...string) {
	w.t.Helper()
	var frames []byte
	for _, in := range inputs {
		frames = append(frames, testkit.Text(in)...)
	}
	w.Put(frames)
	w.sent += uint64(len(inputs))
	testkit.Await(w.t, "the server has the inputs", func() bool { return w.srv.Stats().MessagesIn >= w.sent })
}

// wireEvent is what the tests look at in an event, or in a close frame.
type wireEvent struct {
	Type, RunID, Code, Message string
	Outcome                    struct{ Type string }
	closed                     int
}

// next is the next event, or the close frame.
func (w *wire) next() (ev wireEvent) {
	w.t.Helper()
	op, p, err := w.Message()
	switch {
	case err != nil:
		w.t.Fatal(err)
	case op == 8 && len(p) >= 2:
		ev.closed = int(binary.BigEndian.Uint16(p))
	case op != 1:
		w.t.Fatalf("a frame of opcode %d", op)
	default:
		if err := json.Unmarshal(p, &ev); err != nil {
			w.t.Fatalf("%v: %.200s", err, p)
		}
	}
	return ev
}

// await reads up to an event of the given type.
func (w *wire) await(typ string) (ev wireEvent) {
	w.t.Helper()
	for ev.Type != typ {
		if ev = w.next(); ev.closed != 0 {
			w.t.Fatalf("closed with %d before %s", ev.closed, typ)
		}
	}
	return ev
}

// ends reads up to n terminal events, or the close frame, and says what they were.
func (w *wire) ends(n int) string {
	w.t.Helper()
	var all []string
	for len(all) < n {
		switch ev := w.next(); {
		case ev.closed != 0:
			return strings.Join(append(all, fmt.Sprint("closed:", ev.closed)), " ")
		case ev.Type == "RUN_FINISHED" && ev.Outcome.Type != "":
			all = append(all, ev.Outcome.Type+":"+ev.RunID)
		case ev.Type == "RUN_FINISHED":
			all = append(all, ev.RunID)
		case ev.Type == "RUN_ERROR":
			all = append(all, ev.Code)
		}
	}
	return strings.Join(all, " ")
}

// gated is an agent whose runs each end with a token.
func gated() (chan struct{}, agloop.Agent) {
	gate := make(chan struct{}, 100)
	return gate, agloop.AgentFunc(func(ctx context.Context, _ *agloop.Run) error {
		select {
		case <-gate:
		case <-ctx.Done():
		}
		return nil
	})
}

func pass(gate chan struct{}, n int) {
	for range n {
		gate <- struct{}{}
	}
}

// TestSurplusInputsAreRefusedInTurn: RUN_ERROR carries no run id, so a refusal that came at once
// would be taken for the end of the run under way.
func TestSurplusInputsAreRefusedInTurn(t *testing.T) {
	gate, agent := gated()
	srv, addr := serve(t, agloop.ServerConfig{Agent: agent})
	w := newWire(t, srv, addr)
	w.send(inputOf("0", 0))
	w.await("RUN_STARTED")
	for i := range 11 {
		w.send(inputOf(fmt.Sprint(i+1), 0))
	}
	pass(gate, 1)
	if got := w.ends(1); got != "0" {
		t.Fatalf("first came %s", got)
	}
	w.await("RUN_STARTED") // of 1: seven wait, and three refusals
	w.send(inputOf("12", 0))
	pass(gate, 9)
	if got, want := w.ends(12), "1 2 3 4 5 6 7 8"+strings.Repeat(" too_many_inputs", 3)+" 12"; got != want {
		t.Errorf("ends %s, want %s", got, want)
	}
	pass(gate, 1)
	w.send(inputOf("13", 0))
	if got := w.ends(1); got != "13" {
		t.Errorf("the connection went on with %s", got)
	}
}

// TestWaitingInputsAreBoundedByBytes: all of them have what one may have.
func TestWaitingInputsAreBoundedByBytes(t *testing.T) {
	gate, agent := gated()
	srv, addr := serve(t, agloop.ServerConfig{Agent: agent, Limits: agloop.Limits{MaxMessage: 4096}})
	w := newWire(t, srv, addr)
	w.send(inputOf("0", 4096))
	w.await("RUN_STARTED")
	// The largest is taken when nothing waits; then nothing more, until it is gone.
	w.send(inputOf("1", 4096), inputOf("2", 0))
	pass(gate, 1)
	w.ends(1)
	w.await("RUN_STARTED")
	w.send(inputOf("3", 2000), inputOf("4", 3000), inputOf("5", 1000))
	pass(gate, 3)
	if got, want := w.ends(5), "1 too_many_inputs 3 too_many_inputs 5"; got != want {
		t.Errorf("ends %s, want %s", got, want)
	}
}

// TestRefusalsHeedBackpressure: a client that sends without reading is not cut for its refusals,
// which cost a count until they can leave.
func TestRefusalsHeedBackpressure(t *testing.T) {
	const surplus = 60_000
	gate, agent := gated()
	srv, addr := serve(t, agloop.ServerConfig{Agent: agent, Limits: agloop.Limits{
		SoftLimit: 4 << 10, MessageBatchTimeout: -1,
	}})
	w := newWire(t, srv, addr)
	w.send(inputOf("0", 0))
	w.await("RUN_STARTED")
	inputs := make([]string, 8+surplus)
	for i := range inputs {
		inputs[i] = inputOf("n", 0)
	}
	w.send(inputs...)
	pass(gate, 9)
	finished, refused := 0, 0
	for finished+refused < len(inputs)+1 {
		switch ev := w.next(); {
		case ev.closed != 0:
			t.Fatalf("closed with %d after %d refusals", ev.closed, refused)
		case ev.Type == "RUN_FINISHED":
			finished++
		case ev.Type == "RUN_ERROR":
			refused++
		}
	}
	if finished != 9 {
		t.Errorf("%d runs, %d refusals", finished, refused)
	}
}

// TestWaitingInputsGoWithTheConnection: nothing of them is kept, and none runs.
func TestWaitingInputsGoWithTheConnection(t *testing.T) {
	runs := make(chan string, 10)
	srv, addr := serve(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(ctx context.Context, run *agloop.Run) error {
		runs <- run.Input.RunID
		<-ctx.Done()
		return ctx.Err()
	})})
	w := newWire(t, srv, addr)
	w.send(inputOf("0", 0))
	w.await("RUN_STARTED")
	for i := range 12 {
		w.send(inputOf(fmt.Sprint(i+1), 1000))
	}
	testkit.Await(t, "the waiting inputs are held", func() bool { return srv.Held() >= 8*1000 })
	w.Close()
	testkit.Await(t, "the runs are over and nothing is held", func() bool { return srv.Stats().Runs == 0 && srv.Held() == 0 })
	if len(runs) != 1 {
		t.Errorf("%d runs", len(runs))
	}
}
