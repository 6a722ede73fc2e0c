package run_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/memmon"
	"github.com/agloop/agloop/metrics"
	"github.com/agloop/agloop/run"
)

// hubOf makes a hub whose logs nobody bounds.
func hubOf(t testing.TB, cfg run.HubConfig) *run.Hub {
	t.Helper()
	if cfg.Ledger == nil {
		cfg.Ledger = memmon.NewLedger()
	}
	if cfg.Store == nil {
		store := run.NewMemoryStore(cfg.Ledger)
		t.Cleanup(func() { store.Close() })
		cfg.Store = store
	}
	if cfg.LogBytes == nil {
		cfg.LogBytes = func() int64 { return 0 }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return run.NewHub(cfg)
}

type plainEncoder struct{}

func (plainEncoder) AppendEvent(dst []byte, ev agui.Event) ([]byte, error) {
	return event.Append(dst, ev)
}

// startOf is a run of an agent in the scope "s".
func startOf(thread, id string, agent run.AgentFunc) *run.Start {
	return startInput(&agui.RunAgentInput{ThreadID: thread, RunID: id}, agent)
}

func startInput(input *agui.RunAgentInput, agent run.AgentFunc) *run.Start {
	raw, _ := event.AppendRunAgentInput(nil, input)
	s := &run.Start{
		Key:   run.RunKey{Scope: "s", Thread: input.ThreadID, Run: input.RunID},
		Input: input, Hash: sha256.Sum256(raw), Encoder: plainEncoder{}, MaxEvent: 1 << 20,
		OnDisconnect: run.DisconnectContinue, BaseContext: context.Background(),
	}
	s.Do = func(ctx context.Context, l *run.Live) error {
		return run.Do(ctx, s.Input, &run.Setup{
			Agent: agent, Scope: s.Key.Scope, Encoder: plainEncoder{}, Live: l, MaxEvent: 1 << 20,
			Log: slog.New(slog.DiscardHandler),
		})
	}
	return s
}

// outlet is a viewer's outlet that takes so many events and then is full until it is given room.
type outlet struct {
	mu     sync.Mutex
	room   int // events; negative: any number
	frames []run.Frame
	why    error
	over   chan struct{}
}

func newOutlet(room int) *outlet { return &outlet{room: room, over: make(chan struct{})} }

func (o *outlet) Offer(f *run.Frame) run.Offered {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.room == 0 {
		return run.OutletFull
	}
	o.room--
	got := *f
	got.Event = append([]byte(nil), f.Event...)
	o.frames = append(o.frames, got)
	return run.OutletTook
}

func (o *outlet) Ended(why error) {
	o.why = why
	close(o.over)
}

// give makes room for n more events, any number if negative.
func (o *outlet) give(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.room = n
}

func (o *outlet) got() []run.Frame {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]run.Frame(nil), o.frames...)
}

// last is the offset of the last event that came.
func (o *outlet) last() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := uint64(0)
	for _, f := range o.frames {
		n = max(n, f.Through)
	}
	return n
}

// check says whether offsets follow each other from the given one on.
func (o *outlet) check(t *testing.T, after uint64) {
	t.Helper()
	for _, f := range o.got() {
		if f.First != after+1 {
			t.Fatalf("after %d comes %d to %d: %s", after, f.First, f.Through, f.Event)
		}
		after = f.Through
	}
}

// text joins the deltas.
func (o *outlet) text() string {
	var b strings.Builder
	for _, f := range o.got() {
		var ev struct{ Delta string }
		if err := json.Unmarshal(f.Event, &ev); err != nil {
			panic(fmt.Sprintf("%s: %v", f.Event, err))
		}
		b.WriteString(ev.Delta)
	}
	return b.String()
}

// pull has a viewer pull until it is level or full.
func pull(v *run.Viewer) {
	for v.Pull() {
	}
}

// mustStart starts a run with a viewer.
func mustStart(t *testing.T, h *run.Hub, s *run.Start, o *outlet) (*run.Live, *run.Viewer) {
	t.Helper()
	var out run.Outlet
	if o != nil {
		out = o
	}
	l, v, err := h.Start(t.Context(), s, out)
	if err != nil {
		t.Fatal(err)
	}
	if v != nil {
		pull(v)
	}
	return l, v
}

// mustAttach attaches to a run.
func mustAttach(t *testing.T, h *run.Hub, k run.RunKey, at run.Cursor, o *outlet) *run.Viewer {
	t.Helper()
	_, v, err := h.Attach(t.Context(), k, at, o)
	if err != nil {
		t.Fatal(err)
	}
	pull(v)
	return v
}

// message is an agent that emits one message of n pieces, and waits for the gate before and after.
func message(n int, gate <-chan struct{}) run.AgentFunc {
	return func(ctx context.Context, r *run.Run) error {
		m, err := r.TextMessage()
		if err != nil {
			return err
		}
		for i := range n {
			if err := m.Write(fmt.Sprintf("%d,", i)); err != nil {
				return err
			}
		}
		if gate != nil {
			select {
			case <-gate:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return m.Close()
	}
}

// pieces is the text of message.
func pieces(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "%d,", i)
	}
	return b.String()
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	testkit.Await(t, what, done)
}

// shedCount is how many logs a hub has shed.
func shedCount(h *run.Hub) uint64 {
	var r metrics.Runs
	h.Figures(&r, nil)
	return r.Shed
}
