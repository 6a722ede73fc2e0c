package batch

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/internal/testkit"
)

func add(q *Queue, p []byte) {
	copy(q.Extend(len(p)), p)
	q.AddFrame()
}

// memory adds up what the buffers of q take that are its own.
func memory(q *Queue) (n int) {
	for _, c := range q.chunks {
		if !c.shared {
			n += c.buf.Cap()
		}
	}
	return n
}

// content is all that waits.
func content(q *Queue) []byte {
	var got []byte
	for _, c := range q.chunks {
		got = append(got, c.b...)
	}
	return got[q.off:]
}

// TestQueueAgainstBytes compares any mix of operations with a plain byte slice.
func TestQueueAgainstBytes(t *testing.T) {
	before := bufpool.InUse()
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		q, model := new(Queue), []byte(nil)
		common := bufpool.Get(4096).Append(bytes.Repeat([]byte("shared by all "), 200))
		for range 300 {
			switch rnd.IntN(5) {
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
				n := rnd.IntN(len(model) + 1)
				p := bytes.Repeat([]byte("in between"), 1<<rnd.IntN(14))
				q.Insert(n, p)
				model = slices.Insert(slices.Clone(model), n, p...)
			case 4:
				p := common.B[rnd.IntN(len(common.B)):]
				q.Share(common, p)
				q.AddFrame()
				model = append(model, p...)
			}
			if q.Bytes() != len(model) {
				t.Fatalf("seed %d: %d bytes, want %d", seed, q.Bytes(), len(model))
			}
			if q.Memory() != memory(q) {
				t.Fatalf("seed %d: %d bytes of memory, want %d", seed, q.Memory(), memory(q))
			}
		}
		if !bytes.Equal(content(q), model) {
			t.Fatalf("seed %d: content differs", seed)
		}
		q.Reset()
		if !bytes.Equal(common.B, bytes.Repeat([]byte("shared by all "), 200)) {
			t.Fatalf("seed %d: what others hold has changed", seed)
		}
		common.Release()
	}
	if got := bufpool.InUse(); got != before {
		t.Errorf("%d bytes of buffers leaked", got-before)
	}
}

func TestSlicesBounds(t *testing.T) {
	var q Queue
	defer q.Reset()
	big := make([]byte, bufpool.MaxSize) // each fills a buffer of its own
	for range MaxSlices + 10 {
		add(&q, big)
	}
	if n := len(q.Slices(nil, 1<<40)); n != MaxSlices {
		t.Errorf("%d slices, want %d at the most", n, MaxSlices)
	}
	if s := q.Slices(nil, 100<<10); len(s) != 2 || len(s[0])+len(s[1]) != 100<<10 {
		t.Errorf("%d slices for 100 KiB, want 2 of so many bytes", len(s))
	}
}

func TestSmallFramesShareABuffer(t *testing.T) {
	var q Queue
	defer q.Reset()
	for range 100 {
		add(&q, make([]byte, 100))
	}
	if n := len(q.Slices(nil, 1<<30)); n != 1 {
		t.Errorf("100 small frames leave in %d slices, want 1", n)
	}
	if q.Frames() != 100 {
		t.Errorf("%d frames", q.Frames())
	}
}

func TestAllocations(t *testing.T) {
	p := make([]byte, 100)
	var q Queue
	n := testing.AllocsPerRun(1000, func() {
		for range 10 {
			add(&q, p)
		}
		q.Discard(1000)
		q.Reset()
	})
	if n != 0 && !testkit.Race {
		t.Errorf("%v allocations for ten frames, want 0", n)
	}
}
