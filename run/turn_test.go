package run_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/run"
)

var custom = &agui.Custom{Name: "n", Value: []byte("1")}

// narrow is full after every CUSTOM event until somebody asks for room. The first who asks waits
// for a second.
type narrow struct {
	second chan struct{}

	mu    sync.Mutex
	asked int
	full  bool
	late  int // events sent while it was full
}

func (s *narrow) AwaitDrain(context.Context) error {
	s.mu.Lock()
	s.asked++
	s.full = false
	asked := s.asked
	s.mu.Unlock()
	switch asked {
	case 1:
		select {
		case <-s.second:
		case <-time.After(time.Second):
		}
	case 2:
		close(s.second)
	}
	return nil
}

func (s *narrow) Send(event []byte, kind run.Kind) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full && kind == run.KindPlain {
		s.late++
	}
	s.full = s.full || bytes.Contains(event, []byte("CUSTOM"))
	return true
}

// TestTwoEmittersShareTheRoom: room that both of them saw is room for one event.
func TestTwoEmittersShareTheRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &narrow{second: make(chan struct{})}
		err := run.Do(t.Context(), input, setup(func(_ context.Context, r *run.Run) error {
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					if err := r.Emit(custom); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			return nil
		}, s))
		if err != nil || s.late != 0 {
			t.Errorf("%d events sent into a full sink, error %v", s.late, err)
		}
	})
}

// TestCancelReachesEmittersInLine: whether they wait for room or for their turn.
func TestCancelReachesEmittersInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &rationed{tokens: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			synctest.Wait() // all of them wait
			cancel()
		}()
		err := run.Do(ctx, input, setup(func(_ context.Context, r *run.Run) error {
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					if err := r.Emit(custom); !errors.Is(err, context.Canceled) {
						t.Errorf("Emit while cancelled: %v", err)
					}
				})
			}
			wg.Wait()
			return nil
		}, s))
		if got := s.taken.Load(); got != 2 || !errors.Is(err, context.Canceled) {
			t.Errorf("%d events, want the first and the terminal one; error %v", got, err)
		}
	})
}

// TestRunEndsBesideEmittersInLine: an agent may return while goroutines of its own still wait in
// Emit. They learn that the run is over.
func TestRunEndsBesideEmittersInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &rationed{tokens: make(chan struct{})}
		var wg sync.WaitGroup
		sent := int32(0)
		go func() {
			synctest.Wait()
			close(s.tokens)
		}()
		err := run.Do(t.Context(), input, setup(func(_ context.Context, r *run.Run) error {
			var mu sync.Mutex
			for range 3 {
				wg.Go(func() {
					err := r.Emit(custom)
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						sent++
					case !errors.Is(err, run.ErrRunEnded) && !errors.Is(err, context.Canceled):
						t.Errorf("Emit beside the end: %v", err)
					}
				})
			}
			return nil
		}, s))
		wg.Wait()
		if got := s.taken.Load(); got != sent+2 || err != nil {
			t.Errorf("%d events, want two and the %d that Emit took; error %v", got, sent, err)
		}
	})
}
