package batch

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/agloop/agloop/bufpool"
)

func add(q *Queue, p []byte) {
	copy(q.Room(len(p)), p)
	q.AddFrame()
}

// content reads the queue as a writer would, limit bytes at a time, keeping what Discard keeps.
func content(q *Queue) []byte {
	var got []byte
	for _, p := range q.Slices(nil, 1<<30) {
		got = append(got, p...)
	}
	return got
}

// TestQueueAgainstBytes compares any mix of operations with a plain byte slice.
func TestQueueAgainstBytes(t *testing.T) {
	before := bufpool.Live()
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		q, model := NewQueue(), []byte(nil)
		for range 300 {
			switch rnd.IntN(4) {
			case 0, 1:
				p := make([]byte, rnd.IntN(1<<rnd.IntN(18)))
				for i := range p {
					p[i] = byte(rnd.Uint32())
				}
				add(q, p)
				model = append(model, p...)
			case 2:
				n := rnd.IntN(len(model) + 1)
				q.Discard(n)
				model = model[n:]
			case 3:
				r := NewQueue()
				p := []byte("spliced")
				add(r, p)
				q.Splice(r)
				r.Free()
				model = append(model, p...)
			}
			if q.Bytes() != len(model) {
				t.Fatalf("seed %d: %d bytes, want %d", seed, q.Bytes(), len(model))
			}
		}
		if !bytes.Equal(content(q), model) {
			t.Fatalf("seed %d: content differs", seed)
		}
		q.Free()
	}
	if got := bufpool.Live(); got != before {
		t.Errorf("%d bytes of buffers leaked", got-before)
	}
}

func TestSlicesBounds(t *testing.T) {
	q := NewQueue()
	defer q.Free()
	big := make([]byte, bufpool.MaxSize) // each fills a buffer of its own
	for range MaxSlices + 10 {
		add(q, big)
	}
	if n := len(q.Slices(nil, 1<<40)); n != MaxSlices {
		t.Errorf("%d slices, want %d at the most", n, MaxSlices)
	}
	if n := len(q.Slices(nil, 100<<10)); n != 2 {
		t.Errorf("%d slices for 100 KiB, want 2", n)
	}
}

func TestSmallFramesShareABuffer(t *testing.T) {
	q := NewQueue()
	defer q.Free()
	for range 100 {
		add(q, make([]byte, 100))
	}
	if n := len(q.Slices(nil, 1<<30)); n != 1 {
		t.Errorf("100 small frames leave in %d slices, want 1", n)
	}
	if q.Frames() != 100 {
		t.Errorf("%d frames", q.Frames())
	}
}

func TestWindow(t *testing.T) {
	const ms = int64(time.Millisecond)
	w := Window{Size: 10, Timeout: 5 * time.Millisecond, Bytes: 16 << 10}
	for _, tc := range []struct {
		name          string
		w             Window
		frames, bytes int
		flushed, now  int64
		due           int64
	}{
		{"quiet connection: at once", w, 1, 50, 0, 100 * ms, 5 * ms},
		{"within the window: at its end", w, 1, 50, 100 * ms, 102 * ms, 105 * ms},
		{"nine wait", w, 9, 500, 100 * ms, 102 * ms, 105 * ms},
		{"ten do not", w, 10, 500, 100 * ms, 102 * ms, 102 * ms},
		{"16 KiB do not", w, 2, 16 << 10, 100 * ms, 102 * ms, 102 * ms},
		{"size 1: never", Window{Size: 1, Timeout: time.Second}, 1, 1, 100 * ms, 100 * ms, 100 * ms},
		{"timeout off: never", Window{Size: 10, Timeout: -1}, 1, 1, 100 * ms, 100 * ms, 100*ms - 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if due := tc.w.Due(tc.frames, tc.bytes, tc.flushed, tc.now); due != tc.due {
				t.Errorf("due at %d, want %d", due, tc.due)
			}
		})
	}
}

func TestAllocations(t *testing.T) {
	p := make([]byte, 100)
	n := testing.AllocsPerRun(1000, func() {
		q := NewQueue()
		for range 10 {
			add(q, p)
		}
		q.Discard(1000)
		q.Free()
	})
	if n != 0 && !raceEnabled {
		t.Errorf("%v allocations for ten frames, want 0", n)
	}
}
