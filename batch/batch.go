// Package batch holds what waits to be written to one connection and says when
// it is due.
//
// A Queue is bytes in order: frames are copied behind each other into pooled
// chunks, so that many small frames leave in one write. A Window is the rule of
// the batch window. Neither locks nor knows a socket; package loop gives them both.
package batch

import (
	"sync"
	"time"

	"github.com/agloop/agloop/bufpool"
)

// MaxSlices is how many slices one vectored write may carry (IOV_MAX on Linux
// and the BSDs). More fail with EINVAL, and gnet closes the connection.
const MaxSlices = 1024

// growUntil is the size, in bytes, up to which the last chunk is enlarged by
// copying before a new one is started (the cork buffer of uWebSockets has this size).
const growUntil = 16 << 10

// Queue is the bytes waiting for one connection. The zero value is empty. A
// Queue has one owner at a time.
type Queue struct {
	bufs   []*bufpool.Buffer // in order; the last may have room for more
	off    int               // bytes of bufs[0] already written
	bytes  int
	frames int

	// Since is when the first frame came, on its owner's clock; 0: nobody noted it.
	Since int64
	// Counted is how many of the frames are in their owner's counter already.
	Counted int
}

var queues = sync.Pool{New: func() any { return new(Queue) }}

// NewQueue returns an empty queue from a pool; Free gives it back.
func NewQueue() *Queue { return queues.Get().(*Queue) }

// Free releases all buffers and gives the queue back to the pool.
func (q *Queue) Free() {
	for i, b := range q.bufs {
		b.Release()
		q.bufs[i] = nil
	}
	*q = Queue{bufs: q.bufs[:0]}
	if cap(q.bufs) > 64 {
		q.bufs = nil // one slow reader must not leave its long list to everybody
	}
	queues.Put(q)
}

// Bytes is the number of bytes waiting.
func (q *Queue) Bytes() int { return q.bytes }

// Frames is the number of frames added since the queue was last empty.
func (q *Queue) Frames() int { return q.frames }

// Reserve makes the first chunk of an empty queue n bytes large.
func (q *Queue) Reserve(n int) { q.bufs = append(q.bufs, bufpool.Get(n)) }

// Room returns n bytes at the end of the queue for the caller to fill with one
// frame, or the end of one.
func (q *Queue) Room(n int) []byte {
	last := len(q.bufs) - 1
	if last < 0 || q.bufs[last].Spare() < n {
		q.extend(n)
		last = len(q.bufs) - 1
	}
	b := q.bufs[last]
	at := len(b.B)
	b.B = b.B[:at+n]
	q.bytes += n
	return b.B[at:]
}

// extend adds a chunk with room for n bytes, or grows the last one while it is small:
// a lone token should not hold a large chunk, a flood should not make many.
func (q *Queue) extend(n int) {
	if last := len(q.bufs) - 1; last >= 0 && len(q.bufs[last].B)+n <= growUntil {
		q.bufs[last] = q.bufs[last].Grow(max(n, 3*len(q.bufs[last].B)))
		return
	}
	size := n
	if q.bytes > 0 {
		size = max(n, min(q.bytes, bufpool.MaxSize))
	}
	q.bufs = append(q.bufs, bufpool.Get(size))
}

// Append copies p to the end of the queue, in chunks that go back to the pool.
func (q *Queue) Append(p []byte) {
	for len(p) > 0 {
		p = p[copy(q.Room(min(len(p), bufpool.MaxSize)), p):]
	}
}

// AddFrame counts one frame whose bytes were filled in by way of Room.
func (q *Queue) AddFrame() { q.frames++ }

// Splice moves everything from r behind q and leaves r empty.
func (q *Queue) Splice(r *Queue) {
	if r.off > 0 {
		panic("batch: splice of a queue that is partly written")
	}
	q.bufs = append(q.bufs, r.bufs...)
	q.bytes += r.bytes
	q.frames += r.frames
	q.Counted += r.Counted
	clear(r.bufs)
	*r = Queue{bufs: r.bufs[:0]}
}

// First is the first of the waiting bytes, and whether they are all. They are valid until the next call of Discard or Free.
func (q *Queue) First() (p []byte, all bool) {
	return q.bufs[0].B[q.off:], len(q.bufs) == 1
}

// Slices appends the waiting bytes to dst as at most MaxSlices slices and at most
// about limit bytes, a whole buffer more at the most. They are valid until the next call of
// Discard or Free.
func (q *Queue) Slices(dst [][]byte, limit int) [][]byte {
	off, n := q.off, 0
	for _, b := range q.bufs {
		if len(dst) == MaxSlices || n >= limit {
			break
		}
		p := b.B[off:]
		off = 0
		if len(p) > 0 {
			dst = append(dst, p)
			n += len(p)
		}
	}
	return dst
}

// Discard drops the first n bytes: they are written. A queue that becomes empty
// forgets its frames.
func (q *Queue) Discard(n int) {
	q.bytes -= n
	i := 0
	for i < len(q.bufs) {
		rest := len(q.bufs[i].B) - q.off
		if n < rest {
			q.off += n
			break
		}
		n -= rest
		q.off = 0
		q.bufs[i].Release()
		i++
	}
	rem := copy(q.bufs, q.bufs[i:])
	clear(q.bufs[rem:])
	q.bufs = q.bufs[:rem]
	if rem == 0 {
		q.frames, q.Counted = 0, 0
	}
}

// Window is the rule that gathers messages into one write: a message to a
// quiet connection is due at once; later ones within Timeout of the last flush wait until
// there are Size of them, or Bytes bytes, or until Timeout has passed since
// that flush. A lone message pays no delay and a burst pays no system call each.
type Window struct {
	Size    int           // messages; 1 or less: nothing ever waits
	Timeout time.Duration // 0 or less: nothing ever waits
	Bytes   int           // bytes; 0 or less: no limit by bytes
}

// Due returns when a queue with the given content, last flushed at the given
// time, must be flushed: a time not after now means at once. Times are
// nanoseconds on one monotonic clock.
func (w Window) Due(frames, bytes int, flushed, now int64) int64 {
	if w.Size <= 1 || frames >= w.Size || w.Bytes > 0 && bytes >= w.Bytes {
		return now
	}
	return flushed + int64(w.Timeout)
}
