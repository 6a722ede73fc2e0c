package run_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/run"
)

// task is one thing that an agent is told to do.
type task struct {
	verb string     // a step's: emit, end, listen, take, ignore
	ev   agui.Event // to emit
	how  int        // to end
}

// modelEventMost is MaxEvent of the runs.
const modelEventMost = 32 << 10

// Ways in which an agent ends. From endFinished on it emits the terminal event itself.
const (
	endNil = iota
	endError
	endPublic
	endPanic
	endGoexit
	endFinished
	endInterrupts
	endFailed
	endFinishedAndError
)

// ending is the terminal event of an agent that emits it itself.
func ending(how int) agui.Event {
	switch how {
	case endInterrupts:
		return &agui.RunFinished{Outcome: &agui.Outcome{
			Type: agui.OutcomeInterrupt, Interrupts: []agui.Interrupt{{ID: "i1", Reason: "r"}, {ID: "i2", Reason: "r"}},
		}}
	case endFailed:
		return &agui.RunError{Message: "own", Code: new("own")}
	}
	return &agui.RunFinished{}
}

var errPublic = &agui.PublicError{Code: "public", Message: "public"}

// puppet is an agent that does what it is told, one task after another. It notes what the run has tried to
// send, so that what it was refused is known as well.
type puppet struct {
	told chan struct{} // holds a token while there are tasks

	mu       sync.Mutex
	tasks    []task
	attempts []attempt
	errs     []error // of its emits
	took     []bool  // what became of the texts that it has taken
	called   int
	returned bool
	ended    time.Time // when it, or its hub, has first tried to end the run
	released int       // times that its place was given back
	ignores  bool

	onCall func(context.Context) // nil is skipped
	ctx    context.Context       // once it was called
}

// attempt is one event that was encoded to be sent.
type attempt struct {
	text string
	bad  bool // it could not be
}

func newPuppet() *puppet { return &puppet{told: make(chan struct{}, 1)} }

// tell gives the agent something to do.
func (p *puppet) tell(t task) {
	p.locked(func() { p.tasks = append(p.tasks, t) })
	select {
	case p.told <- struct{}{}:
	default:
	}
}

// next is the next task, false where there is none.
func (p *puppet) next() (t task, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.tasks) == 0 {
		return t, false
	}
	t, p.tasks = p.tasks[0], p.tasks[1:]
	return t, true
}

// locked does something under the puppet's lock.
func (p *puppet) locked(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// start is a start of a run whose agent is the puppet.
func (p *puppet) start(input *agui.RunAgentInput, scope string, hash byte) *run.Start {
	s := startInput(input, nil)
	s.Key.Scope, s.Hash, s.MaxEvent = scope, [32]byte{hash}, modelEventMost
	s.Released = func() { p.locked(func() { p.released++ }) }
	s.Do = func(ctx context.Context, l *run.Live) error {
		return run.Do(ctx, input, &run.Setup{
			Agent: run.AgentFunc(p.run), Scope: scope, Encoder: p, Live: l, MaxEvent: modelEventMost, Log: quiet,
		})
	}
	return s
}

// AppendEvent implements run.Encoder.
func (p *puppet) AppendEvent(dst []byte, ev agui.Event) ([]byte, error) {
	b, err := encodeHalves(ev)
	p.locked(func() {
		p.attempts = append(p.attempts, attempt{string(b), err != nil})
		if isEnd(ev) && p.ended.IsZero() {
			p.ended = time.Now()
		}
	})
	return append(dst, b...), err
}

// encodeHalves encodes an event, in whose texts <hi> and <lo> become the halves of a surrogate pair: Go cannot
// write these, other peers do.
func encodeHalves(ev agui.Event) ([]byte, error) {
	b, err := event.Append(nil, ev)
	if err == nil && (bytes.Contains(b, []byte("<hi>")) || bytes.Contains(b, []byte("<lo>"))) {
		b = []byte(halves.Replace(string(b)))
	}
	return b, err
}

var halves = strings.NewReplacer("<hi>", `\ud83d`, "<lo>", `\uDE00`)

func (p *puppet) run(ctx context.Context, r *run.Run) error {
	if p.onCall != nil {
		p.onCall(ctx)
	}
	p.locked(func() { p.called, p.ctx = p.called+1, ctx })
	defer p.locked(func() { p.returned = true })
	for {
		for t, ok := p.next(); ok; t, ok = p.next() {
			if over, err := p.do(ctx, r, t); over {
				return err
			}
		}
		done := ctx.Done()
		if p.ignores {
			done = nil
		}
		select {
		case <-done:
			return ctx.Err()
		case <-p.told:
		}
	}
}

// do does one task, and reports whether it was the last one.
func (p *puppet) do(ctx context.Context, r *run.Run, t task) (over bool, err error) {
	switch t.verb {
	case "emit":
		err = r.Emit(t.ev)
		p.locked(func() { p.errs = append(p.errs, err) })
	case "listen":
		r.Steering()
	case "take":
		var ok bool
		if _, ok, err = r.TakeSteer(); ok || err != nil {
			p.locked(func() { p.took = append(p.took, ok) })
		}
	case "ignore":
		p.ignores = true
	case "end":
		return true, endBy(r, t.how)
	}
	return err != nil && ctx.Err() != nil && !p.ignores, err
}

func endBy(r *run.Run, how int) error {
	if how >= endFinished {
		_ = r.Emit(ending(how)) // the log tells what became of it
	}
	switch how {
	case endError, endFinishedAndError:
		return errOdd
	case endPublic:
		return errPublic
	case endPanic:
		panic("boom")
	case endGoexit:
		runtime.Goexit()
	}
	return nil
}

// eventSamples are events of every type, once a game was made.
var eventSamples []agui.Event

// eventsOf are n events of a kind; from the fifth kind on of all types, at random.
func eventsOf(n, kind int) (list []agui.Event) {
	content := func(i int) agui.Event {
		return &agui.TextMessageContent{MessageID: "m", Delta: fmt.Sprintf("%d,", i)}
	}
	patch := func(i int) agui.Event {
		op := agui.PatchOp{Op: agui.PatchAdd, Path: fmt.Sprintf("/k%d", i%3), Value: json.RawMessage(fmt.Sprint(i))}
		return &agui.StateDelta{Delta: []agui.PatchOp{op}}
	}
	switch kind {
	case 0:
		list = append(list, &agui.TextMessageStart{MessageID: "m", Role: agui.RoleAssistant})
		for i := range n {
			list = append(list, content(i))
		}
		return list
	case 1:
		return append(list, &agui.TextMessageEnd{MessageID: "m"})
	case 2: // a snapshot behind patches, with text between
		for i := range n {
			list = append(list, patch(i), content(i))
		}
		return append(list, &agui.StateSnapshot{Snapshot: json.RawMessage(`{"k0":"s"}`)}, patch(n))
	case 3: // larger than what shares memory, larger than may be, and malformed
		for _, size := range []int{20 << 10, 40 << 10} {
			list = append(list, &agui.Custom{Name: "big", Value: json.RawMessage(`"` + strings.Repeat("x", size) + `"`)})
		}
		return append(list, &agui.Custom{Name: "a\xff"})
	case 4:
		for i := range n {
			list = append(list, patch(i))
		}
		return list
	}
	s := &streams{
		rnd: rand.New(rand.NewPCG(uint64(kind), uint64(n))), samples: eventSamples, stateful: kind%2 == 0, tagged: kind%3 == 0,
	}
	for len(list) < n {
		switch ev := s.next(); ev.(type) {
		case *agui.RunFinished, *agui.RunError: // of which there is one, see end
		default:
			list = append(list, ev)
		}
	}
	return list
}

// userMessage is the id of the message of a user that an event begins.
func userMessage(text string) (id string, ok bool) {
	if !strings.Contains(text, `"TEXT_MESSAGE_START"`) {
		return "", false
	}
	start, ok := decodedEvent(text).(*agui.TextMessageStart)
	if !ok || start.Role != agui.RoleUser {
		return "", false
	}
	return start.MessageID, true
}

// isCancelled reports whether an emit was refused since its run was cancelled, or had ended.
func isCancelled(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, run.ErrRunEnded)
}
