package run_test

import (
	"fmt"
	"slices"
	"sync"

	"github.com/agloop/agloop/run"
)

// stormFollow is a follow by a goroutine of its own, as a session of a server has it (R20).
type stormFollow struct {
	thread   int
	from, to int // when it was asked for, and when it was there
	kick     chan struct{}

	mu      sync.Mutex
	waiting []run.RunKey
	listed  map[run.RunKey]bool
	got     []run.RunKey
}

func (f *stormFollow) locked(g func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g()
}

func (f *stormFollow) wake(k run.RunKey) {
	f.locked(func() {
		if !f.listed[k] && !slices.Contains(f.waiting, k) {
			f.waiting = append(f.waiting, k)
		}
	})
	f.goOn()
}

func (f *stormFollow) goOn() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

func (s *storm) startFollow(thread int) {
	f := &stormFollow{thread: thread, kick: make(chan struct{}, 1), from: s.tick()}
	key := keyOf(thread)
	stop := s.g.hub.Follow(key.Scope, key.Thread, f.wake)
	listed, set := []run.RunKey(nil), map[run.RunKey]bool{}
	for r, err := range s.g.hub.List(s.g.t.Context(), key.Scope, key.Thread) {
		if err != nil {
			stop()
			return
		}
		if r.State <= run.RecordEnded {
			listed, set[r.Info.RunKey] = append(listed, r.Info.RunKey), true
		}
	}
	f.locked(func() {
		fresh := f.waiting
		f.waiting, f.listed = listed, set
		for _, k := range fresh {
			if !set[k] {
				f.waiting = append(f.waiting, k)
			}
		}
	})
	f.to = s.tick()
	s.locked(func() { s.follow = append(s.follow, f) })
	s.follows.Go(func() {
		defer stop()
		s.runFollow(f)
	})
}

// runFollow attaches to one run after another.
func (s *storm) runFollow(f *stormFollow) {
	for {
		var key run.RunKey
		f.locked(func() {
			if len(f.waiting) > 0 {
				key, f.waiting = f.waiting[0], f.waiting[1:]
				f.got = append(f.got, key)
			} else {
				f.listed = nil
			}
		})
		if key == (run.RunKey{}) {
			select {
			case <-f.kick:
				continue
			case <-s.bye:
				return
			}
		}
		var n int
		_, _ = fmt.Sscanf(key.Run, "r%d", &n)
		ended := make(chan struct{})
		if s.attach(n, 0, -1, func() { close(ended) }) != nil {
			continue
		}
		select {
		case <-ended:
		case <-s.bye:
			return
		}
	}
}
