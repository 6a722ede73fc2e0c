package topic

import (
	"fmt"
	"sync"
	"testing"

	"github.com/agloop/agloop/codec/frame"
)

// worker is a Group: a goroutine that does steps as they come, or when the test says so.
type worker struct {
	mu    sync.Mutex
	steps []func() bool
	held  bool // nothing is done until go on
	idle  *sync.Cond
	done  int
}

func newWorker() *worker {
	w := &worker{}
	w.idle = sync.NewCond(&w.mu)
	return w
}

func (w *worker) Serve(step func() bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps = append(w.steps, step)
	if len(w.steps) == 1 && !w.held {
		go w.work()
	}
}

func (w *worker) work() {
	for {
		w.mu.Lock()
		if len(w.steps) == 0 {
			w.idle.Broadcast()
			w.mu.Unlock()
			return
		}
		step := w.steps[0]
		w.mu.Unlock()
		more := step()
		w.mu.Lock()
		if w.done++; more {
			w.steps = append(w.steps, step)
		}
		w.steps = w.steps[1:]
		w.mu.Unlock()
	}
}

// hold keeps the worker from working, once it is idle.
func (w *worker) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.steps) > 0 {
		w.idle.Wait()
	}
	w.held = true
}

// let has it work again.
func (w *worker) let() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held = false; len(w.steps) > 0 {
		go w.work()
	}
}

// wait waits until it has nothing to do.
func (w *worker) wait() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.steps) > 0 {
		w.idle.Wait()
	}
}

// reader is a Subscriber that notes what it is given.
type reader struct {
	group     *worker
	principal string

	mu   sync.Mutex
	full bool
	got  []string
	slow []Slow // with which that came
}

func (r *reader) Group() Group      { return r.group }
func (r *reader) Principal() string { return r.principal }

func (r *reader) Deliver(messages []frame.Prepared, first uint64, next *uint64, slow Slow) Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	if next != nil {
		skip := min(uint64(len(messages)), max(*next, first)-first)
		*next = max(*next, first+uint64(len(messages)))
		messages = messages[skip:]
	}
	if r.full && slow >= SlowLatest {
		return Behind
	}
	for _, m := range messages {
		r.got = append(r.got, string(m.Payload()))
		r.slow = append(r.slow, slow)
	}
	return Took
}

func (r *reader) setFull(full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.full = full
}

func (r *reader) take() (got []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	got, r.got = r.got, nil
	return got
}

// wants checks what a reader has been given since it was last asked.
func (r *reader) wants(t *testing.T, want ...string) {
	t.Helper()
	r.group.wait()
	if got := r.take(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func subscribe(t *testing.T, h *Hub, name string, subs ...*reader) {
	t.Helper()
	for _, s := range subs {
		if _, err := h.Subscribe(name, s, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func publish(h *Hub, name string, messages ...string) (at Cursor) {
	for _, m := range messages {
		at = h.Publish(name, frame.Text, []byte(m))
	}
	return at
}
