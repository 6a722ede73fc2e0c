package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/memmon"
	"github.com/agloop/agloop/run"
)

// view is a viewer and what it was given.
type view struct {
	// Immutable.
	Cursor uint64      `json:"cursor"`
	Place  string      `json:"place"` // where the cursor lies, or when the viewer came
	viewer *run.Viewer // nil: it was not let in
	ended  chan struct{}

	// Any goroutine, under mu.
	mu     sync.Mutex
	Frames []frame `json:"frames"`
	Gone   string  `json:"gone,omitempty"`
	room   int     // frames it still takes; negative: any number
}

type frame struct {
	First   uint64          `json:"first"`
	Through uint64          `json:"through"`
	Event   json.RawMessage `json:"event"`
}

// Offer implements run.Outlet.
func (v *view) Offer(f *run.Frame) run.Offered {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.room == 0 {
		return run.OutletFull
	}
	v.room--
	v.Frames = append(v.Frames, frame{f.First, f.Through, append([]byte(nil), f.Event...)})
	return run.OutletTook
}

// Ended implements run.Outlet.
func (v *view) Ended(why error) {
	if why != nil {
		v.Gone = cmp.Or(run.GoneReason(why), why.Error())
	}
	close(v.ended)
}

func (v *view) give(room int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.room = room
}

func newView(place string, cursor uint64) *view {
	return &view{Place: place, Cursor: cursor, Frames: []frame{}, room: -1, ended: make(chan struct{})}
}

// fold has a run emit the events of a line, {"seed", "input", "events"}, into a log that folds nearly
// everything, and shows what viewers get: some that come while it goes on, others afterwards.
func fold(line []byte) (any, error) {
	var stream struct {
		Seed   uint64
		Input  json.RawMessage
		Events []json.RawMessage
	}
	if err := json.Unmarshal(line, &stream); err != nil {
		return nil, err
	}
	f := folding{rnd: rand.New(rand.NewPCG(stream.Seed, 1))}
	var err error
	if f.input, _, err = event.DecodeRunAgentInput(stream.Input); err != nil {
		return nil, err
	}
	size := 0
	for _, raw := range stream.Events {
		ev, _, err := new(event.Decoder).DecodeEvent(raw)
		if err != nil {
			return nil, err
		}
		f.events = append(f.events, ev)
		size += len(raw) + 64
	}
	f.hash = sha256.Sum256(stream.Input)
	ledger := memmon.NewLedger()
	f.store = run.NewMemoryStore(ledger)
	defer f.store.Close()
	limits := run.LogLimits{WindowEvents: 2 + f.rnd.IntN(4)}
	if f.rnd.IntN(2) == 0 { // half of it is reached, so states are computed; now and then the oldest go
		limits.FoldedBytes = size * (9 + f.rnd.IntN(8)) / 10
	}
	f.hub = run.NewHub(run.HubConfig{
		Store: f.store, Limits: limits, Ledger: ledger, LogBytes: func() int64 { return 0 }, Log: slog.Default(),
	})
	return f.run()
}

// folding is one run and its viewers.
type folding struct {
	rnd    *rand.Rand
	input  *agui.RunAgentInput
	hash   [32]byte
	events []agui.Event
	store  *run.MemoryStore
	hub    *run.Hub

	views []*view
}

func (f *folding) key() run.RunKey { return run.RunKey{Thread: f.input.ThreadID, Run: f.input.RunID} }

func (f *folding) run() ([]*view, error) {
	l, err := f.start(newView("starter", 0))
	if err != nil {
		return nil, err
	}
	if err := l.Wait(context.Background()); err != nil {
		return nil, err
	}
	f.awaitEnds()
	for f.hub.Find(f.key()) != nil { // nobody tells when the store has it
		time.Sleep(10 * time.Microsecond)
	}
	if err := f.afterwards(); err != nil {
		return nil, err
	}
	f.awaitEnds()
	return f.views, nil
}

// start starts the run, or attaches to it from its start as who sends the same input again.
func (f *folding) start(v *view) (*run.Live, error) {
	s := &run.Start{
		Key: f.key(), Input: f.input, Hash: f.hash, Encoder: encoder{}, MaxEvent: 1 << 20,
		OnDisconnect: run.DisconnectContinue, BaseContext: context.Background(),
	}
	s.Do = func(ctx context.Context, l *run.Live) error {
		return run.Do(ctx, f.input, &run.Setup{
			Agent: run.AgentFunc(f.agent), Encoder: encoder{}, Live: l, MaxEvent: 1 << 20, Log: slog.Default(),
		})
	}
	f.views = append(f.views, v)
	l, viewer, err := f.hub.Start(context.Background(), s, v)
	v.see(viewer, err)
	return l, notGone(err)
}

type encoder struct{}

func (encoder) AppendEvent(dst []byte, ev agui.Event) ([]byte, error) { return event.Append(dst, ev) }

// agent emits the events. Before two of them somebody comes.
func (f *folding) agent(_ context.Context, r *run.Run) error {
	come := [2]int{f.rnd.IntN(len(f.events)), f.rnd.IntN(len(f.events))}
	for i, ev := range f.events {
		for n, at := range come {
			if at != i {
				continue
			}
			v := newView("live", f.rnd.Uint64N(uint64(i)+2)) // the log has i+1 events
			if n == 0 && f.rnd.IntN(2) == 0 {
				v.Place, v.room = "slow", f.rnd.IntN(4)
			}
			if err := f.attach(v); err != nil {
				return err
			}
		}
		if err := r.Emit(ev); err != nil {
			return err
		}
	}
	return nil
}

// afterwards has viewers come to the log that the store has, with cursors of all kinds.
func (f *folding) afterwards() error {
	last := uint64(len(f.events)) + 1
	end := run.Cursor{Epoch: f.epoch(), Offset: last}
	if _, _, err := f.hub.Attach(context.Background(), f.key(), end, newView("", last)); err != run.ErrBuried {
		return fmt.Errorf("behind the end: %v", err)
	}
	var folds []run.Entry
	borders := []uint64{last - 1}
	for at := (run.Cursor{}); at.Offset < last; {
		b, err := f.store.Read(context.Background(), f.key(), at, 1<<30)
		if errors.Is(err, run.ErrTrimmed) && at.Offset == 0 {
			break
		}
		if err != nil {
			return err
		}
		for _, e := range b.Entries {
			at = run.Cursor{Epoch: b.Record.Epoch, Offset: e.Through}
			if e.First < e.Through {
				folds = append(folds, e)
				borders = append(borders, e.First-1, e.Through)
			}
		}
	}
	views := []*view{
		newView("first", 1), newView("last", last-1), newView("any", 1+f.rnd.Uint64N(last-1)),
		newView("border", borders[f.rnd.IntN(len(borders))]),
	}
	f.rnd.Shuffle(len(views), func(i, j int) { views[i], views[j] = views[j], views[i] })
	views = append(views[:2], newView("start", 0))
	if len(folds) > 0 {
		e := folds[f.rnd.IntN(len(folds))]
		views[0] = newView("inside", e.First+f.rnd.Uint64N(e.Through-e.First))
	}
	for _, v := range views {
		if err := f.attach(v); err != nil {
			return err
		}
	}
	if f.rnd.IntN(4) == 0 {
		_, err := f.start(newView("again", 0))
		return err
	}
	return nil
}

// attach attaches a viewer at its cursor.
func (f *folding) attach(v *view) error {
	at := run.Cursor{}
	if v.Cursor > 0 {
		at = run.Cursor{Epoch: f.epoch(), Offset: v.Cursor}
	}
	f.views = append(f.views, v)
	_, viewer, err := f.hub.Attach(context.Background(), f.key(), at, v)
	v.see(viewer, err)
	return notGone(err)
}

func (f *folding) epoch() uint64 {
	for r := range f.store.List(context.Background(), "") {
		return r.Epoch
	}
	return 0
}

// see has an attached viewer begin, or notes why there is none.
func (v *view) see(viewer *run.Viewer, err error) {
	if v.viewer = viewer; viewer == nil {
		v.Ended(err)
		return
	}
	go pull(viewer)
}

func pull(v *run.Viewer) {
	for v.Pull() {
	}
}

// notGone is an error that is not that a log was trimmed.
func notGone(err error) error {
	if errors.Is(err, run.ErrTrimmed) {
		return nil
	}
	return err
}

// awaitEnds waits until all viewers have what they get.
func (f *folding) awaitEnds() {
	for _, v := range f.views {
		if v.viewer != nil {
			v.give(-1)
			pull(v.viewer)
		}
		<-v.ended
	}
}
