package run_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// mistakes are what a hub, a store or an outlet may do wrong. None is in the library: they stand before it, and the
// model does not know of them.
var mistakes = map[string]rig{
	"a viewer loses an event at the change from replay to live": {outlet: func(o run.Outlet) run.Outlet { return &losing{Outlet: o} }},
	"a viewer gets an event again after it was full":            {outlet: func(o run.Outlet) run.Outlet { return &repeating{Outlet: o} }},
	"a fold is cut one piece too far":                           {store: func(s run.Store) run.Store { return cutting{s} }},
	"a fold has the lengths of its pieces in another order":     {store: func(s run.Store) run.Store { return oddPieces{s} }},
	"a log has two ends":                                        {store: func(s run.Store) run.Store { return twoEnds{s} }},
	"a start after a tombstone runs again":                      {store: func(s run.Store) run.Store { return again{s} }},
	"a cancel of an unknown run is forgotten":                   {store: func(s run.Store) run.Store { return unburied{s} }},
	"a log is kept too long":                                    {store: func(s run.Store) run.Store { return keeping{s} }},
	"whoever joins an ended run has no prelude":                 {store: func(s run.Store) run.Store { return bare{s} }},
	"an interrupt that was answered is asked again":             {store: func(s run.Store) run.Store { return forgetful{s} }},
	"a steer is answered twice":                                 {hub: func(h hubCalls) hubCalls { return answering{h} }},
	"a steer is taken again":                                    {hub: func(h hubCalls) hubCalls { return &taking{hubCalls: h} }},
	"a follow skips a run":                                      {hub: func(h hubCalls) hubCalls { return &skipping{hubCalls: h} }},
	"a follow has a run twice":                                  {hub: func(h hubCalls) hubCalls { return doubling{h} }},
	"a cursor of another log is taken for the start":            {hub: func(h hubCalls) hubCalls { return lenient{h} }},
	"a busy thread refuses":                                     {config: func(c *run.HubConfig) { c.OnBusy = run.BusyReject }},
	"a run is abandoned too late":                               {config: func(c *run.HubConfig) { c.Grace = c.Grace*2 + time.Second }},
	"a producer runs too far ahead":                             {config: func(c *run.HubConfig) { c.Limits.WindowEvents++ }},
	"the oldest go too soon":                                    {config: func(c *run.HubConfig) { c.Limits.FoldedBytes = 1 }},
}

// TestModelFindsMistakes: a hub with a mistake fails, within a few seeds and in a few steps.
func TestModelFindsMistakes(t *testing.T) {
	for i, name := range slices.Sorted(maps.Keys(mistakes)) {
		if testkit.Race && i%10 > 0 { // it is the model that is tried, and each takes hundreds of plays
			continue
		}
		r := mistakes[name]
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(500) {
				steps := drawn(seed)
				if watched(t, play, steps, r) == "" {
					continue
				}
				short := shrunk(steps, func(s []step) bool { return watched(t, play, s, r) != "" })
				t.Logf("seed %d: %s\n\t%s", seed, watched(t, play, short, r), textOf(short))
				if len(short) > 8 || watched(t, play, short, rig{}) != "" {
					t.Errorf("%d steps are left, or they fail without the mistake", len(short))
				}
				return
			}
			t.Error("the model does not find it")
		})
	}
}

type losing struct {
	run.Outlet
	behind bool
}

func (o *losing) Offer(f *run.Frame) run.Offered {
	before := o.behind
	if o.behind = f.Through < f.Last; before && !o.behind && !f.Terminal {
		return run.OutletTook
	}
	return o.Outlet.Offer(f)
}

type repeating struct {
	run.Outlet
	full bool
}

func (o *repeating) Offer(f *run.Frame) run.Offered {
	if o.full {
		o.full = false
		o.Outlet.Offer(f)
	}
	offered := o.Outlet.Offer(f)
	o.full = offered == run.OutletFull
	return offered
}

type cutting struct{ run.Store }

func (s cutting) Read(ctx context.Context, k run.RunKey, after run.Cursor, most int) (run.Batch, error) {
	b, err := s.Store.Read(ctx, k, after, most)
	if err != nil || len(b.Entries) == 0 || after.Offset == 0 || len(b.Entries[0].Pieces) < 2 {
		return b, err
	}
	b.Entries = slices.Clone(b.Entries)
	rest, ok := b.Entries[0].Rest(after.Offset + 1)
	if rest.First--; ok {
		b.Entries[0] = rest
	}
	return b, err
}

// wrapLog is the log of a store whose logs have a mistake.
func wrapLog(l run.Log, err error, wrap func(run.Log) run.Log) (run.Log, error) {
	if err != nil {
		return nil, err
	}
	return wrap(l), nil
}

type oddPieces struct{ run.Store }

func (s oddPieces) Open(ctx context.Context, k run.RunKey, o run.Opening) (run.Log, error) {
	l, err := s.Store.Open(ctx, k, o)
	return wrapLog(l, err, func(l run.Log) run.Log { return oddPiecesLog{l} })
}

type oddPiecesLog struct{ run.Log }

func (l oddPiecesLog) Fold(ctx context.Context, through uint64, entries []run.Entry) error {
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].Pieces = slices.Clone(entries[i].Pieces)
		slices.Reverse(entries[i].Pieces)
	}
	return l.Log.Fold(ctx, through, entries)
}

type twoEnds struct{ run.Store }

func (s twoEnds) Open(ctx context.Context, k run.RunKey, o run.Opening) (run.Log, error) {
	l, err := s.Store.Open(ctx, k, o)
	return wrapLog(l, err, func(l run.Log) run.Log { return &twoEndsLog{Log: l} })
}

type twoEndsLog struct {
	run.Log
	next uint64
	end  []byte
}

func (l *twoEndsLog) Append(ctx context.Context, first uint64, events [][]byte) error {
	l.next, l.end = first+uint64(len(events)), events[len(events)-1]
	return l.Log.Append(ctx, first, events)
}

func (l *twoEndsLog) Close(ctx context.Context, keep time.Duration) error {
	_ = l.Log.Append(ctx, l.next, [][]byte{l.end})
	return l.Log.Close(ctx, keep)
}

type again struct{ run.Store }

func (s again) Open(ctx context.Context, k run.RunKey, o run.Opening) (run.Log, error) {
	l, err := s.Store.Open(ctx, k, o)
	if exists, ok := errors.AsType[*run.ExistsError](err); ok && exists.Record.State == run.RecordBuried {
		k.Run += " again"
		return s.Store.Open(ctx, k, o)
	}
	return l, err
}

type unburied struct{ run.Store }

func (unburied) Bury(context.Context, run.RunKey, bool, time.Duration) error { return nil }

type keeping struct{ run.Store }

func (s keeping) Open(ctx context.Context, k run.RunKey, o run.Opening) (run.Log, error) {
	l, err := s.Store.Open(ctx, k, o)
	return wrapLog(l, err, func(l run.Log) run.Log { return keepingLog{l} })
}

type keepingLog struct{ run.Log }

func (l keepingLog) Close(ctx context.Context, keep time.Duration) error {
	return l.Log.Close(ctx, keep+time.Second)
}

type bare struct{ run.Store }

func (s bare) Read(ctx context.Context, k run.RunKey, after run.Cursor, most int) (run.Batch, error) {
	b, err := s.Store.Read(ctx, k, after, most)
	b.Prelude = nil
	return b, err
}

type forgetful struct{ run.Store }

func (s forgetful) List(ctx context.Context, scope string) iter.Seq2[run.Record, error] {
	return func(yield func(run.Record, error) bool) {
		for r, err := range s.Store.List(ctx, scope) {
			if r.Resumes = nil; !yield(r, err) {
				return
			}
		}
	}
}

type answering struct{ hubCalls }

func (h answering) Say(ctx context.Context, k run.RunKey, id, text string, told func(bool)) error {
	return h.hubCalls.Say(ctx, k, id, text, func(ok bool) {
		if told(ok); ok {
			told(ok)
		}
	})
}

type taking struct {
	hubCalls
	n int
}

func (h *taking) Say(ctx context.Context, k run.RunKey, id, text string, told func(bool)) error {
	h.n++
	return h.hubCalls.Say(ctx, k, fmt.Sprint(id, "#", h.n), text, told)
}

type skipping struct {
	hubCalls
	n int
}

func (h *skipping) Follow(scope, thread string, wake func(run.RunKey)) func() {
	return h.hubCalls.Follow(scope, thread, func(k run.RunKey) {
		if h.n++; h.n%3 != 0 {
			wake(k)
		}
	})
}

type doubling struct{ hubCalls }

func (h doubling) Follow(scope, thread string, wake func(run.RunKey)) func() {
	return h.hubCalls.Follow(scope, thread, func(k run.RunKey) { wake(k); wake(k) })
}

type lenient struct{ hubCalls }

func (h lenient) Attach(ctx context.Context, k run.RunKey, at run.Cursor, out run.Outlet) (*run.Live, *run.Viewer, error) {
	l, v, err := h.hubCalls.Attach(ctx, k, at, out)
	if err == run.ErrOtherEpoch {
		return h.hubCalls.Attach(ctx, k, run.Cursor{}, out)
	}
	return l, v, err
}
