package run_test

import (
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/agloop/agloop/run"
)

// TestR16NoSecondExecution: of a name that is buried no run begins, whatever input it comes with.
func TestR16NoSecondExecution(t *testing.T) {
	store := run.NewMemoryStore(nil)
	defer store.Close()
	h := hubOf(t, run.HubConfig{Store: store})
	o := newOutlet(-1)
	s := startOf("t", "r", message(1, nil))
	mustStart(t, h, s, o)
	<-o.over
	atRest(t, h)
	store.Shed(1)
	other := startOf("t", "r", message(1, nil))
	other.Hash[0]++
	for _, s := range []*run.Start{s, other} {
		if _, _, err := h.Start(t.Context(), s, newOutlet(-1)); err != run.ErrBuried {
			t.Errorf("started again: %v", err)
		}
	}
	if _, _, err := h.Attach(t.Context(), s.Key, run.Cursor{}, newOutlet(-1)); err != run.ErrBuried {
		t.Errorf("attached: %v", err)
	}
	atRest(t, h)
}

// TestR20FollowHearsOfEveryStart: of its thread alone, those included that wait, until it stops; a run
// that is started again is no other one.
func TestR20FollowHearsOfEveryStart(t *testing.T) {
	h := hubOf(t, run.HubConfig{})
	var mu sync.Mutex
	var heard []string
	stop := h.Follow("s", "t", func(k run.RunKey) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, k.Run)
	})
	gate := make(chan struct{})
	for _, names := range [][2]string{{"t", "1"}, {"t", "2"}, {"t", "1"}, {"other", "3"}, {"t", "4"}} {
		mustStart(t, h, startOf(names[0], names[1], message(1, gate)), nil)
	}
	stop()
	mustStart(t, h, startOf("t", "5", message(1, gate)), nil)
	close(gate)
	atRest(t, h)
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(heard, []string{"1", "2", "4"}) {
		t.Errorf("heard of %q", heard)
	}
}

// TestR20ToldOfARunBeforeItIsSeen: who follows a thread may attach to a run that the store lists before the hub tells
// of it, and has been told by the time it sees anything. A run that has ended by then would be taken for another one.
func TestR20ToldOfARunBeforeItIsSeen(t *testing.T) {
	store := newOddStore()
	defer store.MemoryStore.Close()
	h := hubOf(t, run.HubConfig{Store: store})
	there, goOn := make(chan struct{}), make(chan struct{})
	store.opened = func() { close(there); <-goOn }
	s, o := startOf("t", "r", message(1, nil)), newOutlet(-1)
	stop := h.Follow("s", "t", func(run.RunKey) {
		for range 1000 { // others have their turn
			runtime.Gosched()
		}
		if n := len(o.got()); n > 0 {
			t.Errorf("%d events were seen before anybody was told", n)
		}
	})
	var calls sync.WaitGroup
	calls.Go(func() { mustStart(t, h, s, nil) })
	<-there
	calls.Go(func() { mustAttach(t, h, s.Key, run.Cursor{}, o) })
	for range 1000 {
		runtime.Gosched()
	}
	close(goOn)
	<-o.over
	calls.Wait()
	stop()
	atRest(t, h)
}
